"""A block in the bucket as a ``SpanSource``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from tracestore.codec.filters import BlockFilters
from tracestore.model.block_meta import BlockMeta
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.query.source import Chunk, ColumnStatistics
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.lookup import find_trace, find_traces
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.row_groups import ALIGNED
from tracestore.storage.objects.interface import ObjectStore


class BlockSource:
    """Reads one block. Cheap to make; all it keeps is in the cache that the blocks share.

    Raises of all methods that read: NotFoundError, UnavailableError, CorruptionError with the key
    of the object; never a silent absence.
    """

    def __init__(self, store: ObjectStore, meta: BlockMeta, cache: BlockCache) -> None:
        self._meta = meta
        self._reader = BlockReader(store, meta, cache)

    @property
    def meta(self) -> BlockMeta:
        """What the index says of the block."""
        return self._meta

    @property
    def id(self) -> str:
        return self._meta.id

    @property
    def start_ns(self) -> int:
        return self._meta.start_ns

    @property
    def end_ns(self) -> int:
        return self._meta.end_ns

    @property
    def is_live(self) -> bool:
        return False

    @property
    def stored_bytes(self) -> int:
        return self._meta.stored_bytes

    def rows(self, table: Table) -> int:
        rows: int = getattr(self._meta, table.value)
        return rows

    def schema(self, table: Table) -> pa.Schema:
        return self._reader.footer(table).schema

    def chunks(self) -> Sequence[Chunk]:
        spans = self._reader.footer(Table.SPANS).first_row
        traces = self._reader.footer(Table.TRACES).first_row
        return [
            Chunk(
                index=index,
                first_span=spans[index],
                spans=spans[index + 1] - spans[index],
                first_trace=traces[index],
                traces=traces[index + 1] - traces[index],
            )
            for index in range(len(spans) - 1)
        ]

    def read(
        self, table: Table, columns: Sequence[str], chunk: Chunk | None, stats: QueryStats
    ) -> Sequence[pa.Array]:
        row_group = None
        if chunk is not None:
            assert table in ALIGNED, f"{table} has no chunks"
            row_group = chunk.index
        return self._reader.arrays(table, columns, row_group, stats)

    def statistics(self, chunk: Chunk, column: str) -> ColumnStatistics | None:
        bounds = self._reader.footer(Table.SPANS).bounds(chunk.index, column)
        if bounds is None:
            return None
        return ColumnStatistics(
            minimum=bounds.minimum, maximum=bounds.maximum, null_count=bounds.null_count
        )

    def filters(self, stats: QueryStats) -> BlockFilters | None:
        return self._reader.filters(stats)

    def prefetch(
        self,
        *,
        filters: bool,
        footers: Iterable[Table],
        columns: Mapping[Table, Sequence[str]],
        chunk_columns: Mapping[Table, Sequence[str]],
        chunk: int,
    ) -> None:
        """Read into the cache what will be asked for; what the block has not is left out."""
        stats = QueryStats()
        if filters:
            self._reader.filters(stats)
        for table in footers:
            self._reader.footer(table)
        for wanted, of_chunk in ((columns, False), (chunk_columns, True)):
            for table, names in wanted.items():
                footer = self._reader.footer(table)
                there = [name for name in sorted(names) if name in footer.leaves]
                if there and (not of_chunk or chunk < footer.row_groups):
                    self._reader.arrays(table, there, chunk if of_chunk else None, stats)

    def find_trace(self, trace_id: bytes, stats: QueryStats) -> SpanTables | None:
        return find_trace(self._reader, trace_id, stats)

    def find_traces(self, trace_ids: Sequence[bytes], stats: QueryStats) -> list[SpanTables]:
        return find_traces(self._reader, trace_ids, stats)

"""A block that is written a row group at a time, by whoever has never all of it.

What is there grows in files of a spool directory; nothing is in the store before ``finish``, and
``meta.json`` comes last. The same bytes as of ``writer``: docs/formats/block.md.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracestore.clock import Clock
from tracestore.codec.filter_builder import FilterBuilder
from tracestore.errors import UnavailableError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.tables import SpanTables, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.encodings import plan_encodings
from tracestore.storage.block.row_groups import ALIGNED, Bounds, plan_row_groups
from tracestore.storage.block.table_reader import SpanTablesReader
from tracestore.storage.block.writer import (
    FILTERS_NAME,
    BlockIdentity,
    Written,
    describe_parquet,
    prepare_rows,
    table_name,
)
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import block_key, meta_key

CHUNK_BYTES = 1500
"""Memory of what the footer will say of a column of a row group."""
_TIMES = ("start_time", "end_time")


class _TableFile:
    """One table, growing in a file. The first rows decide the encodings."""

    def __init__(self, path: Path, table: Table, settings: BlockSettings) -> None:
        self.path = path
        self.rows = 0
        self.chunks = 0
        """Columns of row groups written."""
        self._table = table
        self._settings = settings
        self._sink: pa.NativeFile | None = None
        self._writer: pq.ParquetWriter | None = None

    def append(self, tables: SpanTables, bounds: Bounds, filters: FilterBuilder) -> None:
        """Write row groups. Args: bounds: (G + 1,) rows where each begins, and the end."""
        rows = tables.table(self._table)
        if self._writer is None:
            filters.declare(self._table, rows.schema)
            arguments = plan_encodings(SpanTablesReader(tables), self._table, self._settings)
            self._sink = pa.OSFile(str(self.path), "wb")
            self._writer = pq.ParquetWriter(self._sink, rows.schema, **arguments)
        for start, stop in pairwise(bounds.tolist()):
            part = rows.slice(start, stop - start)
            arrays = prepare_rows(self._table, rows.schema.names, part, filters)
            group = pa.Table.from_arrays(arrays, schema=rows.schema)
            self._writer.write_table(group, row_group_size=max(1, len(group)))
            self.rows += len(group)
            self.chunks += len(rows.schema)

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()
        if self._sink is not None:
            self._sink.close()
        self._writer = self._sink = None


class BlockStream:
    """Writes one block; a context, at whose end the spooled files are gone. Not thread-safe."""

    def __init__(
        self,
        store: ObjectStore,
        settings: BlockSettings,
        clock: Clock,
        block: BlockIdentity,
        spool_dir: str | None = None,
    ) -> None:
        """Begin. Args: spool_dir: where the files grow; None: where temporary files go."""
        self._store = store
        self._settings = settings
        self._block = block
        self._created_ns = clock.now_ns()  # not later than any object of it: see index floors
        self._filters = FilterBuilder(settings)
        self._times: list[tuple[int, int]] = []
        try:
            self._directory = tempfile.TemporaryDirectory(dir=spool_dir, prefix="block-")
        except OSError as error:
            raise UnavailableError(f"cannot spool in {spool_dir}: {error}") from error
        self._files = {
            table: _TableFile(Path(self._directory.name, table_name(table)), table, settings)
            for table in Table
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            with suppress(OSError, pa.ArrowException):  # a file that is thrown away
                file.close()
        self._directory.cleanup()

    @property
    def spans(self) -> int:
        """Spans appended."""
        return self._files[Table.SPANS].rows

    @property
    def memory_bytes(self) -> int:
        """Bytes held of what was appended, about."""
        footers = sum(file.chunks for file in self._files.values()) * CHUNK_BYTES
        return 8 * self._filters.hashes + footers

    def append(self, tables: SpanTables) -> None:
        """Write whole traces, or a part of one, as row groups of each table.

        Args:
            tables: not empty; trace IDs beyond those before; one schema for all row groups; rows
                from 0, but resources and scopes numbered as ``finish`` gets them. A trace in parts
                is listed in the last, with places counted from where that begins.

        Raises: UnavailableError if the spool directory fails.
        """
        assert tables.spans.num_rows
        if len(tables.traces):
            start, end = (
                tables.traces.column(name).cast(pa.int64()).to_numpy().view(np.uint64)
                for name in _TIMES
            )
            self._times.append((int(start.min()), int(end.max())))
        bounds = plan_row_groups(SpanTablesReader(tables), self._settings)
        moved = self._moved(tables)
        for table in ALIGNED:
            self._append(table, moved, bounds[table])

    def finish(self, resources: pa.Table, scopes: pa.Table) -> BlockMeta:
        """Write the small tables, and put everything into the store, ``meta.json`` last.

        Raises: UnavailableError; what is there by then stays without a ``meta.json``.
        """
        assert self.spans, f"block {self._block.id} would be empty"
        empty = pa.table({})
        small = SpanTables(
            spans=empty, events=empty, links=empty, traces=empty, resources=resources, scopes=scopes
        )
        for table in (Table.RESOURCES, Table.SCOPES):
            self._append(table, small, np.array([0, len(small.table(table))]))
        written = {table_name(table): self._put(table) for table in Table}
        content = self._filters.build().encode()
        self._store.put(self._key(FILTERS_NAME), content)
        written[FILTERS_NAME] = Written(len(content), google_crc32c.value(content))
        meta = self._describe(written)
        self._store.put(meta_key(self._block.tenant, self._block.id), meta.to_json())
        return meta

    def _append(self, table: Table, tables: SpanTables, bounds: Bounds) -> None:
        try:
            self._files[table].append(tables, bounds, self._filters)
        except OSError as error:
            raise UnavailableError(f"cannot spool {self._key(table)}: {error}") from error

    def _moved(self, tables: SpanTables) -> SpanTables:
        """Point to rows of the whole block."""
        spans, traces = self._files[Table.SPANS].rows, self._files[Table.TRACES].rows
        return SpanTables(
            spans=_shift(tables.spans, "trace", traces),
            events=_shift(tables.events, "span", spans),
            links=_shift(tables.links, "span", spans),
            traces=_shift(_shift(tables.traces, "first_span", spans), "root_span", spans),
            resources=tables.resources,
            scopes=tables.scopes,
        )

    def _put(self, table: Table) -> Written:
        """Move a table into the store."""
        key = self._key(table_name(table))
        file = self._files[table]
        try:
            file.close()
            with pa.OSFile(str(file.path), "rb") as content:
                written = describe_parquet(content, key)
        except OSError as error:
            raise UnavailableError(f"cannot spool {key}: {error}") from error
        self._store.put_file(key, str(file.path))
        return written

    def _describe(self, written: dict[str, Written]) -> BlockMeta:
        rows: dict[str, Any] = {table.value: self._files[table].rows for table in Table}
        return BlockMeta(
            id=self._block.id,
            tenant=self._block.tenant,
            created_ns=self._created_ns,
            start_ns=min(start for start, _ in self._times),
            end_ns=max(end for _, end in self._times),
            level=self._block.level,
            wal_segments=self._block.wal_segments,
            object_bytes={name: one.bytes for name, one in written.items()},
            checksums={name: one.checksum for name, one in written.items()},
            **rows,
        )

    def _key(self, name: str) -> str:
        return block_key(self._block.tenant, self._block.id, name)


def _shift(table: pa.Table, name: str, by: int) -> pa.Table:
    """Add to the numbers of a column; nulls stay."""
    place = table.schema.get_field_index(name)
    field = table.schema.field(place)
    values = pc.add(table.column(place), pa.scalar(by, field.type))
    return table.set_column(place, field, values.cast(field.type))

"""The spans of a block with their events and links, read once, from the first to the last.

In memory is a batch of some thousand spans, and the texts of a row group of the file. What a trace
is, is made anew from all its parts, so a batch may hold part of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.errors import CorruptionError
from tracestore.model.tables import SpanTables, Table
from tracestore.storage.block.cut import take_rows
from tracestore.storage.block.footer import TableFooter
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.row_groups import OWNED, row_width

BATCH_ROWS = 8192
BATCH_BYTES = 4 << 20
"""Memory of the cells and texts of a batch, about."""
TEXT_COPIES = 3
"""How often the texts of a row group are in memory: as stored, looked up, and in a batch."""
READER_BYTES = 100_000
"""Memory of what reads a column in batches."""
FOOTER_COPIES = 4
"""Memory of a footer for each byte of it."""
FEW_OWNERS = 256
"""Resources that are gone through for each batch, used or not."""
_OWNER_COLUMNS = {Table.RESOURCES: "resource", Table.SCOPES: "scope"}

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Spans of one row group of the file, and where their events and links come from."""

    spans: pa.Table
    events: _Owned
    links: _Owned


class Feed:
    """Gives out the spans of a block in their order. Not thread-safe."""

    def __init__(self, reader: BlockReader) -> None:
        self.reader = reader
        self._small = {table: reader.part(table, 0) for table in _OWNER_COLUMNS}
        self._batches = self._read()
        self._left: _Batch | None = None
        self._at = 0

    def take(self, count: int) -> Iterator[SpanTables]:
        """Read the next spans, a batch at a time; take all of one before the next ``take``.

        Returns: tables that are good for encoding: ``traces`` is empty.
        Raises: CorruptionError, NotFoundError, UnavailableError.
        """
        while count > 0:
            batch = self._left or next(self._batches, None)
            if batch is None:
                raise CorruptionError("rows are missing", key=self.reader.footer(Table.SPANS).key)
            spans = batch.spans.slice(0, count)
            rest = batch.spans.slice(count)
            self._left = replace(batch, spans=rest) if len(rest) else None
            start, self._at = self._at, self._at + len(spans)
            count -= len(spans)
            spans, resources = self._used(spans, Table.RESOURCES)
            spans, scopes = self._used(spans, Table.SCOPES)
            yield SpanTables(
                spans=spans,
                events=batch.events.take(start, self._at),
                links=batch.links.take(start, self._at),
                traces=self.reader.footer(Table.TRACES).schema.empty_table(),
                resources=resources,
                scopes=scopes,
            )

    def _used(self, spans: pa.Table, table: Table) -> tuple[pa.Table, pa.Table]:
        """Leave out the resources (scopes) of other spans if there are many."""
        small = self._small[table]
        if len(small) <= FEW_OWNERS:
            return spans, small
        name = _OWNER_COLUMNS[table]
        used, numbers = np.unique(spans.column(name).to_numpy(), return_inverse=True)
        if not 0 <= used[0] <= used[-1] < len(small):
            raise CorruptionError(
                f"{name} outside of the {len(small)} rows of {table}",
                key=self.reader.footer(Table.SPANS).key,
            )
        place = spans.schema.get_field_index(name)
        field = spans.schema.field(place)
        spans = spans.set_column(place, field, pa.array(numbers.astype(np.int32)))
        return spans, take_rows(small, used.astype(np.int64), table)

    def _read(self) -> Iterator[_Batch]:
        for part in range(len(self.reader.footer(Table.SPANS).part_rows) - 1):
            events, links = (_Owned(self.reader, table, part) for table in OWNED)
            for spans in _batches(self.reader, Table.SPANS, part):
                yield _Batch(spans, events, links)


class _Owned:
    """The events or links of a row group of the file, read along with its spans."""

    def __init__(self, reader: BlockReader, table: Table, part: int) -> None:
        self._key = reader.footer(table).key
        self._schema = reader.footer(table).schema
        self._owner: Rows = reader.part(table, part, ["span"]).column(0).to_numpy()
        self._batches = _batches(reader, table, part)
        self._left: list[pa.Table] = []
        self._next = 0

    def take(self, start: int, stop: int) -> pa.Table:
        """Get those of spans ``start`` to ``stop``, with spans counted from 0. Called in order."""
        end = int(np.searchsorted(self._owner, stop))
        wanted = end - self._next
        parts = []
        while wanted > 0:
            batch = self._left.pop() if self._left else next(self._batches, None)
            if batch is None:
                raise CorruptionError("rows are missing", key=self._key)
            parts.append(batch.slice(0, wanted))
            if len(batch) > wanted:
                self._left.append(batch.slice(wanted))
            wanted -= len(parts[-1])
        owner = self._owner[self._next : end] - start
        self._next = end
        if not parts:
            return self._schema.empty_table()
        rows = pa.concat_tables(parts)
        place = rows.schema.get_field_index("span")
        return rows.set_column(place, rows.schema.field(place), pa.array(owner, pa.int64()))


def _batches(reader: BlockReader, table: Table, part: int) -> Iterator[pa.Table]:
    """Read a row group of the file: in batches, or at once where that leaves less in memory."""
    whole, in_batches = _memory(reader.footer(table), part)
    if whole < in_batches:
        yield reader.part(table, part)
    else:
        yield from reader.batches(table, part, _batch_rows(reader.footer(table), part))


def part_bytes(reader: BlockReader, table: Table, part: int) -> int:
    """Tell what a row group of the file is in memory, about: its cells, and its texts once."""
    return _part_bytes(reader.footer(table), part)


def memory_of(reader: BlockReader) -> int:
    """Estimate the memory that reading a block takes at most."""
    footers = {table: reader.footer(table) for table in Table}
    footer_bytes = sum(int(footer.metadata.serialized_size) for footer in footers.values())
    always = FOOTER_COPIES * footer_bytes
    for table in (Table.RESOURCES, Table.SCOPES):
        always += part_bytes(reader, table, 0)
    parts = range(len(footers[Table.SPANS].part_rows) - 1)
    tables = (Table.SPANS, *OWNED)
    return always + max(sum(min(_memory(footers[t], part)) for t in tables) for part in parts)


def _memory(footer: TableFooter, part: int) -> tuple[int, int]:
    """Estimate the memory of a row group that was read whole, and while it is read in batches."""
    group = footer.metadata.row_group(part)
    whole = _part_bytes(footer, part)
    texts = [field.name for field in footer.schema if pa.types.is_dictionary(field.type)]
    leaves = [leaf for name in texts for leaf in footer.leaves[name]]
    of_texts = sum(int(group.column(leaf).total_uncompressed_size) for leaf in leaves)
    batches = max(1.0, group.num_rows / _batch_rows(footer, part))
    readers = READER_BYTES * group.num_columns
    in_batches = int(group.total_byte_size) + (TEXT_COPIES - 1) * of_texts
    return whole, in_batches + readers + int(whole / batches)


def _part_bytes(footer: TableFooter, part: int) -> int:
    group = footer.metadata.row_group(part)
    return int(group.num_rows * row_width(footer.schema) + group.total_byte_size)


def _batch_rows(footer: TableFooter, part: int) -> int:
    rows = int(footer.metadata.row_group(part).num_rows)
    return max(1, min(BATCH_ROWS, rows * BATCH_BYTES // max(1, _part_bytes(footer, part))))

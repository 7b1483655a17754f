"""A trace that is a row group by itself, read in pieces of some thousand spans for encoding.

A piece holds part of the trace; what a trace is, is made anew from all its pieces.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.errors import CorruptionError
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.storage.block.reader import BlockReader

PIECE_SPANS = 16384
"""Spans that are read at a time."""
PIECE_CELLS = 1 << 20
"""Cells of ``spans`` that are read at a time, where there are many columns."""
Rows = npt.NDArray[np.int64]


def read_pieces(reader: BlockReader, group: int, stats: QueryStats) -> Iterator[SpanTables]:
    """Read a row group from its beginning to its end, past the cache.

    Raises: as ``BlockReader.footer``.
    """
    columns = len(reader.footer(Table.SPANS).schema)
    size = max(256, min(PIECE_SPANS, PIECE_CELLS // columns))
    small = {
        table: reader.columns(table, reader.footer(table).schema.names, 0, stats)
        for table in (Table.RESOURCES, Table.SCOPES)
    }
    start = reader.footer(Table.SPANS).first_row[group]
    events, links = (_Owned(reader, t, group, size) for t in (Table.EVENTS, Table.LINKS))
    for spans in reader.batches(Table.SPANS, group, size):
        stop = start + len(spans)
        yield SpanTables(
            spans=spans,
            events=events.take(start, stop),
            links=links.take(start, stop),
            traces=reader.footer(Table.TRACES).schema.empty_table(),
            resources=small[Table.RESOURCES],
            scopes=small[Table.SCOPES],
        )
        start = stop


class _Owned:
    """The events or links of a row group, read along with its spans."""

    def __init__(self, reader: BlockReader, table: Table, group: int, rows: int) -> None:
        self._owner: Rows = reader.columns(table, ["span"], group, QueryStats())[0].to_numpy()
        self._key = reader.footer(table).key
        self._schema = reader.footer(table).schema
        self._batches = reader.batches(table, group, rows)
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

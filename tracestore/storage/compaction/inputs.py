"""The blocks that are merged, read side by side in the order of trace IDs.

A cursor per block stands in one row group of it. Up to the first ID at which one of these row
groups ends, everything is known of all blocks, so traces up to there are taken, from all at once;
then that cursor goes on. No more than a row group of each block is looked at, and each once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.errors import CorruptionError
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.storage.block.cut import TraceRows
from tracestore.storage.block.lookup import ID_BYTES, extract_traces
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.compaction.large import PIECE_SPANS, read_pieces

Ids = npt.NDArray[np.bytes_]
Rows = npt.NDArray[np.int64]

_COLUMNS = ["trace_id", "first_span", "span_count"]


class Cursor:
    """A place among the traces of one block."""

    def __init__(self, reader: BlockReader, stats: QueryStats) -> None:
        self.reader = reader
        self._stats = stats
        self._groups = reader.footer(Table.TRACES).row_groups
        self._last = b""
        self._at = 0
        self.group = -1
        self.ids: Ids = np.empty(0, f"S{ID_BYTES}")
        self._load()

    def _load(self) -> None:
        """Go to the next row group that has traces; at the end there are no IDs left."""
        self._at = 0
        self.ids = self.ids[:0]
        while len(self.ids) == 0 and self.group + 1 < self._groups:
            self.group += 1
            traces = self.reader.columns(Table.TRACES, _COLUMNS, self.group, self._stats)
            self.ids = _ids(traces.column("trace_id").chunk(0))
            self._first, self._counts = (
                traces.column(name).to_numpy().astype(np.int64) for name in _COLUMNS[1:]
            )
            self._check()

    def _check(self) -> None:
        """See that IDs ascend and spans lie one after another: the merge rests on it."""
        key = self.reader.footer(Table.TRACES).key
        if len(self.ids) and (np.any(self.ids[1:] <= self.ids[:-1]) or self.ids[0] <= self._last):
            raise CorruptionError(f"trace IDs of row group {self.group} do not ascend", key=key)
        if len(self.ids):
            self._last = self.ids[-1]
        base, end = self.reader.footer(Table.SPANS).first_row[self.group : self.group + 2]
        ends = np.append(self._first, end)
        if np.any(self._first + self._counts != ends[1:]) or ends[0] != base:
            raise CorruptionError(
                f"traces of row group {self.group} do not cover its spans", key=key
            )

    @property
    def is_done(self) -> bool:
        return self._at >= len(self.ids)

    @property
    def last(self) -> np.bytes_:
        """The last ID of the row group."""
        found: np.bytes_ = self.ids[-1]
        return found

    def upto(self, last: np.bytes_) -> tuple[Ids, Rows]:
        """Look at the traces up to an ID: their IDs and numbers of spans."""
        stop = int(np.searchsorted(self.ids, last, side="right"))
        return self.ids[self._at : stop], self._counts[self._at : stop]

    def take(self, last: np.bytes_) -> TraceRows:
        """Go past the traces up to an ID. Returns: where they lie; none if there are none."""
        stop = int(np.searchsorted(self.ids, last, side="right"))
        part = slice(self._at, stop)
        self._at = max(stop, self._at)
        return TraceRows(
            rows=np.arange(part.start, max(stop, part.start), dtype=np.int64),
            first_span=self._first[part],
            span_count=self._counts[part],
        )

    def go_on(self) -> None:
        """Go to the next row group if this one is done."""
        if self.is_done:
            self._load()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Traces of one row group of one block."""

    reader: BlockReader
    group: int
    traces: TraceRows

    def read(self, stats: QueryStats) -> Iterator[SpanTables]:
        """Copy them into tables that are good for encoding; a large trace in pieces.

        Raises: CorruptionError, NotFoundError.
        """
        first_row = self.reader.footer(Table.SPANS).first_row
        spans = int(self.traces.span_count.sum())
        is_all = spans == first_row[self.group + 1] - first_row[self.group]
        if len(self.traces) == 1 and is_all and spans > PIECE_SPANS:
            yield from read_pieces(self.reader, self.group, stats)
        else:
            yield extract_traces(self.reader, self.group, self.traces, stats)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Some whole traces, and where all their parts are, in the order of the blocks."""

    places: Sequence[Place]
    spans: int
    """Repeated ones counted again."""
    traces: int
    """Each once."""


def read_steps(
    readers: Sequence[BlockReader], room: Callable[[], int], stats: QueryStats
) -> Iterator[Step]:
    """Go through all traces in the order of their IDs, some at a time.

    Args:
        readers: in the order in which equal spans are preferred.
        room: spans that the next step may have; a trace that has more makes a step of its own.

    Raises: CorruptionError, NotFoundError, UnavailableError naming an object of a block.
    """
    cursors = [Cursor(reader, stats) for reader in readers]
    while active := [cursor for cursor in cursors if not cursor.is_done]:
        known = min(cursor.last for cursor in active)
        seen = [cursor.upto(known) for cursor in active]
        ids, places = np.unique(np.concatenate([one for one, _ in seen]), return_inverse=True)
        spans = np.bincount(places, np.concatenate([counts for _, counts in seen])).astype(np.int64)
        ends = np.cumsum(spans)
        first, done = 0, 0
        while first < len(ids):
            stop = max(first + 1, int(np.searchsorted(ends, done + room(), side="right")))
            taken = [
                Place(reader=cursor.reader, group=cursor.group, traces=traces)
                for cursor in active
                if len(traces := cursor.take(ids[stop - 1]))
            ]
            yield Step(places=taken, spans=int(ends[stop - 1]) - done, traces=stop - first)
            first, done = stop, int(ends[stop - 1])
        for cursor in active:
            cursor.go_on()


def _ids(column: pa.FixedSizeBinaryArray) -> Ids:
    """View trace IDs as S16. They compare like the bytes: zeros at the end are the smallest."""
    ids: Ids = np.frombuffer(column.buffers()[1], f"S{ID_BYTES}")[column.offset :][: len(column)]
    return ids


def memory_of(reader: BlockReader) -> int:
    """Estimate the bytes of the largest row group of a block, read."""
    spans = reader.footer(Table.SPANS)
    found = 0
    for group in range(spans.row_groups):
        size = 0
        for table in (Table.SPANS, Table.EVENTS, Table.LINKS):
            footer = reader.footer(table)
            rows = footer.first_row[group + 1] - footer.first_row[group]
            widths = sum(_width(field.type) for field in footer.schema)
            size += rows * widths + footer.metadata.row_group(group).total_byte_size
        found = max(found, size)
    return found


def _width(kind: pa.DataType) -> int:
    """Bytes of a cell beside texts, which are counted as the file has them."""
    if pa.types.is_fixed_size_binary(kind):
        return int(kind.byte_width)
    return 8 if pa.types.is_int64(kind) or pa.types.is_float64(kind) else 4

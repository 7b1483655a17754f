"""The blocks that are merged, read side by side in the order of trace IDs.

A cursor per input stands in one row group of it. Up to the first ID at which one of these row
groups ends, everything is known of all inputs, so traces up to there are taken, from all at once;
then that cursor goes on. No more than a row group of each input is looked at, and each once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.errors import CorruptionError
from tracestore.model.tables import SAMPLING_WEIGHT, Table
from tracestore.storage.block.lookup import ID_BYTES
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.row_groups import OWNED
from tracestore.storage.block.weights import has_weights
from tracestore.storage.compaction.feed import Feed, part_bytes

Ids = npt.NDArray[np.bytes_]
Rows = npt.NDArray[np.int64]

_COLUMNS = ["trace_id", "first_span", "span_count"]


class Cursor:
    """A place among the traces of one input: blocks of which each has IDs beyond those before."""

    def __init__(self, readers: Iterable[BlockReader]) -> None:
        self._readers = iter(readers)
        self.span_bytes = 0.0
        """Of the row group, on average."""
        self._last = b""
        self._at = 0
        self.ids: Ids = np.empty(0, f"S{ID_BYTES}")
        self._open()
        self._load()

    def _open(self) -> bool:
        """Go to the next block. Returns: whether there is one."""
        reader = next(self._readers, None)
        if reader is None:
            return False
        self.feed = Feed(reader)
        self.reader = reader
        self._groups = reader.footer(Table.TRACES).row_groups
        self.group = -1
        return True

    def _load(self) -> None:
        """Go to the next row group that has traces; at the end there are no IDs left."""
        self._at = 0
        self.ids = self.ids[:0]
        while len(self.ids) == 0 and (self.group + 1 < self._groups or self._open()):
            self.group += 1
            part = self.reader.footer(Table.TRACES).parts[self.group][-1]
            names = [*_COLUMNS, *self._weight_column()]
            self._traces = traces = self.reader.part(Table.TRACES, part, names)
            self.ids = _ids(traces.column("trace_id").chunk(0))
            self._first, self._counts = (
                traces.column(name).to_numpy().astype(np.int64) for name in _COLUMNS[1:]
            )
            self._check()
            self.span_bytes = self._bytes() / max(1, int(self._counts.sum()))

    def _weight_column(self) -> list[str]:
        schema = self.reader.footer(Table.TRACES).schema
        return [SAMPLING_WEIGHT.name] if has_weights(schema) else []

    def _bytes(self) -> int:
        parts = self.reader.footer(Table.SPANS).parts[self.group]
        tables = (Table.SPANS, *OWNED)
        return sum(part_bytes(self.reader, table, part) for table in tables for part in parts)

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

    def take(self, last: np.bytes_) -> Place:
        """Go past the traces up to an ID. Returns: where their spans lie."""
        stop = max(self._at, int(np.searchsorted(self.ids, last, side="right")))
        part = slice(self._at, stop)
        self._at = stop
        start = int(self._first[part.start]) if stop > part.start else 0
        return Place(
            feed=self.feed,
            start=start,
            spans=int(self._counts[part].sum()),
            traces=self._traces.slice(part.start, stop - part.start),
        )

    def go_on(self) -> None:
        """Go to the next row group if this one is done."""
        if self.is_done:
            self._load()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Spans of whole traces, one behind the other in a block."""

    feed: Feed
    start: int
    """Row of the first."""
    spans: int
    traces: pa.Table
    """Their IDs, and weights if there are any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Some whole traces, and where all their parts are, in the order of the blocks."""

    trace_id: bytes
    """Of the first."""
    places: Sequence[Place]
    spans: int
    """Repeated ones counted again."""
    bytes: int
    """In memory, about."""
    traces: int
    """Each once."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much a step may be."""

    spans: int
    bytes: int


def read_steps(inputs: Sequence[Iterable[BlockReader]], room: Callable[[], Room]) -> Iterator[Step]:
    """Go through all traces in the order of their IDs, some at a time.

    Args:
        inputs: in the order in which equal spans are preferred; each one block, or some whose IDs
            ascend. What a step has is to be taken from the feeds before the next step.
        room: what the next step may be; a trace that is more makes a step of its own.

    Raises: CorruptionError, NotFoundError, UnavailableError naming an object of a block.
    """
    cursors = [Cursor(readers) for readers in inputs]
    while active := [cursor for cursor in cursors if not cursor.is_done]:
        known = min(cursor.last for cursor in active)
        yield from _steps_upto(known, active, room)
        for cursor in active:
            cursor.go_on()


def _steps_upto(known: np.bytes_, active: list[Cursor], room: Callable[[], Room]) -> Iterator[Step]:
    seen = [cursor.upto(known) for cursor in active]
    ids, places = np.unique(np.concatenate([one for one, _ in seen]), return_inverse=True)
    counts = np.concatenate([counts for _, counts in seen])
    sizes = np.concatenate([n * c.span_bytes for c, (_, n) in zip(active, seen, strict=True)])
    spans, size = (
        np.cumsum(np.bincount(places, each)).astype(np.int64) for each in (counts, sizes)
    )
    first, spans_done, bytes_done = 0, 0, 0
    while first < len(ids):
        most = room()
        fits = np.searchsorted(spans, spans_done + most.spans, side="right")
        in_bytes = np.searchsorted(size, bytes_done + most.bytes, side="right")
        stop = max(first + 1, int(min(fits, in_bytes)))
        taken = [place for cursor in active if (place := cursor.take(ids[stop - 1])).spans]
        yield Step(
            trace_id=bytes(ids[first]).ljust(ID_BYTES, b"\0"),
            places=taken,
            spans=int(spans[stop - 1]) - spans_done,
            bytes=int(size[stop - 1]) - bytes_done,
            traces=stop - first,
        )
        first, spans_done, bytes_done = stop, int(spans[stop - 1]), int(size[stop - 1])


def _ids(column: pa.FixedSizeBinaryArray) -> Ids:
    """View trace IDs as S16. They compare like the bytes: zeros at the end are the smallest."""
    ids: Ids = np.frombuffer(column.buffers()[1], f"S{ID_BYTES}")[column.offset :][: len(column)]
    return ids

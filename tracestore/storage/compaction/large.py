"""A trace that is larger than a row group, put in order by way of the disk.

Which spans there are, and their order, follows from their IDs, kinds and starts: these are read
first, and numbered as one trace. Then all of the spans is read once, and lies in a file by the
piece in which it will stand; at last each piece goes through the kernel like other traces, but with
the numbers of the whole. In memory are about 120 B a span while they are arranged, 20 B later, and
a piece.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.kernel import Arrangement, SpanBuilder, arrange, encode_parts
from tracestore.model.tables import FIXED_SCHEMA, TIMESTAMP, SpanTables, Table
from tracestore.storage.block.cut import ranges
from tracestore.storage.block.dictionaries import one_array
from tracestore.storage.block.row_groups import OWNED, Cost, cut_rows
from tracestore.storage.block.trace_sums import ints, span_ids, times
from tracestore.storage.compaction.columns import Columns
from tracestore.storage.compaction.feed import part_bytes
from tracestore.storage.compaction.inputs import Place, Room, Step
from tracestore.storage.compaction.spool import Spool

NARROW = ("span_id", "parent_span_id", "kind", "start_time")

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class _Narrow:
    """What the order of spans depends on: (N,) each."""

    span_id: npt.NDArray[np.uint64]
    parent_id: npt.NDArray[np.uint64]
    kind: npt.NDArray[np.int32]
    start_ns: Rows
    size: npt.NDArray[np.float32]
    """Bytes of a span, about."""

    @classmethod
    def join(cls, parts: Sequence[_Narrow]) -> _Narrow:
        """Put the spans of some places one behind the other."""
        return cls(
            np.concatenate([one.span_id for one in parts]),
            np.concatenate([one.parent_id for one in parts]),
            np.concatenate([one.kind for one in parts]),
            np.concatenate([one.start_ns for one in parts]),
            np.concatenate([one.size for one in parts]),
        )

    def where(self, mask: Mask) -> _Narrow:
        """Keep some spans."""
        return _Narrow(
            self.span_id[mask],
            self.parent_id[mask],
            self.kind[mask],
            self.start_ns[mask],
            self.size[mask],
        )


class LargeTrace:
    """One trace, in pieces. The spool has to stay open for as long."""

    def __init__(self, step: Step, most: Room, spool: Spool) -> None:
        """Find the order of the spans.

        Args:
            step: of one trace.
            most: of a piece.

        Raises: CorruptionError, NotFoundError, UnavailableError.
        """
        self.trace_id = step.trace_id
        self.end_ns = 0
        """Latest end of a span; known once it is spooled."""
        self._places = step.places
        self._most = most
        self._spool = spool
        self._kept: list[Mask] = []
        narrow = self._read_narrow()
        ids = np.frombuffer(step.trace_id, np.uint8).reshape(1, 16)
        traces = np.zeros(len(narrow.kind), np.int32)
        sizes = narrow.size
        self._arrangement = arrange(
            ids, traces, narrow.span_id, narrow.parent_id, narrow.kind, narrow.start_ns
        )
        del narrow, traces
        self._cut(sizes)

    @property
    def spans(self) -> int:
        """Spans, each counted once."""
        return int(self._cuts[-1])

    def _read_narrow(self) -> _Narrow:
        """Read the columns, and note which spans were not there before."""
        found: _Narrow | None = None
        for place in self._places:
            more = _read_place(place)
            known = 0 if found is None else len(found.kind)
            found = more if found is None else _Narrow.join([found, more])
            is_first = np.ones(known + place.spans, np.bool_)
            if known:
                is_first = _firsts(found.span_id, found.kind)
                found = found.where(is_first)
            self._kept.append(is_first[known:])
        assert found is not None
        return found

    def _cut(self, sizes: npt.NDArray[np.float32]) -> None:
        """Find where pieces begin, and the place of each span."""
        order = self._arrangement.order
        self._position = np.empty(len(order), np.int32)
        self._position[order] = np.arange(len(order), dtype=np.int32)
        upto = np.zeros(len(order) + 1, np.int64)
        upto[1:] = np.cumsum(sizes[order], dtype=np.float64)
        spans = Cost(np.arange(len(order) + 1), self._most.spans)
        self._cuts = cut_rows(
            np.empty(0, np.int64), [spans, Cost(upto, self._most.bytes)], len(order)
        )
        self._arrangement = self._arrangement._replace(order=order[:0])

    def spool(self) -> Iterator[None]:
        """Read the spans, and put them into the file; gives way after each batch.

        Raises: as the constructor.
        """
        done = 0
        for place, kept in zip(self._places, self._kept, strict=True):
            row = 0
            for tables in place.feed.take(place.spans):
                rows = np.flatnonzero(kept[row : row + len(tables.spans)])
                row += len(tables.spans)
                self._put(tables, rows, self._position[done : done + len(rows)])
                done += len(rows)
                yield

    def _put(self, tables: SpanTables, rows: Rows, positions: npt.NDArray[np.int32]) -> None:
        if len(rows) == 0:
            return
        pieces = np.searchsorted(self._cuts, positions, side="right") - 1
        order = np.argsort(pieces, kind="stable")
        taken = _take(tables, rows[order])
        ends = times(taken.spans["start_time"].combine_chunks())
        with np.errstate(over="ignore"):
            ends = ends + times(taken.spans["duration"].combine_chunks())
        self.end_ns = max(self.end_ns, int(ends.max()))
        pieces, positions = pieces[order], positions[order]
        stops = np.append(np.flatnonzero(np.diff(pieces)) + 1, len(pieces))
        start = 0
        for stop, request in encode_parts(taken, stops.tolist(), self._most.bytes):
            self._spool.put(int(pieces[start]), request, positions[start:stop].copy())
            start = stop

    def pieces(self, wanted: dict[Table, Columns]) -> Iterator[SpanTables]:
        """Make the pieces. In ``traces`` is the trace with the last, with places from there on.

        Raises: UnavailableError.
        """
        listed: list[pa.Table] = []
        for piece in range(len(self._cuts) - 1):
            tables = self._piece(piece, wanted)
            listed.append(tables.traces)
            is_last = piece == len(self._cuts) - 2
            yield SpanTables(
                spans=tables.spans,
                events=tables.events,
                links=tables.links,
                traces=self._sum(listed) if is_last else tables.traces.slice(0, 0),
                resources=tables.resources,
                scopes=tables.scopes,
            )

    def _piece(self, piece: int, wanted: dict[Table, Columns]) -> SpanTables:
        start, stop = self._cuts[piece : piece + 2]
        builder, positions = SpanBuilder(), []
        for request, some in self._spool.read(piece):
            builder.append(request)
            positions.append(some)
        whole = self._arrangement
        return builder.freeze(
            wanted=wanted,
            arrangement=Arrangement(
                order=np.argsort(np.concatenate(positions), kind="stable"),
                first_span=np.array([0, stop - start], np.int64),
                trace_order=np.zeros(1, np.int32),
                nested_left=whole.nested_left[start:stop],
                nested_right=whole.nested_right[start:stop],
                nested_parent=whole.nested_parent[start:stop],
                child_count=whole.child_count[start:stop],
            ),
        ).tables()

    def _sum(self, listed: Sequence[pa.Table]) -> pa.Table:
        """Make the row of the trace from what each piece says of it; its root is the last one."""
        rows = pa.concat_tables(listed).unify_dictionaries().combine_chunks()
        column = {name: one_array(rows[name]) for name in rows.column_names}
        roots = np.flatnonzero(column["root_span"].is_valid().to_numpy(zero_copy_only=False))
        root = roots[-1:]
        start = self._cuts[-2]
        moved = ints(column["root_span"])[root] + self._cuts[root] - start
        made = {
            "trace_id": column["trace_id"].slice(0, 1),
            "first_span": pa.array([-start], pa.int64()),
            "span_count": pa.array([self.spans], pa.int32()),
            "error_count": pa.array([ints(column["error_count"]).sum()], pa.int32()),
            "start_time": _time(times(column["start_time"]).min()),
            "end_time": _time(times(column["end_time"]).max()),
            "root_span": pa.array(moved) if len(root) else pa.nulls(1, pa.int64()),
            "root_name": column["root_name"].slice(root[0] if len(root) else 0, 1),
            "root_service_name": column["root_service_name"].slice(root[0] if len(root) else 0, 1),
        }
        schema = FIXED_SCHEMA[Table.TRACES]
        return pa.Table.from_arrays([made[name] for name in schema.names], schema=schema)


def _read_place(place: Place) -> _Narrow:
    reader = place.feed.reader
    rows = reader.footer(Table.SPANS).part_rows
    stop = place.start + place.spans
    parts = []
    for part in range(bisect.bisect_right(rows, place.start) - 1, bisect.bisect_left(rows, stop)):
        first = max(place.start - rows[part], 0)
        spans = reader.part(Table.SPANS, part, NARROW).slice(first, stop - rows[part] - first)
        column = {name: one_array(spans[name]) for name in NARROW}
        tables = (Table.SPANS, *OWNED)
        size = sum(part_bytes(reader, table, part) for table in tables)
        size_of_one = size / (rows[part + 1] - rows[part])
        narrow = _Narrow(
            span_ids(column["span_id"]),
            span_ids(column["parent_span_id"]),
            ints(column["kind"]).astype(np.int32),
            ints(column["start_time"]),
            np.full(len(spans), size_of_one, np.float32),
        )
        parts.append(narrow)
    return _Narrow.join(parts)


def _firsts(span_id: npt.NDArray[np.uint64], kind: npt.NDArray[np.int32]) -> Mask:
    """(N,) Mark the first span of each ID and kind."""
    order = np.lexsort((kind, span_id))
    is_first = np.ones(len(order), np.bool_)
    is_same = span_id[order[1:]] == span_id[order[:-1]]
    is_same &= kind[order[1:]] == kind[order[:-1]]
    is_first[order[1:][is_same]] = False
    return is_first


def _take(tables: SpanTables, rows: Rows) -> SpanTables:
    """Copy spans, in the order given, with their events and links."""
    if len(rows) == len(tables.spans) and np.all(np.diff(rows) == 1):
        return tables
    return SpanTables(
        spans=tables.spans.take(pa.array(rows)),
        events=_take_owned(tables.events, rows),
        links=_take_owned(tables.links, rows),
        traces=tables.traces,
        resources=tables.resources,
        scopes=tables.scopes,
    )


def _take_owned(table: pa.Table, spans: Rows) -> pa.Table:
    owner = table["span"].to_numpy()
    first = np.searchsorted(owner, spans)
    counts = np.searchsorted(owner, spans, side="right") - first
    taken = table.take(pa.array(ranges(first, counts)))
    place = table.schema.get_field_index("span")
    moved = pa.array(np.repeat(np.arange(len(spans)), counts))
    return taken.set_column(place, table.schema.field(place), moved)


def _time(value: np.uint64) -> pa.Array:
    return pa.array(np.array([value]).view(np.int64)).view(TIMESTAMP)

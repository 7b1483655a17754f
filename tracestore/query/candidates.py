"""One source -> the traces in it that match.

Everything here is vectorised over the traces of a source; nothing is per span or per trace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracestore.model.tables import Table
from tracestore.model.times import TimeRange
from tracestore.query.bind import Binder
from tracestore.query.groups import Spansets, matched_traces
from tracestore.query.masks import BoolArray, pack, settle, unpack
from tracestore.query.pipeline import BoundPipeline, trace_groups
from tracestore.query.plan import SearchPlan
from tracestore.query.scan import SourceScan, SourceTraces
from tracestore.query.shown_traces import ShownTraces

SORTED_MIN = 256
"""Traces that are sorted at a time, at least."""
_SAMPLE = 2048
_SAMPLE_MARGIN = 8
TIME_MAX = (1 << 64) - 1
Rows = npt.NDArray[np.int64]


class NewestFirst:
    """Rows of traces by start, latest first, ties by row; sorted only as far as they are taken."""

    def __init__(self, rows: Rows, start_ns: npt.NDArray[np.uint64]) -> None:
        """Take (M,) rows, ascending, and the start of each."""
        self._rows = rows
        self._start_ns = start_ns
        self._sorted = rows[:0]
        self._bound: np.uint64 | None = None
        """What starts at or behind it is sorted."""

    def get(self, position: int) -> int | None:
        """Get the row in a place, None behind the last."""
        while position >= len(self._sorted) < len(self._rows):
            self._sort_more(max(SORTED_MIN, len(self._sorted)))
        return int(self._sorted[position]) if position < len(self._sorted) else None

    def _sort_more(self, count: int) -> None:
        rows, start_ns = self._rows, self._start_ns
        if self._bound is not None:
            rest = start_ns < self._bound
            rows, start_ns = rows[rest], start_ns[rest]
        if count < len(rows):
            self._bound = _late_bound(start_ns, count)
            later = np.flatnonzero(start_ns >= self._bound)
            rows, start_ns = rows[later], start_ns[later]
        order = np.lexsort((rows, ~start_ns))
        self._sorted = np.concatenate([self._sorted, rows[order]])


def _late_bound(start_ns: npt.NDArray[np.uint64], count: int) -> np.uint64:
    """Find a start that at least ``count`` of (M,) reach, and hardly ever many times as many.

    It is guessed from a sample, as sorting out so few of many takes longer than anything else.
    """
    step = len(start_ns) // _SAMPLE
    if step > 1:
        sample = start_ns[::step]
        place = max(len(sample) - 2 * count // step - _SAMPLE_MARGIN, 0)
        bound: np.uint64 = np.partition(sample, place)[place]
        if np.count_nonzero(start_ns >= bound) >= count:
            return bound
    exact: np.uint64 = np.partition(start_ns, len(start_ns) - count)[len(start_ns) - count]
    return exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """The matched traces of one source."""

    scan: SourceScan
    pipeline: BoundPipeline
    rows: Rows
    """(M,) rows of ``traces``, ascending."""
    outside: BoolArray
    """(M,) whether the spans here lie outside the time window; other parts may lie in it."""
    packed: dict[int, npt.NDArray[np.uint8] | bool]
    """Matched spans by chunk, a bit each."""

    def newest_first(self) -> NewestFirst:
        """Put the traces in order."""
        start_ns = self.scan.traces.start_ns
        is_all = len(self.rows) == len(start_ns)
        return NewestFirst(self.rows, start_ns if is_all else start_ns[self.rows])

    def is_outside(self, row: int) -> bool:
        """Tell whether a matched trace lies outside the time window, as far as it is here."""
        return bool(self.outside[np.searchsorted(self.rows, row)])

    @property
    def binder(self) -> Binder:
        """What bound the query to the source."""
        return self.pipeline.binder

    def spansets(self, scan: ShownTraces) -> Spansets:
        """Get the spansets of some matched traces.

        Where nothing is said of spansets they are the matched spans; else the pipeline is run once
        more, since groups of all matches would take much more memory than a bit a span.
        """
        if self.pipeline.plan.tells:
            return self.pipeline.run(scan)
        parts = [
            np.full(count, packed) if isinstance(packed, bool) else unpack(packed, begin, count)
            for piece in scan.pieces
            for packed in [self.packed[piece.chunk.index]]
            for begin, count in piece.spans
        ]
        return Spansets(settle(np.concatenate(parts)), trace_groups(scan))


def evaluate(scan: SourceScan, plan: SearchPlan, window: TimeRange | None) -> Matches | None:
    """Evaluate a query on all traces of a source; None if it provably has no match.

    Raises: DeadlineError between chunks; InvalidRequestError if a structural operator meets several
    spansets in a trace inside the window; what the source raises.
    """
    pipeline = BoundPipeline(scan, plan)
    if pipeline.is_never:
        return None
    traces, stats = scan.traces, scan.stats
    inside = is_inside(traces, window)
    found: list[Rows] = []
    packed: dict[int, npt.NDArray[np.uint8] | bool] = {}
    for chunk in scan.chunks:
        chunk_scan = scan.chunk(chunk)
        part = chunk_scan.trace_slice
        spansets = pipeline.run(chunk_scan, inside[part] if plan.may_fail else True)
        mask = spansets.marked
        if mask is not False or chunk_scan.has_read:
            stats.inspected_spans += chunk.spans
            stats.inspected_traces += chunk.traces
        rows = matched_traces(mask, chunk_scan.span_counts)
        if len(rows):
            found.append(rows + chunk.first_trace)
            packed[chunk.index] = mask if isinstance(mask, bool) else pack(mask)
    rows = np.concatenate([np.empty(0, np.int64), *found])
    outside = np.zeros(len(rows), np.bool_) if window is None else ~inside[rows]
    return Matches(scan=scan, pipeline=pipeline, rows=rows, outside=outside, packed=packed)


def is_inside(traces: SourceTraces, window: TimeRange | None) -> BoolArray:
    """Mark the traces that have some time in the window."""
    if window is None:
        return np.ones(len(traces), np.bool_)
    last = np.uint64(min(max(window.end_ns - 1, 0), TIME_MAX))
    first = np.uint64(min(max(window.start_ns, 0), TIME_MAX))
    inside: BoolArray = (traces.start_ns <= last) & (traces.end_ns >= first)
    return inside if window.end_ns > 0 else np.zeros(len(traces), np.bool_)


def latest_start_ns(scan: SourceScan) -> int:
    """Bound the starts of a source's traces from above, without opening tables if filters can."""
    known = scan.filters.intrinsic(Table.SPANS, "start_time") if scan.filters is not None else None
    if known is not None and known.minimum is not None and known.maximum is not None:
        return int(known.maximum) if known.minimum >= 0 else TIME_MAX
    return int(scan.traces.start_ns.max()) if len(scan.traces) else 0

"""Search: the newest traces with a matching span, complete and repeatable, over any sources.

Sources are evaluated one by one, newest first, as long as an unevaluated one could hold a newer
trace than the next in line. A trace with spans in several sources is put together and evaluated
whole, so that the answer does not depend on where its spans happen to lie.

Known limit: a source that lies wholly outside the time window is only asked for the rest of traces
that were found in the others.

Source: TraceQL reference, 5.8 to 5.11.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import count

from tracestore.model.results import QueryStats, SearchResult, TraceSummary
from tracestore.model.tables import Table
from tracestore.model.times import TimeRange
from tracestore.query.candidates import (
    Matches,
    NewestFirst,
    evaluate,
    keep_shared,
    latest_start_ns,
    split_traces,
)
from tracestore.query.control import QueryControl
from tracestore.query.fragments import locate, read_whole
from tracestore.query.plan import SearchPlan
from tracestore.query.scan import SourceScan
from tracestore.query.source import SpanSource
from tracestore.query.spansets import BoundMentions, Renderer


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchParams:
    """What to return."""

    limit: int
    """Traces, at least 1."""
    spans_per_span_set: int
    """Matched spans shown of each trace, at least 1."""
    window: TimeRange | None = None
    """Traces with some time in it; spans are not looked at one by one."""


def search(
    sources: Sequence[SpanSource], plan: SearchPlan, params: SearchParams, control: QueryControl
) -> SearchResult:
    """Find the newest ``limit`` traces: by start, latest first, ties by trace ID.

    Raises: DeadlineError; what a source raises that cannot be read. Nothing is left out silently.
    """
    assert params.limit > 0
    assert params.spans_per_span_set > 0
    return _Search(sources, plan, params, control).run()


class _Rank(IntEnum):
    """At equal start a source is first in line, as it may hold a trace that comes before."""

    SOURCE = 0
    TRACE = 1


@dataclass(frozen=True, slots=True)
class _Found:
    """A trace of the answer: the row ``row`` of ``traces`` in the source of ``matches``."""

    matches: Matches
    row: int


_Step = Callable[[], _Found | None]
"""What to do with the first in line; gives a trace of the answer or lines up what comes of it."""


class _Search:
    """The state of one search: a line of sources and traces, newest first."""

    def __init__(
        self,
        sources: Sequence[SpanSource],
        plan: SearchPlan,
        params: SearchParams,
        control: QueryControl,
    ) -> None:
        self._plan = plan
        self._params = params
        self._control = control
        self._stats = QueryStats()
        self._scans = [
            SourceScan(source, self._stats, control)
            for source in sorted(sources, key=lambda source: source.id)
            if source.rows(Table.TRACES)
        ]
        window = params.window
        self._inside = [
            scan
            for scan in self._scans
            if window is None or window.overlaps(scan.source.start_ns, scan.source.end_ns)
        ]
        self._line: list[tuple[int, _Rank, bytes, int, _Step]] = []
        self._ticket = count()
        self._done: set[bytes] = set()

    def run(self) -> SearchResult:
        """Take the first in line until there are enough traces."""
        self._line_up_sources()
        found: list[_Found] = []
        while self._line and len(found) < self._params.limit:
            self._control.check()
            step = heapq.heappop(self._line)[-1]
            if (one := step()) is not None:
                found.append(one)
        return SearchResult(traces=self._render(found), stats=self._stats)

    def _line_up(self, start_ns: int, rank: _Rank, trace_id: bytes, step: _Step) -> None:
        heapq.heappush(self._line, (-start_ns, rank, trace_id, next(self._ticket), step))

    def _line_up_sources(self) -> None:
        for scan in self._inside:
            self._control.check()
            if not scan.source.is_live:
                self._stats.total_blocks += 1
                self._stats.total_block_bytes += scan.source.stored_bytes
            self._line_up(latest_start_ns(scan), _Rank.SOURCE, b"", self._evaluating(scan))
        if self._plan.needs_whole_trace:
            for start_ns, trace_id in split_traces(self._inside):
                self._line_up(start_ns, _Rank.TRACE, trace_id, self._joining(trace_id))

    def _evaluating(self, scan: SourceScan) -> _Step:
        def step() -> None:
            matches = evaluate(scan, self._plan, self._params.window)
            if matches is None:
                self._stats.pruned_blocks += not scan.source.is_live
                return
            matches = keep_shared(matches, self._inside)
            self._line_up_next(matches, matches.newest_first(), 0)

        return step

    def _line_up_next(self, matches: Matches, order: NewestFirst, position: int) -> None:
        row = order.get(position)
        if row is not None:
            traces = matches.scan.traces
            step = self._taking(matches, order, position)
            self._line_up(int(traces.start_ns[row]), _Rank.TRACE, traces.trace_id(row), step)

    def _taking(self, matches: Matches, order: NewestFirst, position: int) -> _Step:
        """Take a matched trace, unless it has spans elsewhere: then the whole trace is lined up."""

        def step() -> _Found | None:
            self._line_up_next(matches, order, position + 1)
            row = order.get(position)
            assert row is not None
            trace_id = matches.scan.traces.trace_id(row)
            if trace_id in self._done:
                return None
            self._done.add(trace_id)
            located = locate(self._scans, trace_id)
            if len(located) > 1:
                self._join([scan for scan, _ in located], trace_id)
                return None
            return None if matches.is_outside(row) else _Found(matches, row)

        return step

    def _joining(self, trace_id: bytes) -> _Step:
        """Line up a trace as a whole if it is in several sources."""

        def step() -> None:
            located = locate(self._scans, trace_id)
            if trace_id not in self._done and len(located) > 1:
                self._done.add(trace_id)
                self._join([scan for scan, _ in located], trace_id)

        return step

    def _join(self, scans: Sequence[SourceScan], trace_id: bytes) -> None:
        whole = read_whole(scans, trace_id)
        before = self._stats.inspected_spans, self._stats.inspected_traces
        scan = SourceScan(whole, self._stats, self._control)
        matches = evaluate(scan, self._plan, self._params.window)
        self._stats.inspected_spans, self._stats.inspected_traces = before
        if matches is None or len(matches.rows) == 0 or matches.outside[0]:
            return
        found = _Found(matches, int(matches.rows[0]))
        self._line_up(whole.start_ns, _Rank.TRACE, trace_id, lambda: found)

    def _render(self, found: Sequence[_Found]) -> tuple[TraceSummary, ...]:
        """Summarise the traces, chunk by chunk, so that each column is read once."""
        by_chunk: dict[tuple[int, int], list[_Found]] = {}
        for one in found:
            chunk = one.matches.chunk_of(one.row)
            by_chunk.setdefault((id(one.matches), chunk.index), []).append(one)
        summaries: list[TraceSummary] = []
        bound: dict[int, BoundMentions] = {}
        for group in by_chunk.values():
            matches = group[0].matches
            chunk = matches.chunk_of(group[0].row)
            if id(matches) not in bound:
                bound[id(matches)] = BoundMentions(matches.binder, self._plan.shown)
            renderer = Renderer(
                matches.scan.chunk(chunk),
                bound[id(matches)],
                spans_per_span_set=self._params.spans_per_span_set,
            )
            mask = matches.mask(chunk)
            summaries.extend(renderer.summary(one.row, mask) for one in group)
        return tuple(sorted(summaries, key=lambda trace: (-trace.start_ns, trace.trace_id)))

"""Search: the traces with a match, complete, ordered and repeatable, over any sources.

A trace with spans in several sources is put together and evaluated whole, so that the answer does
not depend on where its spans happen to lie.

Source: TraceQL reference, 5.8 to 5.11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tracestore.errors import CorruptionError, UnavailableError
from tracestore.model.results import (
    Explanation,
    QueryStats,
    SearchResult,
    TraceCount,
    TraceSummary,
)
from tracestore.model.times import TimeRange
from tracestore.query.control import QueryControl
from tracestore.query.every import cursor_behind, take_page
from tracestore.query.found import Scope
from tracestore.query.fragments import full_id
from tracestore.query.growing import Growing, answer_bytes
from tracestore.query.metered_source import MeteredSource
from tracestore.query.newest import NewestLine
from tracestore.query.ordering import Cursor, Sort, newest_key
from tracestore.query.plan import SearchPlan
from tracestore.query.progress import Progress
from tracestore.query.source import SpanSource
from tracestore.query.totals import sum_explanations, sum_stats


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchParams:
    """What to return."""

    limit: int
    """Traces, at least 1."""
    spans_per_span_set: int
    """Matched spans shown of each trace, at least 1."""
    window: TimeRange | None = None
    """Traces with some time in it; spans are not looked at one by one."""
    reach_ns: int | None = None
    """A trace that touches the window is found by spans outside of it as far away as this."""
    sort: Sort = Sort.NEWEST
    count: bool = False
    """Tell how many match in all, and where the next page begins."""
    query: str = ""
    """What cursors are bound to."""
    cursor: Cursor | None = None
    """Where the page before ended."""
    allow_partial: bool = False
    """Leave out sources that cannot be read, and name them."""
    explain: bool = False

    @property
    def is_newest_alone(self) -> bool:
        """Whether no more sources are looked at than the first traces take."""
        return self.sort is Sort.NEWEST and not self.count and self.cursor is None


def search(
    sources: Sequence[SpanSource],
    plan: SearchPlan,
    params: SearchParams,
    control: QueryControl,
    progress: Progress[SearchResult] | None = None,
) -> SearchResult:
    """Find the first ``limit`` traces in the order asked for, ties by trace ID.

    Args:
        progress: is shown the first traces as soon as it is sure that they are the first, newest
            first only. What was shown begins the answer, except where a source turns out to be
            unreadable in between and a partial answer will do.

    Raises: DeadlineError; LimitExceededError; what a source raises that cannot be read, unless a
    partial answer will do. Nothing is left out silently.
    """
    part = search_part(sources, plan, params, control, progress=progress)
    return combine_search([part], params, control)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPart:
    """What some of the sources have to say to a search."""

    traces: tuple[TraceSummary, ...]
    """The first that match, in order; a trace in several sources may be in several parts."""
    keys: tuple[int, ...]
    """What each is ordered by."""
    has_more: bool = False
    singles: int = 0
    """Matching traces that lie in one source; only known if all are listed."""
    wholes: tuple[bytes, ...] = ()
    """The IDs of those in several."""
    asked_ns: int = 0
    stats: QueryStats
    explanation: Explanation | None = None
    missing: tuple[str, ...] = ()
    """IDs of sources that could not be read."""


def search_part(
    sources: Sequence[SpanSource],
    plan: SearchPlan,
    params: SearchParams,
    control: QueryControl,
    *,
    primary: frozenset[str] | None = None,
    progress: Progress[SearchResult] | None = None,
) -> SearchPart:
    """Find the first ``limit`` traces that have a part in some sources.

    Args:
        primary: IDs of the sources that are answered for; None: all.

    Raises: as ``search``.
    """
    assert params.limit > 0
    assert params.spans_per_span_set > 0
    readable, missing = list(sources), list[str]()
    while True:
        scope = Scope(
            readable,
            plan,
            control,
            window=params.window,
            reach_ns=params.reach_ns,
            primary=primary,
            explanation=Explanation() if params.explain else None,
        )
        try:
            return replace(_part(scope, params, progress), missing=tuple(missing))
        except (CorruptionError, UnavailableError):
            failed = _failed(scope)
            if not (params.allow_partial and failed):
                raise
            # what was found so far may depend on the source: begin again without it
            readable = [source for source in readable if source.id not in failed]
            missing += failed


def _part(
    scope: Scope, params: SearchParams, progress: Progress[SearchResult] | None
) -> SearchPart:
    growing = Growing(scope, params.spans_per_span_set, progress)
    page = None
    if params.is_newest_alone:
        found = NewestLine(scope, growing).take(params.limit)
    else:
        page = take_page(scope, params.sort, limit=params.limit, after=params.cursor)
        found = page.found
    traces = growing.summarise(found)
    scope.stats.completed_jobs = scope.stats.total_jobs  # the rest has nothing to add
    explanation = scope.explanation if params.explain else None
    if explanation is not None:
        decided = explanation.pruned + explanation.evaluated + explanation.outside_window
        explanation.not_needed = explanation.sources - decided
    part = SearchPart(
        traces=traces,
        keys=tuple(newest_key(one.matches.scan.traces, one.row) for one in found),
        stats=scope.stats,
        explanation=explanation,
    )
    if page is None:
        return part
    return replace(
        part,
        keys=tuple(page.keys.tolist()),
        has_more=page.has_more,
        singles=page.total - len(page.wholes),
        wholes=tuple(full_id(one) for one in page.wholes),
        asked_ns=scope.control.clock.now_ns(),
    )


def combine_search(
    parts: Sequence[SearchPart], params: SearchParams, control: QueryControl
) -> SearchResult:
    """Make the answer of parts whose primary sources are all sources, each in one.

    Raises: LimitExceededError if more was read, or is to be shown, than may be.
    """
    stats = sum_stats([part.stats for part in parts])
    control.check_bytes(stats.inspected_bytes)
    by_id = {
        trace.trace_id: (key, trace)
        for part in parts
        for key, trace in zip(part.keys, part.traces, strict=True)
    }
    order = sorted(by_id.values(), key=lambda one: (one[0], one[1].trace_id))
    shown = order[: params.limit]
    control.check_answer(sum(answer_bytes(trace) for _, trace in shown))
    total, next_cursor = None, ""
    missing = sorted({name for part in parts for name in part.missing})
    if params.count:
        wholes = {trace_id for part in parts for trace_id in part.wholes}
        traces = sum(part.singles for part in parts) + len(wholes)
        total = TraceCount(traces=traces, exact=not missing)
        if shown and (len(order) > len(shown) or any(part.has_more for part in parts)):
            ids = [trace.trace_id for _, trace in shown]
            now_ns = min(part.asked_ns for part in parts)
            last = cursor_behind(params.cursor, params.sort, shown[-1][0], ids, now_ns)
            next_cursor = last.encode(params.query)
    stats.total_jobs += len(missing)
    return SearchResult(
        traces=tuple(trace for _, trace in shown),
        stats=stats,
        total=total,
        next_cursor=next_cursor,
        missing=tuple(missing),
        explanation=sum_explanations([part.explanation for part in parts if part.explanation]),
    )


def _failed(scope: Scope) -> list[str]:
    """Name the sources that could not be read."""
    sources = [scan.source for scan in scope.scans]
    return [s.id for s in sources if isinstance(s, MeteredSource) and s.has_failed]

"""Search: the traces with a match, complete, ordered and repeatable, over any sources.

A trace with spans in several sources is put together and evaluated whole, so that the answer does
not depend on where its spans happen to lie.

Source: TraceQL reference, 5.8 to 5.11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tracestore.errors import CorruptionError, UnavailableError
from tracestore.model.results import Explanation, SearchResult, TraceCount
from tracestore.model.times import TimeRange
from tracestore.query.control import QueryControl
from tracestore.query.every import take_page
from tracestore.query.found import Scope
from tracestore.query.growing import Growing
from tracestore.query.metered_source import MeteredSource
from tracestore.query.newest import NewestLine
from tracestore.query.ordering import Cursor, Sort
from tracestore.query.plan import SearchPlan
from tracestore.query.progress import Progress
from tracestore.query.source import SpanSource


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
            explanation=Explanation() if params.explain else None,
        )
        try:
            result = _answer(scope, params, progress)
        except (CorruptionError, UnavailableError):
            failed = _failed(scope)
            if not (params.allow_partial and failed):
                raise
            # what was found so far may depend on the source: begin again without it
            readable = [source for source in readable if source.id not in failed]
            missing += failed
            continue
        return _without(missing, result)


def _answer(
    scope: Scope, params: SearchParams, progress: Progress[SearchResult] | None
) -> SearchResult:
    total, next_cursor = None, ""
    growing = Growing(scope, params.spans_per_span_set, progress)
    if params.sort is Sort.NEWEST and not params.count and params.cursor is None:
        found = NewestLine(scope, growing).take(params.limit)
    else:
        page = take_page(scope, params.sort, limit=params.limit, after=params.cursor)
        found = page.found
        if params.count:
            total = TraceCount(traces=page.total, exact=True)
            next_cursor = "" if page.last is None else page.last.encode(params.query)
    traces = growing.summarise(found)
    scope.stats.completed_jobs = scope.stats.total_jobs  # the rest has nothing to add
    explanation = scope.explanation if params.explain else None
    if explanation is not None:
        decided = explanation.pruned + explanation.evaluated + explanation.outside_window
        explanation.not_needed = explanation.sources - decided
    return SearchResult(
        traces=traces,
        stats=scope.stats,
        total=total,
        next_cursor=next_cursor,
        explanation=explanation,
    )


def _failed(scope: Scope) -> list[str]:
    """Name the sources that could not be read."""
    sources = [scan.source for scan in scope.scans]
    return [s.id for s in sources if isinstance(s, MeteredSource) and s.has_failed]


def _without(missing: Sequence[str], result: SearchResult) -> SearchResult:
    """Say what an answer lacks."""
    if not missing:
        return result
    result.stats.total_jobs += len(missing)
    total = result.total and replace(result.total, exact=False)
    return replace(result, missing=tuple(sorted(missing)), total=total)

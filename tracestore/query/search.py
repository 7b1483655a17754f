"""Search: the traces with a match, complete, ordered and repeatable, over any sources.

A trace with spans in several sources is put together and evaluated whole, so that the answer does
not depend on where its spans happen to lie.

Source: TraceQL reference, 5.8 to 5.11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracestore.model.results import SearchResult
from tracestore.model.times import TimeRange
from tracestore.query.control import QueryControl
from tracestore.query.found import Scope, summarise
from tracestore.query.newest import NewestLine
from tracestore.query.plan import SearchPlan
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


def search(
    sources: Sequence[SpanSource], plan: SearchPlan, params: SearchParams, control: QueryControl
) -> SearchResult:
    """Find the first ``limit`` traces: by start, latest first, ties by trace ID.

    Raises: DeadlineError; what a source raises that cannot be read. Nothing is left out silently.
    """
    assert params.limit > 0
    assert params.spans_per_span_set > 0
    scope = Scope(sources, plan, control, window=params.window, reach_ns=params.reach_ns)
    found = NewestLine(scope).take(params.limit)
    traces = summarise(found, scope, params.spans_per_span_set)
    return SearchResult(traces=tuple(traces), stats=scope.stats)

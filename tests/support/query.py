"""Runs queries of the language over sources, with a clock that stands still."""

from __future__ import annotations

from collections.abc import Sequence

import traceql
from traceql.check import check
from tracestore.model.results import SearchResult
from tracestore.model.series import Grid, MetricsResult
from tracestore.model.times import TimeRange
from tracestore.query.control import QueryControl
from tracestore.query.metrics import MetricsParams, metrics
from tracestore.query.metrics_plan import MetricsPlan, plan_metrics
from tracestore.query.plan import SearchPlan, plan_search
from tracestore.query.search import SearchParams, search
from tracestore.query.source import SpanSource


class StandingClock:
    """Shows the same time until it is moved."""

    def __init__(self) -> None:
        self.at_ns = 0

    def now_ns(self) -> int:
        return self.at_ns

    def monotonic_ns(self) -> int:
        return self.at_ns

    async def sleep(self, seconds: float) -> None:
        self.at_ns += round(seconds * 1e9)


def control() -> QueryControl:
    """Make a control that never stops a query."""
    return QueryControl(clock=StandingClock())


def plan(text: str) -> SearchPlan:
    """Parse, check and plan a search."""
    query = traceql.parse(text)
    check(query)
    return plan_search(query)


def run_search(
    sources: Sequence[SpanSource],
    text: str,
    *,
    limit: int = 1000,
    spans_per_span_set: int = 1000,
    window: TimeRange | None = None,
) -> SearchResult:
    """Search all there is."""
    params = SearchParams(limit=limit, spans_per_span_set=spans_per_span_set, window=window)
    return search(sources, plan(text), params, control())


def plan_of_metrics(text: str) -> MetricsPlan:
    """Parse, check and plan a metrics query."""
    query = traceql.parse(text)
    check(query)
    return plan_metrics(query)


def run_metrics(
    sources: Sequence[SpanSource], text: str, grid: Grid, *, exemplars: int = 0
) -> MetricsResult:
    """Compute series over all there is."""
    params = MetricsParams(grid=grid, exemplars=exemplars)
    return metrics(sources, plan_of_metrics(text), params, control())

"""One trace, and which of its spans a filter marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracestore.model.results import QueryStats
from tracestore.model.times import TimeRange
from tracestore.query.jobs.operation import QueryKind, Site
from tracestore.query.progress import Progress
from tracestore.query.source import SpanSource
from tracestore.query.trace_by_id import TraceFound, find_trace
from tracestore.query.trace_filter import SpanKey, matched_spans, plan_filter


@dataclass(frozen=True, slots=True, kw_only=True)
class FilteredTrace:
    """A trace that was found."""

    found: TraceFound
    matched: frozenset[SpanKey] | None
    """Spans that the filter marks; None without a filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GetTrace:
    """The trace with an ID; None if there is no span of it."""

    trace_id: bytes
    """16 bytes."""
    filter: str = ""
    """TraceQL, one ``{ … }``; empty: none."""
    window: TimeRange | None = None
    """Sources that overlap it are asked."""

    @property
    def kind(self) -> QueryKind:
        """How metrics call it."""
        return QueryKind.TRACES

    def answer(
        self,
        sources: Sequence[SpanSource],
        site: Site,
        progress: Progress[FilteredTrace | None] | None = None,
    ) -> FilteredTrace | None:
        """Find the trace. Nothing is shown before all of it is there."""
        plan = plan_filter(self.filter) if self.filter else None
        window = self.window
        inside = [s for s in sources if window is None or window.overlaps(s.start_ns, s.end_ns)]
        found = find_trace(inside, self.trace_id, site.control)
        if found is None:
            return None
        matched = None
        if plan is not None:
            matched = frozenset(matched_spans(found.tables, plan, site.control))
        return FilteredTrace(found=found, matched=matched)

    def stats_of(self, answer: FilteredTrace | None) -> QueryStats | None:
        """Of a lookup metrics count nothing."""
        return None

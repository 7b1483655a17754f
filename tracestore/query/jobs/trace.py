"""One trace, and which of its spans a filter marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tracestore.model.results import QueryStats
from tracestore.model.times import TimeRange
from tracestore.query.jobs.operation import QueryKind, Share, Site
from tracestore.query.jobs.wire import read, write
from tracestore.query.plan import SearchPlan
from tracestore.query.progress import Progress
from tracestore.query.source import SpanSource
from tracestore.query.trace_by_id import (
    TraceFound,
    TracePart,
    combine_trace,
    find_trace,
    trace_part,
)
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

    NAME: ClassVar = "trace"
    PART: ClassVar = "part of a trace"

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
        self._plan()
        return self._filtered(find_trace(self._inside(sources), self.trace_id, site.control), site)

    @property
    def is_divisible(self) -> bool:
        """It is."""
        return True

    def part(self, sources: Sequence[SpanSource], site: Site, share: Share) -> bytes:
        """Answer for some of the sources; see ``Operation``."""
        self._plan()
        primary = [one for one in self._inside(sources) if one.id in share.primary]
        part = trace_part(primary, self.trace_id, site.control)
        return write(self.PART, part)

    def missing_of(self, part: bytes) -> frozenset[str]:
        """Get the sources that a part is without."""
        return frozenset()

    def combine(self, parts: Sequence[bytes], site: Site) -> FilteredTrace | None:
        """Make the answer of all parts; see ``Operation``."""
        read_parts = [read(part, self.PART, TracePart) for part in parts]
        return self._filtered(combine_trace(read_parts, self.trace_id), site)

    def _plan(self) -> SearchPlan | None:
        return plan_filter(self.filter) if self.filter else None

    def _inside(self, sources: Sequence[SpanSource]) -> list[SpanSource]:
        window = self.window
        return [s for s in sources if window is None or window.overlaps(s.start_ns, s.end_ns)]

    def _filtered(self, found: TraceFound | None, site: Site) -> FilteredTrace | None:
        plan = self._plan()
        if found is None:
            return None
        matched = None
        if plan is not None:
            matched = frozenset(matched_spans(found.tables, plan, site.control))
        return FilteredTrace(found=found, matched=matched)

    def settled(self, answer: FilteredTrace | None, latest_ns: int) -> FilteredTrace | None:
        """Nothing is sure: any part may add spans, or be the first to have one."""
        return None

    def to_wire(self) -> bytes:
        """Write the question down."""
        return write(self.NAME, self)

    def stats_of(self, answer: FilteredTrace | None) -> QueryStats | None:
        """Of a lookup metrics count nothing."""
        return None

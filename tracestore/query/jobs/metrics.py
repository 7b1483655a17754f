"""Series over a range, or one value of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import traceql
from traceql.check import check
from tracestore.errors import InvalidRequestError
from tracestore.model.results import QueryStats
from tracestore.model.series import MetricsResult
from tracestore.query.jobs.operation import QueryKind, Share, Site
from tracestore.query.jobs.wire import read, write
from tracestore.query.metrics import (
    MetricsParams,
    MetricsPart,
    combine_metrics,
    metrics,
    metrics_part,
    settled_point,
)
from tracestore.query.metrics_plan import MetricsPlan, plan_metrics
from tracestore.query.progress import Progress
from tracestore.query.source import SpanSource


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeMetrics:
    """The series of a query; of an instant, each has one interval."""

    text: str
    """TraceQL."""
    is_instant: bool
    """How mistakes in the text are worded."""
    params: MetricsParams

    NAME: ClassVar = "metrics"
    PART: ClassVar = "part of metrics"

    @property
    def kind(self) -> QueryKind:
        """How metrics call it."""
        return QueryKind.METRICS

    def answer(
        self,
        sources: Sequence[SpanSource],
        site: Site,
        progress: Progress[MetricsResult] | None = None,
    ) -> MetricsResult:
        """Compute the series. Raises: as ``Operation`` and ``metrics`` say."""
        return metrics(sources, self._plan(), self.params, site.control, progress)

    @property
    def is_divisible(self) -> bool:
        """It is."""
        return True

    def part(self, sources: Sequence[SpanSource], site: Site, share: Share) -> bytes:
        """Answer for some of the sources; see ``Operation``."""
        plan = self._plan()
        part = metrics_part(share.of(sources), plan, self.params, site.control, share.primary)
        missing = (*part.missing, *sorted(share.without))
        return write(self.PART, replace(part, missing=missing))

    def missing_of(self, part: bytes) -> frozenset[str]:
        """Get the sources that a part is without."""
        return frozenset(read(part, self.PART, MetricsPart).missing)

    def combine(self, parts: Sequence[bytes], site: Site) -> MetricsResult:
        """Make the answer of all parts; see ``Operation``."""
        read_parts = [read(part, self.PART, MetricsPart) for part in parts]
        return combine_metrics(read_parts, self._plan(), self.params, site.control)

    def _plan(self) -> MetricsPlan:
        return plan_metrics_query(self.text, is_instant=self.is_instant)

    def settled(self, answer: MetricsResult, latest_ns: int) -> MetricsResult | None:
        """Tell from which point on values will not change: behind the end of all sources of the
        missing parts. None are sure if traces are put together, or values that win may still lose.
        """
        settled_from = settled_point(self._plan(), self.params.grid, latest_ns)
        return replace(answer, settled_from=settled_from)

    def to_wire(self) -> bytes:
        """Write the question down."""
        return write(self.NAME, self)

    def stats_of(self, answer: MetricsResult) -> QueryStats | None:
        """Tell what was looked at."""
        return answer.stats


def plan_metrics_query(text: str, *, is_instant: bool) -> MetricsPlan:
    """Read a metrics query and decide how to answer it.

    Raises: InvalidRequestError with the position, as Tempo says it.
    """
    try:
        query = traceql.parse(text)
        check(query, text)
        return plan_metrics(query)
    except traceql.ParseError as error:
        prefix = "compiling query: " if is_instant else ""
        raise InvalidRequestError(f"{prefix}{error.locate(text)}") from error
    except traceql.QueryError as error:
        raise InvalidRequestError(f"compiling query: {error.locate(text)}") from error

"""Series over a range, or one value of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import traceql
from traceql.check import check
from tracestore.errors import InvalidRequestError
from tracestore.model.results import QueryStats
from tracestore.model.series import MetricsResult
from tracestore.query.jobs.operation import QueryKind, Site
from tracestore.query.metrics import MetricsParams, metrics
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
        plan = plan_metrics_query(self.text, is_instant=self.is_instant)
        return metrics(sources, plan, self.params, site.control, progress)

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

"""Answers questions for series of spans, with the limits and metrics settings of the tenants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tracestore.model.ids import TenantId
from tracestore.model.times import SECOND_NS
from tracestore.query.jobs.span_series import CountSeries
from tracestore.query.span_series import SeriesCells, SeriesQuestion
from tracestore.query.span_series_run import SeriesParams
from tracestore.services.querier.runner import Asking, QueryRunner
from tracestore.settings.generator_tree import ProcessorSettings
from tracestore.settings.tree import QuerySettings

T = TypeVar("T")
ProcessorOf = Callable[[TenantId], ProcessorSettings]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanSeries:
    """Counts stored spans as the metrics-generator counts those that come in."""

    runner: QueryRunner
    processor_of: ProcessorOf = field(default=lambda _: ProcessorSettings())
    """What the metrics of a tenant look like."""

    async def span_series(
        self, asking: Asking, question: SeriesQuestion, *, allow_partial: bool = False
    ) -> SeriesCells:
        """Answer a question. Raises: as ``run``."""
        return await self.run(asking, question, lambda cells: cells, allow_partial=allow_partial)

    async def run(
        self,
        asking: Asking,
        question: SeriesQuestion,
        render: Callable[[SeriesCells], T],
        *,
        allow_partial: bool = False,
    ) -> T:
        """Answer a question.

        Args:
            render: makes of the answer what is sent, in a pool thread.

        Raises: InvalidRequestError for what cannot be answered; LimitExceededError; DeadlineError;
            UnavailableError; what ``render`` raises.
        """
        question.check()
        settings = self.runner.settings_for(asking.tenants)
        params = SeriesParams(
            processor=self.processor(asking.tenants),
            series_max=settings.max_metrics_series,
            cells_max=settings.max_metrics_cells,
            samples_max=0 if question.is_graph else settings.max_metrics_samples,
            reach_ns=reach_ns(settings),
            allow_partial=allow_partial,
        )
        return await self.runner.run(asking, CountSeries(question=question, params=params), render)

    def processor(self, tenants: tuple[TenantId, ...]) -> ProcessorSettings:
        """Get what the metrics of tenants look like: of several, those of the first."""
        return self.processor_of(tenants[0]) if tenants else ProcessorSettings()


def reach_ns(settings: QuerySettings) -> int:
    """Get how far from a range parts of its traces are looked for."""
    return int(settings.trace_reach_s * SECOND_NS)

"""Answers questions for series of spans, with the limits and metrics settings of the tenants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tracestore.model.ids import TenantId
from tracestore.model.times import SECOND_NS
from tracestore.query.jobs.several_series import CountSeveralSeries
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

    async def run(
        self,
        asking: Asking,
        questions: tuple[SeriesQuestion, ...],
        render: Callable[[tuple[SeriesCells, ...]], T],
        *,
        allow_partial: bool = False,
    ) -> T:
        """Answer questions on one snapshot, so that all of them see the same spans.

        Args:
            render: makes of the answers what is sent, in a pool thread.

        Raises: InvalidRequestError for what cannot be answered; LimitExceededError; DeadlineError;
            UnavailableError; what ``render`` raises.
        """
        for question in questions:
            question.check()
        settings = self.runner.settings_for(asking.tenants)
        is_sparse = all(question.is_graph for question in questions)
        params = SeriesParams(
            processor=self.processor(asking.tenants),
            series_max=settings.max_metrics_series,
            cells_max=settings.max_metrics_cells,
            samples_max=0 if is_sparse else settings.max_metrics_samples,
            reach_ns=reach_ns(settings),
            allow_partial=allow_partial,
        )
        operation = CountSeveralSeries(questions=questions, params=params)
        return await self.runner.run(asking, operation, render)

    def processor(self, tenants: tuple[TenantId, ...]) -> ProcessorSettings:
        """Get what the metrics of tenants look like: of several, those of the first."""
        return self.processor_of(tenants[0]) if tenants else ProcessorSettings()


def reach_ns(settings: QuerySettings) -> int:
    """Get how far from a range parts of its traces are looked for."""
    return int(settings.trace_reach_s * SECOND_NS)

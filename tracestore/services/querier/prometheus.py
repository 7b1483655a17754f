"""Has PromQL answered: asks for the series that it needs, on one snapshot, and evaluates it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tracestore.model.ids import TenantId
from tracestore.query.jobs.several_series import CountSeveralSeries
from tracestore.query.promql.readings import Meaning
from tracestore.query.span_series import SeriesCells, SeriesQuestion
from tracestore.query.span_series_run import SeriesParams
from tracestore.services.querier.runner import Asking
from tracestore.services.querier.span_series import SpanSeries, reach_ns
from tracestore.settings.tree import QuerySettings

T = TypeVar("T")
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)


class AnsweredPlan(Protocol[V_co]):
    """Some questions, and what is made of their answers."""

    @property
    def questions(self) -> tuple[SeriesQuestion, ...]:
        """What must be known, each once."""

    def evaluate(self, answers: Mapping[SeriesQuestion, SeriesCells]) -> V_co:
        """Make something of the answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromQueries:
    """Answers plans of PromQL."""

    series: SpanSeries

    def settings_for(self, tenants: tuple[TenantId, ...]) -> QuerySettings:
        """Get the settings of a query of some tenants."""
        return self.series.runner.settings_for(tenants)

    @property
    def now_ms(self) -> int:
        """What time it is for queries."""
        return self.series.runner.clock.now_ns() // 1_000_000

    async def run(self, asking: Asking, plan: AnsweredPlan[V], render: Callable[[V], T]) -> T:
        """Answer a query.

        Args:
            render: makes of the value what is sent, in a pool thread.

        Raises: EvaluationError if there is no answer; InvalidRequestError; LimitExceededError;
            DeadlineError; UnavailableError; what ``render`` raises.
        """
        questions = plan.questions
        for question in questions:
            question.check()
        settings = self.settings_for(asking.tenants)
        operation = CountSeveralSeries(
            questions=questions,
            params=SeriesParams(
                processor=self.series.processor(asking.tenants),
                series_max=settings.max_metrics_series,
                cells_max=settings.max_metrics_cells,
                reach_ns=reach_ns(settings),
            ),
        )

        def evaluate(answers: tuple[SeriesCells, ...]) -> T:
            return render(plan.evaluate(dict(zip(questions, answers, strict=True))))

        return await self.series.runner.run(asking, operation, evaluate)


def meaning_of(settings: QuerySettings, lookback_ms: int | None = None) -> Meaning:
    """Get what counters mean in a query.

    Args:
        lookback_ms: as the request has it; None: it does not say.
    """
    own = settings.prometheus
    return Meaning(
        lookback_ms=max(1, lookback_ms or int(own.lookback_s * 1000)),
        stale_ms=int(own.stale_s * 1000),
        samples_max=settings.max_metrics_samples,
    )

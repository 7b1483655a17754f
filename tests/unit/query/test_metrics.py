"""Bounds of metrics queries, what is said of what is missing, and what grows with what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.golden_series import RANGE, written
from support.metrics_sources import reference_sources
from support.otlp import EPOCH_NS, request, span
from support.query import control, plan_of_metrics, run_metrics

from tracestore.errors import InvalidRequestError, LimitExceededError, UnavailableError
from tracestore.kernel import build_tables
from tracestore.model.series import Grid, MetricsResult
from tracestore.model.times import SECOND_NS
from tracestore.query.metrics import MetricsParams, metrics
from tracestore.query.metrics_plan import NotMetricsError
from tracestore.query.source import SpanSource
from tracestore.query.tables_source import TablesSource

WHOLE = reference_sources()["one chunk"]
PARTS = reference_sources()["a source a trace"]


def run(sources: list[SpanSource], text: str, **params: Any) -> MetricsResult:
    wanted = replace(MetricsParams(grid=RANGE), **params)
    return metrics(sources, plan_of_metrics(text), wanted, control())


def test_series_beyond_the_limit_are_cut_off_whole() -> None:
    every = written(run(WHOLE, "{} | count_over_time() by(kind)"))
    some = run(WHOLE, "{} | count_over_time() by(kind)", series_shown_max=2)

    assert written(some) == dict(sorted(every.items())[:2])
    assert some.message.startswith("Response exceeds maximum series limit of 2, a partial response")
    assert run(WHOLE, "{} | count_over_time() by(kind)", series_shown_max=5).message == ""


@pytest.mark.parametrize(
    ("params", "limit"),
    [
        ({"series_max": 4}, "max_metrics_series"),
        ({"cells_max": 7}, "max_metrics_cells"),
        ({"samples_max": 19}, "max_metrics_samples"),
    ],
)
def test_what_would_take_too_much_is_refused(params: dict[str, int], limit: str) -> None:
    with pytest.raises(LimitExceededError, match=rf"query\.{limit}") as caught:
        run(WHOLE, "{} | count_over_time() by(kind)", **params)
    assert caught.value.limit == limit
    enough = {name: bound + 6 for name, bound in params.items()}
    assert run(WHOLE, "{} | count_over_time() by(kind)", **enough).series


def test_compare_says_of_which_attribute_values_were_let_go() -> None:
    whole = written(run(WHOLE, "{} | compare({ status = error })"))
    some = run(WHOLE, "{} | compare({ status = error })", compared_values_max=5)

    assert "of name, resource.service.name, span.retries: counts of single" in some.message
    totals = {labels: values for labels, values in written(some).items() if "_total" in labels}
    assert totals == {labels: values for labels, values in whole.items() if "_total" in labels}


def test_a_search_is_not_metrics() -> None:
    with pytest.raises(NotMetricsError, match="not a metrics query"):
        plan_of_metrics("{}")


def test_what_fails_a_search_fails_its_metrics() -> None:
    with pytest.raises(InvalidRequestError, match="several spansets"):
        run(WHOLE, "({} | by(name)) > {} | rate()")


class Broken(TablesSource):
    """A source that cannot be read."""

    def read(self, *_: Any) -> Any:
        raise UnavailableError("gone")


def test_a_source_that_cannot_be_read_fails_the_query_unless_a_part_will_do() -> None:
    broken = Broken(build_tables([request(spans=[span(trace=9, id=9, start_ms=1)])]), "broken")
    with pytest.raises(UnavailableError, match="broken"):
        run([*PARTS, broken], "{} | rate()")

    found = run([*PARTS, broken], "{} | rate()", allow_partial=True)
    assert found.missing == ("broken",)
    assert found.message == "blocks that could not be read are missing: broken"
    assert found.stats.completed_jobs == found.stats.total_jobs - 1 == len(PARTS)
    assert written(found) == written(run(PARTS, "{} | rate()"))


class Watching:
    """Wants to see everything."""

    def __init__(self) -> None:
        self.shown: list[MetricsResult] = []

    def is_due(self) -> bool:
        return True

    def show(self, partial: MetricsResult) -> None:
        self.shown.append(partial)


@pytest.mark.parametrize("text", ["{} | count_over_time()", "{} | count_over_time() by(rootName)"])
def test_what_is_shown_grows_with_the_sources_newest_first(text: str) -> None:
    watching = Watching()
    params = MetricsParams(grid=RANGE)
    sources = reference_sources()["spans in turn in two blocks and live tables"]

    whole = metrics(sources, plan_of_metrics(text), params, control(), watching)

    jobs = [(one.stats.completed_jobs, one.stats.total_jobs) for one in watching.shown]
    total = whole.stats.total_jobs
    assert jobs == [(number + 1, total) for number in range(len(jobs))]
    sums = [
        sum(v for values in written(one).values() for v in values if v)
        for one in [*watching.shown, whole]
    ]
    assert sums == sorted(sums)
    assert sums[-1] == 27
    assert whole.stats.completed_jobs == total


def test_cost_goes_with_the_data_not_with_steps_times_series() -> None:
    """2,000 series over 10,000 intervals, each with one span: dense, that is 160 MB a column."""
    count, steps = 2000, 10_000
    spans = [span(trace=n + 1, id=n + 1, name=f"n{n}", start_ms=5000 * n + 1) for n in range(count)]
    sources: list[SpanSource] = [TablesSource(build_tables([request(spans=spans)]), "many")]
    grid = Grid(origin_ns=EPOCH_NS, step_ns=SECOND_NS, count=steps)

    found = run_metrics(sources, "{} | count_over_time() by(name)", grid)
    assert sum(len(series.points) for series in found.series) == count
    top = run_metrics(sources, "({} | count_over_time() by(name) | topk(3)) * 2", grid)
    assert sum(len(series.points) for series in top.series) <= 5 * count
    dense = np.array([series.dense(steps) for series in top.series[:50]])
    assert (np.isnan(dense) | (dense == 0) | (dense == 2)).all()


def test_exemplars_are_spread_over_time_and_series() -> None:
    spans = [
        span(
            trace=n + 1,
            id=n + 1,
            status="error" if n == 777 else None,
            start_ms=n * 100 + 1,
            attributes={"n": n},
        )
        for n in range(1000)
    ]
    sources: list[SpanSource] = [TablesSource(build_tables([request(spans=spans)]), "many")]
    grid = Grid(origin_ns=EPOCH_NS, step_ns=SECOND_NS, count=100)

    found = run_metrics(sources, "{ span.n >= 0 } | rate() by(status)", grid, exemplars=20)

    by_series = {series.labels[0][1]: series.exemplars for series in found.series}
    assert [dict(one.labels)["span.n"] for one in by_series["error"]] == [777]
    every = [one for exemplars in by_series.values() for one in exemplars]
    assert len(every) == 20
    parts = [one.point // 10 for one in every]
    assert all(parts.count(part) == 2 for part in range(10))

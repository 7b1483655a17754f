"""Series are those of the naive evaluator, wherever spans lie, and they count what search finds.

A long run: ``pytest --hypothesis-profile=long tests/properties/test_metrics_agree.py``.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, Phase, assume, given, note, settings
from hypothesis import strategies as st
from support.golden_series import Written, differences, labels_text, written
from support.metrics_queries import metrics_queries
from support.naive_metrics import Intervals, compute
from support.naive_pipelines import SeveralSpansetsError
from support.naive_spans import read_traces
from support.otlp import EPOCH_NS
from support.query import run_metrics, run_search
from support.search_cases import Placed, placed_spans, request_for
from support.search_queries import queries
from support.source_makers import Maker, makers

import traceql
from traceql import nodes
from traceql.check import check
from tracestore.errors import InvalidRequestError
from tracestore.model.series import Grid
from tracestore.model.times import MILLISECOND_NS, TimeRange
from tracestore.query.source import SpanSource

SLOW = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate],  # shrinking such cases takes minutes
)
pytestmark = pytest.mark.timeout(7200)
SOURCES = 3


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Draw intervals around the times at which spans begin: 0, 1, 5, 1000 and 5000 ms."""
    step_ms = draw(st.sampled_from([1, 2, 500, 1000, 4000]))
    begin_ms = draw(st.sampled_from([-4000, -1000, -2, -1, 0, 1, 999]))
    return Grid(
        origin_ns=EPOCH_NS + begin_ms * MILLISECOND_NS,
        step_ns=step_ms * MILLISECOND_NS,
        count=draw(st.integers(1, 9)),
    )


def sources_of(placed: list[Placed], made: tuple[Maker, ...], chunk: int) -> list[SpanSource]:
    requests = [request_for(placed, number) for number in range(len(made))]
    return [make(requests[n], str(n), chunk, 512) for n, make in enumerate(made)]


def checked(text: str) -> nodes.Query:
    query = traceql.parse(text)
    try:
        check(query)
    except traceql.QueryError:
        assume(False)
    return query


@SLOW
@given(
    text=metrics_queries(),
    placed=placed_spans(sources=SOURCES),
    made=st.tuples(*[makers] * SOURCES),
    chunk=st.sampled_from([1, 3, 1000]),
    grid=grids(),
)
def test_series_are_those_of_the_naive_evaluator(
    text: str, placed: list[Placed], made: tuple[Maker, ...], chunk: int, grid: Grid
) -> None:
    body = checked(text).body
    assert not isinstance(body, nodes.Pipeline)
    sources = sources_of(placed, made, chunk)
    requests = [request_for(placed, number) for number in range(SOURCES)]
    intervals = Intervals(origin_ns=grid.origin_ns, step_ns=grid.step_ns, count=grid.count)
    note(text)

    try:
        naive = compute(read_traces(requests), body, intervals)
    except SeveralSpansetsError:
        with pytest.raises(InvalidRequestError, match="several spansets"):
            run_metrics(sources, text, grid)
        return
    expected: Written = {labels_text(one): tuple(samples) for one, samples in naive}
    found = run_metrics(sources, text, grid, exemplars=4)
    assert differences(written(found), expected, tolerance=1e-9) == []


@SLOW
@given(
    text=queries(),
    placed=placed_spans(sources=SOURCES),
    made=st.tuples(*[makers] * SOURCES),
    by=st.sampled_from(["", "by(name)", "by(.a, kind)", "by(rootName)"]),
    grid=grids(),
)
def test_metrics_count_what_search_finds(
    text: str, placed: list[Placed], made: tuple[Maker, ...], by: str, grid: Grid
) -> None:
    checked(text)
    sources = sources_of(placed, made, 3)
    window = TimeRange(start_ns=grid.origin_ns + 1, end_ns=grid.end_ns + 1)
    note(text)

    try:
        found = run_search(sources, text, window=window)
    except InvalidRequestError:
        assume(False)
    starts = [
        span.start_ns for trace in found.traces for one in trace.span_sets for span in one.spans
    ]
    counted = run_metrics(sources, f"{text} | count_over_time() {by}", grid)

    total = sum(value for one in written(counted).values() for value in one if value is not None)
    assert total == sum(grid.origin_ns < start_ns <= grid.end_ns for start_ns in starts)


@SLOW
@given(
    text=metrics_queries(),
    placed=placed_spans(sources=SOURCES),
    made=st.tuples(*[makers] * SOURCES),
    grid=grids(),
    count=st.integers(1, 6),
)
def test_exemplars_are_stored_spans_that_their_series_counts(
    text: str, placed: list[Placed], made: tuple[Maker, ...], grid: Grid, count: int
) -> None:
    assume(isinstance(checked(text).body, nodes.MetricsQuery))
    stored = {
        (each.span.trace_id.hex().lstrip("0"), each.span.start_time_unix_nano) for each in placed
    }
    try:
        found = run_metrics(sources_of(placed, made, 3), text, grid, exemplars=count)
    except InvalidRequestError:
        assume(False)

    exemplars = [(one, series) for series in found.series for one in series.exemplars]
    assert len(exemplars) <= count
    traces = [dict(one.labels)["trace:id"] for one, _ in exemplars]
    assert len(set(traces)) == len(traces)
    for (one, series), trace in zip(exemplars, traces, strict=True):
        assert (trace, one.time_ns) in stored
        assert not math.isnan(series.dense(grid.count)[one.point])
        assert grid.time_ns(one.point) - grid.step_ns < one.time_ns <= grid.time_ns(one.point)

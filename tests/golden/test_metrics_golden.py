"""The worked metrics cases of the TraceQL reference, run through the engine."""

from __future__ import annotations

import pytest
from support.golden_series import (
    INSTANT,
    RANGE,
    SeriesCase,
    differences,
    labels_text,
    read_series_cases,
    written,
)
from support.metrics_sources import reference_sources
from support.naive_metrics import Intervals, compute
from support.naive_spans import read_traces
from support.query import run_metrics
from support.reference_dataset import requests

import traceql
from traceql import nodes
from tracestore.query.source import SpanSource

SOURCES = reference_sources()
TRACES = read_traces(requests())
"""For the oracle of the property tests, which has to know the answers first."""


@pytest.mark.parametrize("sources", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("case", read_series_cases(), ids=str)
def test_the_engine_agrees_with_the_reference(case: SeriesCase, sources: list[SpanSource]) -> None:
    of_range = written(run_metrics(sources, case.query, RANGE))
    instant = written(run_metrics(sources, case.query, INSTANT))

    assert differences(of_range, case.of_range) == []
    assert differences(instant, case.instant) == []


@pytest.mark.parametrize("case", read_series_cases(), ids=str)
def test_the_naive_evaluator_agrees_with_the_reference(case: SeriesCase) -> None:
    for grid, expected in ((RANGE, case.of_range), (INSTANT, case.instant)):
        body = traceql.parse(case.query).body
        assert not isinstance(body, nodes.Pipeline)
        intervals = Intervals(grid.origin_ns, grid.step_ns, grid.count)
        found = compute(TRACES, body, intervals)
        assert differences({labels_text(one): tuple(s) for one, s in found}, expected) == []

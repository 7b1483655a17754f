"""The worked metrics cases of the TraceQL reference, run through the engine."""

from __future__ import annotations

import pytest
from support.golden_series import (
    INSTANT,
    RANGE,
    SeriesCase,
    differences,
    read_series_cases,
    written,
)
from support.metrics_sources import reference_sources
from support.query import run_metrics

from tracestore.query.source import SpanSource

SOURCES = reference_sources()


@pytest.mark.parametrize("sources", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("case", read_series_cases(), ids=str)
def test_the_engine_agrees_with_the_reference(case: SeriesCase, sources: list[SpanSource]) -> None:
    of_range = written(run_metrics(sources, case.query, RANGE))
    instant = written(run_metrics(sources, case.query, INSTANT))

    assert differences(of_range, case.of_range) == []
    assert differences(instant, case.instant) == []

"""The engine answers as the naive evaluator does, wherever the spans of a trace lie.

A long run: ``pytest --hypothesis-profile=long tests/properties/test_search_agrees.py``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, assume, given, note, settings
from hypothesis import strategies as st
from support.naive_parser import parse_search
from support.naive_pipelines import SeveralSpansetsError
from support.naive_results import search as naive_search
from support.naive_spans import read_traces
from support.otlp import EPOCH_NS
from support.query import run_search
from support.search_cases import Placed, place_spans, placed_spans, request_for
from support.search_queries import (
    BROAD_FILTERS,
    OPERATORS,
    failing_queries,
    filter_queries,
    queries,
)
from support.source_makers import Maker, kernel_tables, makers

import traceql
from traceql import nodes
from tracestore.errors import InvalidRequestError
from tracestore.model.results import TraceSummary
from tracestore.model.times import MILLISECOND_NS, TimeRange

SLOW = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate],  # shrinking such cases takes minutes
)
pytestmark = pytest.mark.timeout(7200)
chunk_sizes = st.sampled_from([1, 3, 1000])
columns_max = st.sampled_from([0, 1, 512])


def pipeline_of(text: str) -> nodes.Pipeline:
    """Parse a search for the naive evaluator; a drawn one may be invalid."""
    try:
        traceql.check(traceql.parse(text))
    except traceql.CheckError:
        assume(False)
    return parse_search(text)


def texts(traces: Sequence[TraceSummary]) -> list[str]:
    """Write traces out, so that NaN equals NaN and 0.0 is not -0.0."""
    return [repr(trace) for trace in traces]


@SLOW
@given(
    placed=placed_spans(sources=1),
    text=st.one_of(filter_queries(), queries(), queries(), failing_queries()),
    chunk=chunk_sizes,
    columns=columns_max,
    make=makers,
)
def test_searches_find_what_the_reference_says(
    placed: list[Placed], text: str, chunk: int, columns: int, make: Maker
) -> None:
    pipeline = pipeline_of(text)
    request = request_for(placed, 0)
    source = make(request, "0", chunk, columns)
    note(text)

    try:
        expected = naive_search(
            read_traces([request]), pipeline, limit=1000, spans_per_span_set=1000, window=None
        )
    except SeveralSpansetsError:
        with pytest.raises(InvalidRequestError, match="several spansets"):
            run_search([source], text)
        return
    assert texts(run_search([source], text).traces) == texts(expected)


windows = st.one_of(
    st.none(),
    st.tuples(st.sampled_from([0, 1, 2, 900, 2000]), st.sampled_from([1, 500, 5001, 9000])),
)


@SLOW
@given(
    placed=placed_spans(sources=3),
    text=st.one_of(filter_queries(), queries()),
    chunk=chunk_sizes,
    limit=st.integers(1, 3),
    shown=st.integers(1, 3),
    window_ms=windows,
    made=st.tuples(makers, makers, makers),
)
def test_the_answer_does_not_depend_on_where_spans_lie(
    placed: list[Placed],
    text: str,
    chunk: int,
    limit: int,
    shown: int,
    window_ms: tuple[int, int] | None,
    made: tuple[Maker, ...],
) -> None:
    pipeline = pipeline_of(text)
    requests = [request_for(placed, source) for source in range(3)]
    sources = [make(requests[n], str(n), chunk, 512) for n, make in enumerate(made)]
    window = None
    if window_ms is not None:
        first, length = (ms * MILLISECOND_NS for ms in window_ms)
        window = TimeRange(start_ns=EPOCH_NS + first, end_ns=EPOCH_NS + first + length)
    note(text)

    found = run_search(sources, text, limit=limit, spans_per_span_set=shown, window=window)

    expected = naive_search(
        read_traces(requests),
        pipeline,
        limit=limit,
        spans_per_span_set=shown,
        window=None if window is None else (window.start_ns, window.end_ns),
    )
    assert texts(found.traces) == texts(expected)


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_on_many_traces(operator: str) -> None:
    rng = random.Random(operator)
    matched = 0
    for seed in range(25):
        left, right = rng.choices(BROAD_FILTERS, k=2)
        text = f"{left} {operator} {right}"
        request = request_for(place_spans(seed, 1), 0)
        expected = naive_search(
            read_traces([request]), pipeline_of(text), limit=9, spans_per_span_set=99, window=None
        )
        found = run_search([kernel_tables(request, "0", 3, 512)], text)
        assert texts(found.traces) == texts(expected), (seed, text)
        matched += bool(expected)
    assert matched > 3

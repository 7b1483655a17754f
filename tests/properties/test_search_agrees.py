"""The engine answers as the naive evaluator does, wherever the spans of a trace lie."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, assume, given, note, settings
from hypothesis import strategies as st
from support.naive_results import search as naive_search
from support.naive_spans import read_traces
from support.naive_tables import naive_tables
from support.otlp import EPOCH_NS
from support.query import run_search
from support.search_cases import Placed, placed_spans, queries, request_for

import traceql
from traceql import nodes
from tracestore.model.results import TraceSummary
from tracestore.model.times import MILLISECOND_NS, TimeRange
from tracestore.query.tables_source import TablesSource

SLOW = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate],  # shrinking such cases takes minutes
)
chunk_sizes = st.sampled_from([1, 3, 1000])
columns_max = st.sampled_from([0, 1, 512])


def pipeline_of(text: str) -> nodes.Pipeline:
    """Parse a search; a drawn one may be invalid."""
    query = traceql.parse(text)
    try:
        traceql.check(query)
    except traceql.CheckError:
        assume(False)
    assert isinstance(query.body, nodes.Pipeline)
    return query.body


def texts(traces: Sequence[TraceSummary]) -> list[str]:
    """Write traces out, so that NaN equals NaN and 0.0 is not -0.0."""
    return [repr(trace) for trace in traces]


@SLOW
@given(placed=placed_spans(sources=1), text=queries, chunk=chunk_sizes, columns=columns_max)
def test_filters_match_what_the_reference_says(
    placed: list[Placed], text: str, chunk: int, columns: int
) -> None:
    pipeline = pipeline_of(text)
    request = request_for(placed, 0)
    tables = naive_tables([request], attribute_columns_max=columns)
    note(text)

    found = run_search([TablesSource(tables, "s", spans_per_chunk=chunk)], text)

    expected = naive_search(
        read_traces([request]), pipeline, limit=1000, spans_per_span_set=1000, window=None
    )
    assert texts(found.traces) == texts(expected)


windows = st.one_of(
    st.none(),
    st.tuples(st.sampled_from([0, 1, 2, 900, 2000]), st.sampled_from([1, 500, 5001, 9000])),
)


@SLOW
@given(
    placed=placed_spans(sources=3),
    text=queries,
    chunk=chunk_sizes,
    limit=st.integers(1, 3),
    shown=st.integers(1, 3),
    window_ms=windows,
)
def test_the_answer_does_not_depend_on_where_spans_lie(
    placed: list[Placed],
    text: str,
    chunk: int,
    limit: int,
    shown: int,
    window_ms: tuple[int, int] | None,
) -> None:
    pipeline = pipeline_of(text)
    requests = [request_for(placed, source) for source in range(3)]
    sources = [
        TablesSource(naive_tables([request]), f"s{n}", spans_per_chunk=chunk)
        for n, request in enumerate(requests)
    ]
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

"""The worked search cases of the TraceQL reference, run through the engine."""

from __future__ import annotations

import pytest
from support.golden import GoldenCase, read_cases
from support.naive_tables import naive_tables
from support.otlp import EPOCH_NS
from support.query import plan, run_search
from support.reference_dataset import TRACE_IDS, label_of, requests

from traceql import UnsupportedError
from tracestore.model.results import SearchResult
from tracestore.model.times import SECOND_NS, TimeRange
from tracestore.query.tables_source import TablesSource

TABLES = naive_tables(requests())
CASES = read_cases("search_*.test")
SOURCES = {
    "one chunk": [TablesSource(TABLES, "reference")],
    "a chunk a trace": [TablesSource(TABLES, "reference", spans_per_chunk=1, is_live=False)],
    "a source a trace": [
        TablesSource(naive_tables([r]), f"s{n}") for n, r in enumerate(requests())
    ],
}


def labels(result: SearchResult) -> str:
    found = {}
    for trace in result.traces:
        (span_set,) = trace.span_sets
        assert span_set.matched == len(span_set.spans)
        spans = [label_of(trace.trace_id, s.span_id, s.duration_ns) for s in span_set.spans]
        letter = next(letter for letter, known in TRACE_IDS.items() if known == trace.trace_id)
        found[letter] = " ".join(sorted(spans))
    if sum(len(spans.split()) for spans in found.values()) == TABLES.spans.num_rows:
        return "all"
    return "; ".join(found[letter] for letter in sorted(found)) or "none"


@pytest.mark.parametrize("sources", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("case", [case for case in CASES if not case.is_pending], ids=str)
def test_the_engine_agrees_with_the_reference(
    case: GoldenCase, sources: list[TablesSource]
) -> None:
    window = None
    if case.window_s is not None:
        first, last = (EPOCH_NS + second * SECOND_NS for second in case.window_s)
        window = TimeRange(start_ns=first, end_ns=last + 1)

    assert labels(run_search(sources, case.query, window=window)) == case.expected


@pytest.mark.parametrize("case", [case for case in CASES if case.is_pending], ids=str)
def test_what_is_pending_is_refused_before_data_is_read(case: GoldenCase) -> None:
    with pytest.raises(UnsupportedError):
        plan(case.query)

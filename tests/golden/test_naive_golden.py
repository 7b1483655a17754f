"""The worked search cases of the TraceQL reference, run through the naive evaluator.

It is the oracle of the property tests; so it has to know the answers first.
"""

from __future__ import annotations

import pytest
from support.golden import GoldenCase, ShownCase, read_cases, read_shown_cases
from support.golden_answers import answer_text, shown_lines
from support.naive_parser import parse_search
from support.naive_results import search
from support.naive_spans import read_traces
from support.otlp import EPOCH_NS
from support.reference_dataset import requests

from tracestore.model.times import SECOND_NS

TRACES = read_traces(requests())


@pytest.mark.parametrize("case", read_cases("search_*.test"), ids=str)
def test_the_naive_evaluator_agrees_with_the_reference(case: GoldenCase) -> None:
    window = None
    if case.window_s is not None:
        first, last = (EPOCH_NS + second * SECOND_NS for second in case.window_s)
        window = (first, last + 1)
    body = parse_search(case.query)

    found = search(TRACES, body, limit=1000, spans_per_span_set=1000, window=window)

    assert answer_text(found) == case.expected


@pytest.mark.parametrize("case", read_shown_cases(), ids=str)
def test_the_naive_evaluator_shows_what_the_reference_shows(case: ShownCase) -> None:
    body = parse_search(case.query)

    found = search(TRACES, body, limit=1000, spans_per_span_set=1000, window=None)

    assert shown_lines(found) == case.lines

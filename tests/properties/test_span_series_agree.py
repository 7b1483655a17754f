"""What is counted of stored spans is what a generator counts that takes them one by one.

However the spans lie in sources, and however the sources are parted.
A long run: ``pytest --hypothesis-profile=long tests/properties/test_span_series_agree.py``.
"""

from __future__ import annotations

import bisect
import re

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.call_traces import placed_calls
from support.jobs import ask_in_parts, site
from support.naive_metrics_generator import Range, Totals, edge_metrics, span_metrics, spans_of
from support.otlp import EPOCH_NS
from support.search_cases import Placed, request_for
from support.source_makers import Maker, makers

from tracestore.model.times import MILLISECOND_NS
from tracestore.query.jobs.answers import decode_answer, encode_answer
from tracestore.query.jobs.span_series import CountSeries
from tracestore.query.source import SpanSource
from tracestore.query.span_series import (
    Family,
    Matcher,
    MatchOperator,
    SeriesCells,
    SeriesQuestion,
)
from tracestore.query.span_series_run import SeriesParams
from tracestore.settings.generator_tree import ProcessorSettings, SpanMetricsSettings

USUAL = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate],  # shrinking such cases takes minutes
)
pytestmark = pytest.mark.timeout(7200)
SOURCES = 3
PARAMS = SeriesParams(
    processor=ProcessorSettings(span_metrics=SpanMetricsSettings(dimensions=("region", "other")))
)

ranges = st.builds(
    lambda begin_ms, step_ms, points: Range(
        EPOCH_NS + begin_ms * MILLISECOND_NS, step_ms * MILLISECOND_NS, points
    ),
    st.sampled_from([-2000, -1, 0, 1, 900]),
    st.sampled_from([1, 500, 4000, 90_000]),
    st.integers(1, 9),
)
owners = st.lists(st.integers(0, 2), min_size=SOURCES, max_size=SOURCES)


class Case:
    """Spans, and the sources they lie in."""

    def __init__(self, placed: list[Placed], made: list[Maker], chunk: int) -> None:
        requests = [request_for(placed, number) for number in range(SOURCES)]
        self.spans = spans_of(requests)
        self.sources: list[SpanSource] = [
            make(request, str(number), chunk, 512)
            for number, (make, request) in enumerate(zip(made, requests, strict=True))
        ]


cases = st.builds(
    Case,
    placed_calls(sources=SOURCES),
    st.lists(makers, min_size=SOURCES, max_size=SOURCES),
    st.sampled_from([1, 3, 1000]),
)


def told(cells: SeriesCells) -> dict[object, object]:
    """Write cells as what the oracle's are compared with."""
    found: dict[object, object] = {}
    counts, failed, sums, buckets = cells.counts, cells.failed, cells.sums, cells.buckets
    for place, labels in enumerate(cells.labels):
        assert counts[place].any(), "a series without spans"
        for point in range(cells.points):
            if counts[place, point]:
                found[labels, point] = (
                    counts[place, point],
                    failed[place, point],
                    {side: round(float(sums[side][place, point]), 9) for side in cells.sides},
                    {side: buckets[side][place, point].tolist() for side in cells.sides},
                )
    return found


def wanted(
    totals: Totals, sides: tuple[str, ...], bounds: tuple[float, ...]
) -> dict[object, object]:
    found: dict[object, object] = {}
    for (labels, point), total in totals.items():
        buckets = {side: [0.0] * (len(bounds) + 1) for side in sides}
        for side in sides:
            for seconds in total.seconds[side]:
                buckets[side][bisect.bisect_left(bounds, seconds)] += 1
        sums = {side: round(sum(total.seconds[side]), 9) for side in sides}
        found[labels, point] = (total.count, total.failed, sums, buckets)
    return found


def asked(case: Case, owners: list[int], question: SeriesQuestion) -> SeriesCells:
    """Ask whole, in parts, and over the wire: it is all the same."""
    operation = CountSeries(question=question, params=PARAMS)
    whole = operation.answer(case.sources, site())
    in_parts = ask_in_parts(operation, case.sources, owners)
    assert told(in_parts) == told(whole)
    assert in_parts.shown == whole.shown
    assert told(decode_answer(operation, encode_answer(whole))) == told(whole)
    return whole


def question_of(over: Range, family: Family, **more: object) -> SeriesQuestion:
    return SeriesQuestion(
        family=family,
        start_ns=over.origin_ns,
        step_ns=over.step_ns,
        points=over.points,
        **more,  # type: ignore[arg-type]  # fields of the question
    )


@USUAL
@given(case=cases, owners=owners, over=ranges)
def test_spans(case: Case, owners: list[int], over: Range) -> None:
    found = asked(case, owners, question_of(over, Family.LATENCY))

    totals = span_metrics(case.spans, over, ("region", "other"))
    assert told(found) == wanted(totals, found.sides, found.bounds)


@USUAL
@given(case=cases, owners=owners, over=ranges, is_graph=st.booleans())
def test_requests(case: Case, owners: list[int], over: Range, is_graph: bool) -> None:
    question = question_of(over, Family.EDGES, is_graph=is_graph, exemplars=is_graph)
    found = asked(case, owners, question)

    totals = edge_metrics(case.spans, over, every_server=is_graph)
    assert told(found) == wanted(totals, found.sides, found.bounds)


@USUAL
@given(case=cases, owners=owners, over=ranges)
def test_requests_of_which_a_side_matches(case: Case, owners: list[int], over: Range) -> None:
    question = question_of(over, Family.EDGES, filter='{ name = "get" }')
    found = asked(case, owners, question)

    totals = edge_metrics(case.spans, over, wanted=lambda one: one.span.name == "get")
    assert told(found) == wanted(totals, found.sides, found.bounds)


matchers = st.builds(
    Matcher,
    label=st.sampled_from(["service", "span_name", "span_kind", "region", "nothing", "other"]),
    op=st.sampled_from(MatchOperator),
    value=st.sampled_from(["", "shop", "get", "eu|true", "s.*", ".+", "SPAN_KIND_SERVER", "1.5"]),
)


@USUAL
@given(
    case=cases,
    owners=owners,
    over=ranges,
    some=st.lists(matchers, max_size=2),
    by=st.sets(st.sampled_from(["service", "span_name", "nothing", "region"])),
)
def test_matchers_and_groups(
    case: Case, owners: list[int], over: Range, some: list[Matcher], by: set[str]
) -> None:
    whole = CountSeries(question=question_of(over, Family.CALLS), params=PARAMS)
    every = whole.answer(case.sources, site())
    question = question_of(over, Family.CALLS, matchers=tuple(some), by=tuple(sorted(by)))
    found = asked(case, owners, question)

    added: dict[object, list[float]] = {}
    for place, labels in enumerate(every.labels):
        if all(holds(one, dict(labels)) for one in some):
            key = tuple(pair for pair in labels if pair[0] in by)
            known = added.setdefault(key, [0.0] * over.points)
            added[key] = [a + b for a, b in zip(known, every.counts[place], strict=True)]
    assert dict(zip(found.labels, found.counts.tolist(), strict=True)) == added


def holds(matcher: Matcher, labels: dict[str, str]) -> bool:
    text = labels.get(matcher.label, "")
    if matcher.op.is_regex:
        return bool(re.fullmatch(matcher.value, text)) != matcher.op.is_negative
    return (text == matcher.value) != matcher.op.is_negative

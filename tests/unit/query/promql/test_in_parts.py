"""A PromQL query says the same of all sources at once, in parts, and by way of the wire."""

from __future__ import annotations

import json

import pytest
from support.call_traces import call_spans
from support.jobs import ask_in_parts, site
from support.otlp import EPOCH_NS
from support.search_cases import request_for
from support.source_makers import kernel_tables, written_block

from tracestore.api.prometheus_answers import range_answer
from tracestore.errors import CorruptionError
from tracestore.query.jobs.answers import decode_answer, encode_answer
from tracestore.query.jobs.operation import Share
from tracestore.query.jobs.several_series import CountSeveralSeries
from tracestore.query.jobs.span_series import CountSeries
from tracestore.query.promql.evaluate import plan
from tracestore.query.promql.parse import parse
from tracestore.query.promql.readings import Meaning
from tracestore.query.promql.windows import Times
from tracestore.query.span_series import SeriesCells
from tracestore.query.span_series_run import SeriesParams
from tracestore.settings.generator_tree import ProcessorSettings

TIMES = Times(start_ms=EPOCH_NS // 10**6, step_ms=500, points=14)
MEANING = Meaning(lookback_ms=3000, stale_ms=1000, samples_max=0)
PARAMS = SeriesParams(processor=ProcessorSettings())
NOTHING = Share(primary=frozenset())
QUERY = (
    "sum by (service) (rate(traces_spanmetrics_calls_total[2s])) "
    "/ on () group_left sum(rate(traces_service_graph_request_total[3s])) "
    "or histogram_quantile(0.9, traces_spanmetrics_latency_bucket)"
)


@pytest.mark.parametrize("seed", range(4))
def test_parts_agree(seed: int) -> None:
    placed = call_spans(seed, 3)
    makers = [kernel_tables, written_block, kernel_tables]
    sources = [
        make(request_for(placed, number), str(number), 1000, 512)
        for number, make in enumerate(makers)
    ]
    planned = plan(parse(QUERY), TIMES, MEANING, is_range=True)
    operation = CountSeveralSeries(questions=planned.questions, params=PARAMS)
    assert len(operation.questions) == 3

    def answered(found: tuple[SeriesCells, ...]) -> object:
        answers = dict(zip(planned.questions, found, strict=True))
        return json.loads(range_answer(planned.evaluate(answers), TIMES, 0).body)

    whole = operation.answer(sources, site())
    expected = answered(whole)
    assert expected["data"]["result"]  # type: ignore[index]
    assert answered(ask_in_parts(operation, sources, [0, 1, 0])) == expected
    assert answered(decode_answer(operation, encode_answer(whole))) == expected


def test_parts_of_another_query_are_refused() -> None:
    planned = plan(parse(QUERY), TIMES, MEANING, is_range=True)
    several = CountSeveralSeries(questions=planned.questions, params=PARAMS)
    fewer = CountSeveralSeries(questions=planned.questions[:1], params=PARAMS)
    with pytest.raises(CorruptionError, match="3 parts of answers where 1 were asked for"):
        fewer.combine([several.part([], site(), NOTHING)], site())
    part = CountSeries(question=planned.questions[0], params=PARAMS).part([], site(), NOTHING)
    with pytest.raises(CorruptionError, match="a 'part of span series' where"):
        several.combine([part], site())

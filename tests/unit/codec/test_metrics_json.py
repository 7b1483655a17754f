"""Answers of metrics queries as JSON and protobuf."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tracestore.codec.metrics_json import (
    encode_instant,
    encode_range,
    render_instant_json,
    render_range_json,
)
from tracestore.codec.proto.tempopb_pb2 import QueryInstantResponse, QueryRangeResponse
from tracestore.model.results import AttributeValue, QueryStats
from tracestore.model.series import Exemplar, Grid, MetricsResult, Series
from tracestore.model.times import SECOND_NS

GRID = Grid(origin_ns=100 * SECOND_NS, step_ns=10 * SECOND_NS, count=4)
STATS = QueryStats(inspected_traces=1, inspected_bytes=2, total_jobs=3, completed_jobs=3)


def range_message(answer: MetricsResult) -> QueryRangeResponse:
    return QueryRangeResponse.FromString(b"".join(encode_range(answer, range(answer.grid.count))))


def series(fill: float, values: dict[int, float], *labels: tuple[str, AttributeValue]) -> Series:
    return Series(
        labels=labels,
        fill=fill,
        points=np.array(list(values), np.int64),
        values=np.array(list(values.values()), np.float64),
    )


def result(*all_series: Series, grid: Grid = GRID, message: str = "") -> MetricsResult:
    return MetricsResult(grid=grid, series=all_series, stats=STATS, message=message)


def test_zeros_have_no_value_and_missing_samples_are_left_out() -> None:
    body = json.loads(
        render_range_json(
            result(
                series(0.0, {1: 2.5, 3: math.nan}, ("a", "x")),
                series(math.nan, {0: -0.0, 2: 3.0}, ("b", 7)),
                series(math.nan, {}, ("c", True)),
            )
        )
    )
    assert body["series"] == [
        {
            "labels": [{"key": "a", "value": {"stringValue": "x"}}],
            "samples": [
                {"timestampMs": "110000"},
                {"timestampMs": "120000", "value": 2.5},
                {"timestampMs": "130000"},
            ],
        },
        {
            "labels": [{"key": "b", "value": {"intValue": "7"}}],
            "samples": [{"timestampMs": "110000"}, {"timestampMs": "130000", "value": 3}],
        },
        {"labels": [{"key": "c", "value": {"boolValue": True}}], "samples": []},
    ]
    assert body["metrics"] == {
        "inspectedTraces": 1,
        "inspectedBytes": "2",
        "totalJobs": 3,
        "completedJobs": 3,
    }
    assert set(body) == {"series", "metrics"}


def test_no_series_is_an_empty_array_and_what_is_missing_is_told() -> None:
    assert render_range_json(result()).startswith(b'{"series":[],"metrics":{')
    body = json.loads(render_range_json(result(message="some \N{SNOWMAN}")))
    assert (body["status"], body["message"]) == ("PARTIAL", "some \N{SNOWMAN}")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1e300, 1e300),
        (0.1, 0.1),
        (-1.5e-9, -1.5e-9),
        (2.0**53, 2.0**53),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
    ],
)
def test_every_double_reads_back(value: float, written: object) -> None:
    body = json.loads(render_range_json(result(series(math.nan, {1: value}))))
    assert body["series"][0]["samples"] == [{"timestampMs": "120000", "value": written}]
    message = range_message(result(series(value, {})))
    assert [sample.value for sample in message.series[0].samples] == [value] * 4


def test_an_instant_is_one_value_and_no_more() -> None:
    grid = Grid(origin_ns=0, step_ns=SECOND_NS, count=1)
    answer = result(
        series(0.0, {}, ("a", 1.5)),
        series(math.nan, {0: 2.0}, ("p", 0.5)),
        series(math.nan, {}, ("c", "none")),
        grid=grid,
    )
    body = json.loads(render_instant_json(answer))
    assert body["series"] == [
        {"labels": [{"key": "a", "value": {"doubleValue": 1.5}}]},
        {"labels": [{"key": "p", "value": {"doubleValue": 0.5}}], "value": 2},
    ]
    message = QueryInstantResponse.FromString(b"".join(encode_instant(answer)))
    assert [one.value for one in message.series] == [0.0, 2.0]


def test_exemplars_are_written_in_both_forms() -> None:
    exemplar = Exemplar(
        labels=(("trace:id", "ab"), ("n", 3)), value=0.25, time_ns=111_222_333_444, point=1
    )
    plain = series(0.0, {1: 2.0})
    one = Series(
        labels=(), fill=0.0, points=plain.points, values=plain.values, exemplars=(exemplar,)
    )
    (written,) = json.loads(render_range_json(result(one)))["series"][0]["exemplars"]
    assert written == {
        "labels": [
            {"key": "trace:id", "value": {"stringValue": "ab"}},
            {"key": "n", "value": {"intValue": "3"}},
        ],
        "value": 0.25,
        "timestampMs": "111222",
    }
    message = range_message(result(one))
    (sent,) = message.series[0].exemplars
    assert (sent.value, sent.timestamp_ms, sent.labels[0].key) == (0.25, 111222, "trace:id")
    assert [sample.timestamp_ms for sample in message.series[0].samples] == [
        110000,
        120000,
        130000,
        140000,
    ]

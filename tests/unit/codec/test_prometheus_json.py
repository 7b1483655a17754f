"""Numbers and times as Prometheus writes them."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracestore.codec.prometheus_json import (
    matrix_data,
    number_text,
    render_error,
    render_success,
    string_data,
    time_text,
    vector_data,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-6, "0.000001"),
        (1.5e-5, "0.000015"),
        (-1.25e-5, "-0.0000125"),
        (9.5e-7, "9.5e-7"),
        (1e-9, "1e-9"),
        (1e16, "10000000000000000"),
        (1.5e20, "150000000000000000000"),
        (123456789012345680.0, "123456789012345680"),
        (1e21, "1e+21"),
        (-1.5e300, "-1.5e+300"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert number_text(value) == text


@given(st.floats(allow_nan=False))
def test_a_number_reads_as_what_it_was(value: float) -> None:
    text = number_text(value)
    assert float(text) == value
    if 1e-6 <= abs(value) < 1e21:
        assert "e" not in text


@pytest.mark.parametrize(
    ("time_ms", "text"), [(0, "0"), (1500, "1.500"), (1001, "1.001"), (-1500, "-1.500")]
)
def test_time(time_ms: int, text: str) -> None:
    assert time_text(time_ms) == text


def test_values_are_json() -> None:
    labels = (("a", 'say "hi"\n'), ("b", "\ud800"))
    body = json.loads(render_success(vector_data([(labels, 0.5)], 1500), ["cut"]))
    assert body == {
        "status": "success",
        "data": {
            "resultType": "vector",
            "result": [{"metric": {"a": 'say "hi"\n', "b": "?"}, "value": [1.5, "0.5"]}],
        },
        "warnings": ["cut"],
    }
    assert json.loads(matrix_data([((), [1.0, math.inf], [1000, 2000])])) == {
        "resultType": "matrix",
        "result": [{"metric": {}, "values": [[1, "1"], [2, "+Inf"]]}],
    }
    assert json.loads(string_data("x", 0)) == {"resultType": "string", "result": [0, "x"]}
    assert json.loads(render_error("bad_data", "no")) == {
        "status": "error",
        "errorType": "bad_data",
        "error": "no",
    }

"""Parameters of the Prometheus routes, in every form that Prometheus takes."""

from __future__ import annotations

import pytest

from tracestore.api.prometheus_params import (
    Form,
    parse_duration_ms,
    parse_form,
    parse_limit,
    parse_range,
    parse_time_ms,
)
from tracestore.errors import InvalidRequestError
from tracestore.query.promql.windows import Times


def form(**pairs: str) -> Form:
    return Form(pairs=tuple(pairs.items()))


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1700000000", 1_700_000_000_000),
        ("1700000000.1239", 1_700_000_000_124),
        ("1.7e9", 1_700_000_000_000),
        (".5", 500),
        ("-5", -5_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T22:13:20.5+01:00", 1_699_996_400_500),
        ("", 42),
    ],
)
def test_time(text: str, time_ms: int) -> None:
    assert parse_time_ms(form(time=text), "time", 42) == time_ms


@pytest.mark.parametrize("text", ["x", "NaN", "Inf", "1e300", "2023-11-14", "1_0", " 1", "5m"])
def test_no_time(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r'invalid parameter "time": cannot parse'):
        parse_time_ms(form(time=text), "time", 42)


def test_a_time_that_must_be_there() -> None:
    with pytest.raises(InvalidRequestError, match=r'"start": cannot parse "" to a valid time'):
        parse_time_ms(form(), "start")


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [("15", 15_000), ("0.5", 500), ("1m30s", 90_000), ("2h", 7_200_000), ("", None)],
)
def test_duration(text: str, duration_ms: int | None) -> None:
    assert parse_duration_ms(form(timeout=text), "timeout") == duration_ms


@pytest.mark.parametrize("text", ["x", "1.5m", "1e300", "999999y"])
def test_no_duration(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r'"timeout": cannot parse .* valid duration'):
        parse_duration_ms(form(timeout=text), "timeout")


def test_range() -> None:
    found = parse_range(form(start="10", end="20", step="3"), 100)
    assert found == Times(start_ms=10_000, step_ms=3_000, points=4)
    assert found.end_ms == 19_000
    assert parse_range(form(start="10", end="10", step="1y"), 100).points == 1
    assert parse_range(form(start="0", end="100", step="1"), 100).points == 101


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({"start": "20", "end": "10", "step": "1"}, "end timestamp must not be before start"),
        ({"start": "1", "end": "10", "step": "-1"}, "zero or negative query resolution step"),
        ({"start": "1", "end": "10", "step": "0"}, "Try a positive integer"),
        ({"start": "1", "end": "10"}, '"step": cannot parse "" to a valid duration'),
        ({"start": "0", "end": "101", "step": "1"}, "maximum resolution of 100 points"),
    ],
)
def test_no_range(pairs: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        parse_range(form(**pairs), 100)


@pytest.mark.parametrize("text", ["-1", "x", "9" * 30, "1.5"])
def test_no_limit(text: str) -> None:
    with pytest.raises(InvalidRequestError, match='invalid parameter "limit"'):
        parse_limit(form(limit=text))


def test_form() -> None:
    found = parse_form(b"match[]=c&query=1&x=%C3%A9", b"query=a%2Bb&match%5B%5D=a&match[]=b")
    assert found.get("query") == "a+b"
    assert found.get("x") == "é"
    assert found.get("none") == ""
    assert found.all("match[]") == ["a", "b", "c"]
    with pytest.raises(InvalidRequestError, match='parameter "query": not valid UTF-8'):
        parse_form(b"", b"query=%ff")

"""The body of a search becomes values, tables and frames."""

from __future__ import annotations

import builtins
import json
import math
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from tracestore.client.found import Found, read_found
from tracestore.client.frames import attribute_array
from tracestore.errors import InvalidRequestError, UnavailableError

START_NS = 1_700_000_040_000_000_001


def attribute(key: str, **value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


def a_span(number: int, *attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "spanID": f"{number:016x}",
        "name": f"span {number}",
        "startTimeUnixNano": str(START_NS + number),
        "durationNanos": "1500",
        "attributes": list(attributes),
    }


def a_body(*spans: dict[str, Any], matched: int | None = None, **more: Any) -> dict[str, Any]:
    count = len(spans) if matched is None else matched
    return {
        "traces": [
            {
                "traceID": "ab",
                "rootServiceName": "shop",
                "rootTraceName": "GET <b>",
                "startTimeUnixNano": str(START_NS),
                "durationMs": 120,
                "spanSets": [{"spans": list(spans), "matched": count}],
                "serviceStats": {"shop": {"spanCount": 4, "errorCount": 1}, "bank": {}},
            }
        ],
        "metrics": {},
        **more,
    }


def found(*spans: dict[str, Any], **more: Any) -> Found:
    return read_found(json.dumps(a_body(*spans, **more)).encode(), source="test")


def test_traces_are_rows() -> None:
    table = found(a_span(1), matched=3).to_arrow("traces")

    (row,) = table.to_pylist()
    assert row.pop("start").value == START_NS
    assert row == {
        "trace_id": "0" * 30 + "ab",
        "root_service": "shop",
        "root_name": "GET <b>",
        "duration": timedelta(milliseconds=120),
        "matched": 3,
        "spans": 4,
        "errors": 1,
        "services": ["shop", "bank"],
    }


def test_spans_are_rows_and_what_the_query_mentions_is_columns() -> None:
    answer = found(
        a_span(1, attribute("code", intValue="200"), attribute("service.name", stringValue="shop")),
        a_span(2, attribute("ok", boolValue=True)),
    )

    table = answer.to_arrow()
    assert table.schema.names == [
        *("trace_id", "span_id", "name", "start", "duration", "service"),
        *("code", "ok"),
    ]
    assert table["service"].to_pylist() == ["shop", None]
    assert table["code"].to_pylist() == [200, None]
    assert table["ok"].to_pylist() == [None, True]
    assert table["start"].cast(pa.int64()).to_pylist() == [START_NS + 1, START_NS + 2]
    assert table["duration"].cast(pa.int64()).to_pylist() == [1500, 1500]


def test_a_name_that_is_taken_gets_a_number() -> None:
    answer = found(
        a_span(
            1,
            attribute("a", intValue="1"),
            attribute("a", intValue="2"),
            attribute("name", stringValue="n"),
            attribute("service.name", stringValue="of the span"),
            attribute("service.name", stringValue="of the resource"),
        )
    )

    (row,) = answer.to_arrow().select(["service", "a", "a_2", "name_2", "service.name"]).to_pylist()
    assert row == {
        "service": "of the resource",
        "a": 1,
        "a_2": 2,
        "name_2": "n",
        "service.name": "of the span",
    }


@pytest.mark.parametrize(
    ("values", "kind", "stored"),
    [
        ([1, None], pa.int64(), [1, None]),
        ([1, 0.5], pa.float64(), [1.0, 0.5]),
        ([True, False], pa.bool_(), [True, False]),
        ([["a"], []], pa.list_(pa.string()), [["a"], []]),
        ([[1], [2, 3]], pa.list_(pa.int64()), [[1], [2, 3]]),
        (["a", 1, True], pa.string(), ["a", "1", "true"]),
        ([["a", 1]], pa.string(), ['["a", 1]']),
        ([True, 1], pa.string(), ["true", "1"]),
    ],
)
def test_a_column_has_the_one_type_of_its_values(
    values: list[Any], kind: pa.DataType, stored: list[Any]
) -> None:
    array = attribute_array(values)

    assert array.type == kind
    assert array.to_pylist() == stored


def test_doubles_that_json_has_not() -> None:
    answer = found(a_span(1, attribute("x", doubleValue="NaN")), a_span(2))

    first, second = answer.to_arrow()["x"].to_pylist()
    assert math.isnan(first)
    assert second is None


def test_frames_of_pandas_and_polars() -> None:
    answer = found(a_span(1, attribute("code", intValue="200")), a_span(2))

    pandas = answer.to_pandas()
    assert list(pandas["name"]) == ["span 1", "span 2"]
    assert pandas["start"][0].value == START_NS + 1
    polars = answer.to_polars()
    assert polars["code"].to_list() == [200, None]
    assert answer.to_polars("traces").shape == (1, 9)


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_package_that_is_missing_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == package:
            raise ImportError(name)
        return real(name, *args, **options)

    answer = found(a_span(1))
    answer.to_arrow()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=f"{package} is not installed: pip install {package}"):
        getattr(answer, f"to_{package}")()


def test_an_empty_answer_has_the_columns_too() -> None:
    answer = read_found(b'{"traces": [], "metrics": {}}', source="test")

    assert answer.to_arrow().num_rows == 0
    assert answer.to_arrow("traces").schema.field("start").type == pa.timestamp("ns", "UTC")
    assert (answer.total, answer.next_cursor, answer.explain) == (None, None, None)


def test_count_and_what_is_left_out() -> None:
    answer = found(
        a_span(1), matched=5, total={"traces": 9, "exact": True}, nextCursor="c", explain={"a": 1}
    )

    assert answer.spans_left_out == 4
    assert answer.total is not None
    assert (answer.total.traces, answer.total.exact) == (9, True)
    assert (answer.next_cursor, answer.explain) == ("c", {"a": 1})


def test_other_rows_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="expected spans or traces, got 'events'"):
        found().to_arrow("events")  # type: ignore[arg-type]  # what a person may type


def test_a_notebook_shows_it_and_nothing_is_markup() -> None:
    html = found(a_span(1), matched=3, total={"traces": 7, "exact": False})._repr_html_()

    assert "GET &lt;b&gt;" in html
    assert "GET <b>" not in html
    assert "1 trace of at least 7 (2 matched spans not shown)" in html


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b'{"traces": [{}]}', b'{"traces": [], "total": 1}']
)
def test_what_is_no_answer_is_said(content: bytes) -> None:
    with pytest.raises(UnavailableError, match="http://x answered with something that is no sear"):
        read_found(content, source="http://x")

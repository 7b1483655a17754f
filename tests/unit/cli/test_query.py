"""What a search looks like, on a terminal and in a pipe."""

from __future__ import annotations

import io
import json
from typing import Any

from tracestore.cli.query import outline, show_json, show_ndjson, show_table
from tracestore.cli.screen import Screen
from tracestore.client.found import Found, read_found

BODY: dict[str, Any] = {
    "traces": [
        {
            "traceID": "ab",
            "rootServiceName": "shop",
            "rootTraceName": "GET /\x1b[2J",
            "startTimeUnixNano": "1700000040000000000",
            "durationMs": 1234,
            "spanSets": [{"spans": [], "matched": 3}],
            "serviceStats": {"shop": {"spanCount": 4, "errorCount": 2}},
        }
    ],
    "metrics": {},
    "total": {"traces": 12, "exact": False},
    "nextCursor": "abc",
    "explain": {"pruned": [{"block": "b1", "by": "time"}], "columns": ["name", "status"]},
}

COUNTS = "MATCHED  SPANS  ERRORS"
COUNTED = "      3      4       2"


def found(**changes: Any) -> Found:
    return read_found(json.dumps(BODY | changes).encode(), source="test")


def on(*, terminal: bool) -> tuple[Screen, io.StringIO]:
    stream = io.StringIO()
    return Screen(stream, colour=terminal, columns=120 if terminal else None), stream


def test_a_pipe_gets_a_plain_table_and_what_was_asked_for() -> None:
    screen, stream = on(terminal=False)
    show_table(screen, found())

    assert stream.getvalue().splitlines() == [
        f"TRACE{' ' * 29}START (UTC)              SERVICE  NAME          DURATION  {COUNTS}",
        f"{'0' * 30}ab  2023-11-14 22:14:00.000  shop     GET /\\x1b[2J     1.23s  {COUNTED}",
        "at least 12 traces match",
        "more: --cursor=abc",
        "",
        "explain",
        "  pruned:",
        "    -",
        "      block: b1",
        "      by: time",
        "  columns: name, status",
    ]


def test_a_terminal_gets_colours_and_a_count() -> None:
    screen, stream = on(terminal=True)
    show_table(screen, found())

    assert "\x1b[1;31m2\x1b[0m" in stream.getvalue()
    assert "1 trace shown" in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()


def test_json_is_what_the_api_said() -> None:
    screen, stream = on(terminal=False)
    show_json(screen, found())

    assert json.loads(stream.getvalue()) == BODY
    assert stream.getvalue().count("\n") == 1


def test_json_for_a_person_has_lines() -> None:
    screen, stream = on(terminal=True)
    show_json(screen, found())

    assert json.loads(stream.getvalue()) == BODY
    assert stream.getvalue().count("\n") > 10


def test_ndjson_is_a_trace_a_line_then_what_else_was_asked_for() -> None:
    screen, stream = on(terminal=False)
    show_ndjson(screen, found())

    trace, extras = map(json.loads, stream.getvalue().splitlines())
    assert trace == BODY["traces"][0]
    assert extras == {name: BODY[name] for name in ("total", "nextCursor", "explain")}


def test_ndjson_of_nothing_is_nothing() -> None:
    screen, stream = on(terminal=False)
    show_ndjson(screen, read_found(b'{"traces": []}', source="test"))

    assert stream.getvalue() == ""


def test_an_outline_of_plain_values() -> None:
    assert list(outline({"a": True, "b": [], "c": {"d": 1.5}})) == [
        "  a: true",
        "  b: ",
        "  c:",
        "    d: 1.5",
    ]

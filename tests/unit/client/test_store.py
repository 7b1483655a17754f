"""One object to ask, whoever answers; options that the other side does not know are not lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.clocks import ManualClock

import tracestore
from traceql.errors import QueryError
from tracestore.client.store import Store
from tracestore.errors import InvalidRequestError, NotFoundError, UnavailableError
from tracestore.model.ids import TraceId

SELECTS_SERVICE = "{ true } | select(resource.service.name)"


class Answers:
    """A backend with one answer to every search; refuses selecting if it is told to."""

    name = "here"

    def __init__(self, *, selects: bool = True, **body: Any) -> None:
        self.asked: list[Mapping[str, str]] = []
        self._selects = selects
        self._body = {"traces": [], "metrics": {}, **body}

    def search(self, parameters: Mapping[str, str]) -> bytes:
        self.asked.append(parameters)
        if not self._selects and "select" in parameters["q"]:
            raise InvalidRequestError("pipelines are not yet supported")
        return json.dumps(self._body).encode()

    def trace(self, trace_id: TraceId) -> bytes:
        return b'{"trace": {}, "metrics": {}}'


def traces(*durations_ms: int) -> list[dict[str, Any]]:
    return [
        {"traceID": str(index + 1), "durationMs": duration, "startTimeUnixNano": str(100 - index)}
        for index, duration in enumerate(durations_ms)
    ]


def test_a_search_asks_for_the_service_and_for_all_spans() -> None:
    backend = Answers()
    Store(backend, clock=ManualClock(90_000_000_000)).search(last="1m", limit=3)

    assert backend.asked == [
        {"q": SELECTS_SERVICE, "start": "30", "end": "90", "limit": "3", "spss": "0"}
    ]


def test_who_cannot_select_is_asked_without() -> None:
    backend = Answers(selects=False)
    Store(backend).search("{ status = error }")

    assert [one["q"] for one in backend.asked][1:] == ["{ status = error }"]


def test_a_mistake_is_about_the_text_that_was_given() -> None:
    with pytest.raises(QueryError) as caught:
        Store(Answers()).search("{ statsu = error }")

    assert caught.value.text == "{ statsu = error }"


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"count": True}, "count"),
        ({"explain": True}, "explain"),
        ({"sort": "duration"}, "sort"),
        ({"sort": "start"}, "sort"),
    ],
)
def test_an_option_that_was_left_aside_is_an_error(options: dict[str, Any], missing: str) -> None:
    with pytest.raises(UnavailableError, match=f"here does not know {missing}$"):
        Store(Answers(traces=traces(9, 5, 7))).search(**options)


@pytest.mark.parametrize(
    ("durations_ms", "options"),
    [
        ((9, 7, 7), {"sort": "-duration"}),
        ((1, 1, 2), {"sort": "duration"}),
        ((9, 5, 7), {"sort": "-start"}),
        ((9, 5, 7), {"sort": "spans"}),
    ],
)
def test_an_answer_in_order_is_taken(durations_ms: tuple[int, ...], options: Any) -> None:
    assert len(Store(Answers(traces=traces(*durations_ms))).search(**options).traces) == 3


def test_a_trace_that_is_not_there() -> None:
    with pytest.raises(NotFoundError, match="trace ab is not in here"):
        Store(Answers()).trace("ab")
    with pytest.raises(InvalidRequestError, match="hex"):
        Store(Answers()).trace("xy")


def test_open_tells_urls_from_directories(tmp_path: Path) -> None:
    (tmp_path / "wal").mkdir()

    assert tracestore.open("https://host/tempo/").name == "https://host/tempo"
    assert tracestore.open(tmp_path).name == str(tmp_path)
    with pytest.raises(InvalidRequestError, match="there is no directory"):
        tracestore.open(tmp_path / "none")
    with pytest.raises(InvalidRequestError, match="is not a data directory: it holds none of ind"):
        tracestore.open(tmp_path / "wal")


def test_importing_the_package_is_light() -> None:
    """Each command and each sender imports it; Arrow alone takes longer than most of them."""
    program = (
        "import sys, tracestore\n"
        "heavy = {'pyarrow', 'numpy', 'lark', 'fastapi', 'tracestore.client'}\n"
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_asking_a_server_needs_no_engine() -> None:
    program = (
        "import sys, tracestore.cli.main\n"
        "heavy = {'pyarrow', 'fastapi', 'pandas'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

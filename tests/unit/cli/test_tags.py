"""What names and values look like, on a terminal and in a pipe."""

from __future__ import annotations

import io

import pytest

from tracestore.cli.screen import Screen
from tracestore.cli.tags import Pairs, show_json, show_ndjson, show_table, show_text

NAMES: Pairs = [("resource", "service.name"), ("span", "a b"), ("intrinsic", "span:name")]
VALUES: Pairs = [("string", "GET /\x1b[2J"), ("int", "200"), ("string", "")]
NAME_TITLES, VALUE_TITLES = ("scope", "name"), ("type", "value")


@pytest.fixture
def pipe() -> tuple[Screen, io.StringIO]:
    stream = io.StringIO()
    return Screen(stream, colour=False, columns=None), stream


def test_a_table(pipe: tuple[Screen, io.StringIO]) -> None:
    show_table(pipe[0], VALUE_TITLES, VALUES)

    assert pipe[1].getvalue().splitlines() == [
        "TYPE    VALUE",
        "string  GET /\\x1b[2J",
        "int     200",
        "string",
    ]


def test_a_person_sees_how_many_there_are() -> None:
    stream = io.StringIO()

    show_table(Screen(stream, colour=False, columns=40), NAME_TITLES, NAMES)

    assert stream.getvalue().splitlines()[-1] == "3 names"


def test_json(pipe: tuple[Screen, io.StringIO]) -> None:
    show_json(pipe[0], NAME_TITLES, NAMES)
    show_json(pipe[0], VALUE_TITLES, VALUES[1:])

    assert pipe[1].getvalue().splitlines() == [
        '{"resource": ["service.name"], "span": ["a b"], "intrinsic": ["span:name"]}',
        '[{"type": "int", "value": "200"}, {"type": "string", "value": ""}]',
    ]


def test_an_object_a_line(pipe: tuple[Screen, io.StringIO]) -> None:
    show_ndjson(pipe[0], NAME_TITLES, NAMES[:2])

    assert pipe[1].getvalue().splitlines() == [
        '{"scope": "resource", "name": "service.name"}',
        '{"scope": "span", "name": "a b"}',
    ]


def test_names_for_shells_are_as_a_query_writes_them(pipe: tuple[Screen, io.StringIO]) -> None:
    show_text(pipe[0], NAME_TITLES, NAMES)
    show_text(pipe[0], VALUE_TITLES, VALUES[1:2])

    assert pipe[1].getvalue().splitlines() == [
        "resource.service.name",
        'span."a b"',
        "span:name",
        "200",
    ]

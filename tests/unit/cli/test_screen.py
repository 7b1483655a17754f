"""Colours and fitting on a terminal, plain and whole in a pipe."""

from __future__ import annotations

import io

import pytest

from tracestore.cli.screen import Cell, Column, Ink, Screen

COLUMNS = (Column("NAME", shrinks=True), Column("N", right=True, optional=True))
ROWS = [
    (Cell("GET /a/long/path", Ink.NAME), Cell("7")),
    (Cell("x\x1b[2J"), Cell("12", Ink.ERROR)),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(screen: Screen, stream: io.StringIO) -> list[str]:
    screen.table(COLUMNS, ROWS)
    return stream.getvalue().splitlines()


def test_a_pipe_gets_all_of_it_without_colour() -> None:
    stream = io.StringIO()
    screen = Screen.of(stream, colour=True)

    assert not screen.is_terminal
    assert printed(screen, stream) == [
        "NAME               N",
        "GET /a/long/path   7",
        "x\\x1b[2J          12",
    ]


def test_a_terminal_gets_colours_and_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "14")
    stream = Terminal()
    screen = Screen.of(stream, colour=True)

    assert screen.is_terminal
    assert printed(screen, stream) == [
        "\x1b[1mNAME\x1b[0m         \x1b[1mN\x1b[0m",
        "\x1b[36mGET /a/lo…\x1b[0m   7",
        "x\\x1b[2J    \x1b[1;31m12\x1b[0m",
    ]


def test_a_terminal_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "14")
    stream = Terminal()

    assert printed(Screen.of(stream, colour=False), stream)[1] == "GET /a/lo…   7"


def test_what_the_encoding_has_not_is_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    screen = Screen.of(stream, colour=True)
    screen.line(Cell("naïve"))
    stream.flush()

    assert raw.getvalue() == b"na\\xefve\n"
    assert not screen.can_show("├")


def test_a_column_that_does_not_fit_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "9")
    stream = Terminal()

    assert printed(Screen.of(stream, colour=False), stream)[1] == "GET /a/l…"

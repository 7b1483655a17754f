"""Flags of the commands that ask, and their mistakes."""

from __future__ import annotations

import pytest

from tracestore.cli.asking import parse_flags
from tracestore.cli.main import main
from tracestore.cli.query import make_request
from tracestore.errors import SettingsError

VALUES = frozenset({"sort", "limit", "output"})
SWITCHES = frozenset({"count"})


def test_flags_and_words_in_any_order() -> None:
    flags = parse_flags(
        ["--limit", "5", "{}", "--sort", "-start", "-count", "--output=json"],
        values=VALUES,
        switches=SWITCHES,
        words_max=1,
    )

    assert flags.words == ("{}",)
    assert flags.values == {"limit": "5", "sort": "-start", "output": "json"}
    assert flags.switches == {"count"}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--limt", "5"], "unknown flag --limt; did you mean --limit?"),
        (["--xyz"], "unknown flag --xyz; see --help"),
        (["--limit"], "flag --limit needs a value"),
        (["--count=true"], "unknown flag --count"),
        (["{", "}"], "unexpected argument '}'; quote what has spaces"),
    ],
)
def test_a_mistake_in_the_flags(argv: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_flags(argv, values=VALUES, switches=SWITCHES, words_max=1)
    assert str(caught.value).startswith(message)


def test_flags_become_a_request() -> None:
    flags = parse_flags(
        ["--limit=5", "--spss=0", "--sort=-errors", "--last=1h", "--count", "{}"],
        values=VALUES | {"spss", "last"},
        switches=SWITCHES,
        words_max=1,
    )
    request = make_request(flags)

    assert (request.query, request.limit, request.spans_per_trace) == ("{}", 5, 0)
    assert (request.sort, request.last, request.count) == ("-errors", "1h", True)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["query", "--limit=x"], "flag --limit: expected a whole number, got 'x'"),
        (["query", "--output=xml"], "flag --output: expected table, json, ndjson, got 'xml'"),
        (["query", "--sort=size"], "flag --sort: expected -start, "),
        (["query", "--server=a", "--data=b"], "give --server or --data, not both"),
        (["query", "--data=none"], "there is no directory none"),
        (["query", "--last=soon", "--server=localhost:1"], "last: expected a duration"),
        (["query", "--server=localhost:1"], "no server answers at http://localhost:1: "),
        (["trace"], "expected the ID of a trace"),
        (["trace", "xy", "--server=localhost:1"], "trace IDs can only contain hex characters"),
        (["trace", "ab", "--server=localhost:1"], "no server answers at http://localhost:1: "),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_1(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"tracestore: {message}")
    assert captured.err.count("\n") == 1


def test_the_environment_names_the_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRACESTORE_URL", "http://localhost:1/x")

    assert main(["query"]) == 1
    assert "no server answers at http://localhost:1/x: " in capsys.readouterr().err


def test_a_mistake_in_the_query_is_drawn_before_a_server_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["query", "{ statsu = error }", "--server=localhost:1"]) == 1
    title, text, caret = capsys.readouterr().err.splitlines()

    assert title == "tracestore: the query is not valid"
    assert text == "{ statsu = error }"
    assert caret.startswith("  ^^^^^^ unexpected statsu")


@pytest.mark.parametrize("command", ["query", "trace"])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: tracestore {command}")

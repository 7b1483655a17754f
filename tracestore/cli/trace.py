"""``tracestore trace``: one trace as a tree."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tracestore.cli.asking import WHERE_FLAGS, WHERE_USAGE, parse_flags, run_asking
from tracestore.cli.screen import Cell, Column, Ink, Screen
from tracestore.client.store import Store
from tracestore.client.trace import Trace
from tracestore.codec.trace_text import (
    LINES,
    RIGHT,
    TITLES,
    errors_words,
    overview,
    span_lines,
)
from tracestore.errors import SettingsError

USAGE = f"""\
usage: tracestore trace ID [flags]

Prints a trace as a tree: when each span began after the first one, how long it took, its service.
Of a span whose parent is not there it says so.

  --output FORMAT    tree, json (as /api/v2/traces answers) [tree]
{WHERE_USAGE}"""
_OUTPUTS = ("tree", "json")
_COLUMNS = tuple(
    Column(title, right=right, shrinks=title == TITLES[-1])
    for title, right in zip(TITLES, RIGHT, strict=True)
)
_ASCII_LINES = ("| ", "  ", "|- ", "`- ")


def run_trace(argv: Sequence[str]) -> int:
    """Run the command. Returns: the exit code. Raises: TracestoreError."""
    flags = parse_flags(argv, values=WHERE_FLAGS, switches=frozenset(), words_max=1)
    if "help" in flags.switches:
        print(USAGE, end="")
        return 0
    output = flags.choice("output", _OUTPUTS)
    if not flags.words:
        raise SettingsError("expected the ID of a trace; see tracestore trace --help")

    def ask(store: Store) -> Trace:
        return store.trace(flags.words[0])

    return run_asking(flags, ask, show_json if output == "json" else show_tree)


def show_json(screen: Screen, trace: Trace) -> None:
    """Print the body of the API; in lines for a person, in one for a program."""
    indent = 2 if screen.is_terminal else None
    screen.write(json.dumps(trace.body, ensure_ascii=not screen.can_show("…"), indent=indent))


def show_tree(screen: Screen, trace: Trace) -> None:
    """Print what is known of the trace as a whole, then a line per span."""
    screen.line(
        Cell("trace ", Ink.BOLD),
        Cell(trace.trace_id, Ink.NUMBER),
        Cell(overview(trace.trace_id, trace.spans).removeprefix(f"trace {trace.trace_id}")),
        Cell(errors_words(trace.spans), Ink.ERROR if trace.error_count else Ink.DIM),
    )
    if trace.message:
        screen.line(Cell(f"not the whole trace: {trace.message}", Ink.ERROR))
    lines = LINES if screen.can_show("".join(LINES)) else _ASCII_LINES
    screen.table(
        _COLUMNS,
        [
            (
                Cell(line.offset, Ink.DIM),
                Cell(line.duration),
                Cell(line.service, Ink.NAME),
                Cell(line.text, Ink.ERROR if line.is_error else Ink.PLAIN),
            )
            for line in span_lines(trace.spans, trace.tree(), lines)
        ],
    )

"""``tracestore trace``: one trace as a tree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from tracestore.cli.asking import WHERE_FLAGS, WHERE_USAGE, parse_flags, run_asking
from tracestore.cli.screen import Cell, Column, Ink, Screen
from tracestore.client.store import Store
from tracestore.client.trace import Trace, TraceSpan, TreeRow
from tracestore.client.words import counted, duration_words, printable, time_words
from tracestore.errors import SettingsError

USAGE = f"""\
usage: tracestore trace ID [flags]

Prints a trace as a tree: when each span began after the first one, how long it took, its service.
Of a span whose parent is not there it says so.

  --output FORMAT    tree, json (as /api/v2/traces answers) [tree]
{WHERE_USAGE}"""
_OUTPUTS = ("tree", "json")
_COLUMNS = (
    Column("OFFSET", right=True),
    Column("DURATION", right=True),
    Column("SERVICE"),
    Column("SPAN", shrinks=True),
)
DEPTH_MAX = 32
"""Levels that are drawn; a span further down says how deep it is."""
_LINES = ("│ ", "  ", "├─ ", "└─ ")
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
    errors = trace.error_count
    screen.line(
        Cell("trace ", Ink.BOLD),
        Cell(trace.trace_id, Ink.NUMBER),
        Cell(
            f"  {time_words(trace.start_ns)} UTC  {duration_words(trace.duration_ns)}"
            f"  {counted(len(trace.spans), 'span')}"
            f"  {counted(len(trace.services), 'service')}  "
        ),
        Cell(counted(errors, "error"), Ink.ERROR if errors else Ink.DIM),
    )
    if trace.message:
        screen.line(Cell(f"not the whole trace: {trace.message}", Ink.ERROR))
    start_ns = trace.start_ns
    known = {span.span_id for span in trace.spans}
    lines = _LINES if screen.can_show("".join(_LINES)) else _ASCII_LINES
    rows = trace.tree()
    screen.table(
        _COLUMNS,
        [
            (
                Cell(duration_words(row.span.start_ns - start_ns), Ink.DIM),
                Cell(duration_words(row.span.duration_ns)),
                Cell(row.span.service, Ink.NAME),
                _span_cell(row.span, branch, known),
            )
            for row, branch in zip(rows, branches(rows, lines), strict=True)
        ],
    )


def _span_cell(span: TraceSpan, branch: str, known: set[str]) -> Cell:
    text = f"{branch}{printable(span.name)}"
    if span.parent_id and span.parent_id not in known:
        text += f"  (parent {span.parent_id} is not there)"
    if not span.is_error:
        return Cell(text)
    message = f": {printable(span.status_message)}" if span.status_message else ""
    return Cell(f"{text}  ERROR{message}", Ink.ERROR)


def branches(rows: Sequence[TreeRow], lines: Sequence[str]) -> Iterator[str]:
    """Draw what stands before each span.

    Args:
        lines: what goes past a span, nothing, a span, the last span of its parent.
    """
    past, nothing, middle, last = lines
    open_levels: list[bool] = []
    """Whether a sibling follows, per level of the ancestors."""
    for row in rows:
        del open_levels[row.depth :]
        open_levels.append(not row.is_last)
        if row.depth == 0:
            yield ""
            continue
        above = open_levels[1 : row.depth][:DEPTH_MAX]
        drawn = "".join(past if goes_on else nothing for goes_on in above)
        deep = f"({row.depth} deep) " if row.depth > DEPTH_MAX else ""
        yield f"{drawn}{last if row.is_last else middle}{deep}"

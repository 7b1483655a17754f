"""``tracestore query``: a search from the command line, of a server or of a data directory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tracestore.cli.asking import WHERE_FLAGS, WHERE_USAGE, Flags, parse_flags, run_asking
from tracestore.cli.screen import Cell, Column, Ink, Screen
from tracestore.client.found import Found
from tracestore.client.request import SORTS, SearchRequest
from tracestore.client.store import Store
from tracestore.model.words import counted, duration_words, time_words

USAGE = f"""\
usage: tracestore query ['{{ … }}'] [flags]

Finds traces with TraceQL, the newest first; without a query: all.

  --last TIME        window back from now (1h30m, 7d); without a window: all there is
  --start TIME       2026-01-31T12:00:00Z (UTC), unix seconds, or 2h: so long ago
  --end TIME         likewise [now]
  --limit N          traces [20]
  --spss N           matched spans of each trace in JSON [3]; 0: as many as may be
  --sort ORDER       {", ".join(SORTS)} [{SORTS[0]}]
  --count            say how many traces match in all
  --cursor TEXT      go on where an answer with --count ended
  --partial          leave out blocks that cannot be read, with a warning, and not fail
  --explain          say what was pruned, read and looked at
  --output FORMAT    table, json (as the API answers), ndjson (a trace a line) [table]
{WHERE_USAGE}"""
_VALUES = WHERE_FLAGS | {"last", "start", "end", "limit", "spss", "sort", "cursor"}
_SWITCHES = frozenset({"count", "explain", "partial"})
_OUTPUTS = ("table", "json", "ndjson")
_COLUMNS = (
    Column("TRACE"),
    Column("START (UTC)"),
    Column("SERVICE", shrinks=True),
    Column("NAME", shrinks=True),
    Column("DURATION", right=True),
    Column("MATCHED", right=True, optional=True),
    Column("SPANS", right=True, optional=True),
    Column("ERRORS", right=True, optional=True),
)
_INDENT = "  "
_SECONDS = len("2026-01-31 12:00:00")


def run_query(argv: Sequence[str]) -> int:
    """Run the command. Returns: the exit code. Raises: TracestoreError."""
    flags = parse_flags(argv, values=_VALUES, switches=_SWITCHES, words_max=1)
    if "help" in flags.switches:
        print(USAGE, end="")
        return 0
    output = flags.choice("output", _OUTPUTS)
    request = make_request(flags)

    def ask(store: Store) -> Found:
        return store.ask(request)

    show = {"table": show_table, "json": show_json, "ndjson": show_ndjson}[output]
    return run_asking(flags, ask, show)


def make_request(flags: Flags) -> SearchRequest:
    """Make the request that the flags describe. Raises: SettingsError."""
    if "sort" in flags.values:
        flags.choice("sort", SORTS)
    return SearchRequest(
        query=flags.words[0] if flags.words else "{}",
        last=flags.values.get("last"),
        start=flags.values.get("start"),
        end=flags.values.get("end"),
        limit=flags.integer("limit"),
        spans_per_trace=flags.integer("spss"),
        sort=flags.values.get("sort"),
        count="count" in flags.switches,
        explain="explain" in flags.switches,
        cursor=flags.values.get("cursor"),
        partial="partial" in flags.switches,
    )


def show_table(screen: Screen, found: Found) -> None:
    """Print a line per trace, then what else was asked for."""
    time_characters = _SECONDS if screen.is_terminal else None
    screen.table(
        _COLUMNS,
        [
            (
                Cell(trace.trace_id, Ink.NUMBER),
                Cell(time_words(trace.start_ns)[:time_characters]),
                Cell(trace.root_service, Ink.NAME),
                Cell(trace.root_name),
                Cell(duration_words(trace.duration_ns)),
                Cell(str(trace.matched)),
                Cell(str(trace.span_count)),
                Cell(str(trace.error_count), Ink.ERROR if trace.error_count else Ink.DIM),
            )
            for trace in found.traces
        ],
    )
    if screen.is_terminal:
        screen.write(screen.ink(f"{counted(len(found.traces), 'trace')} shown", Ink.DIM))
    if (total := found.total) is not None:
        least = "" if total.exact else "at least "
        verb = "matches" if total.traces == 1 else "match"
        screen.write(f"{least}{counted(total.traces, 'trace')} {verb}")
    if found.next_cursor:
        screen.line(Cell(f"more: --cursor={found.next_cursor}"))
    if found.explain is not None:
        screen.write("")
        screen.write(screen.ink("explain", Ink.BOLD))
        for line in outline(found.explain):
            screen.line(Cell(line))


def show_json(screen: Screen, found: Found) -> None:
    """Print the body of the API; in lines for a person, in one for a program."""
    indent = 2 if screen.is_terminal else None
    screen.write(json.dumps(found.body, ensure_ascii=not screen.can_show("…"), indent=indent))


def show_ndjson(screen: Screen, found: Found) -> None:
    """Print a trace a line, as the API has it; then, if asked for, count and explanation."""
    lines = list(found.body.get("traces") or ())
    extras = {k: found.body[k] for k in ("total", "nextCursor", "explain") if k in found.body}
    for line in [*lines, *([extras] if extras else [])]:
        screen.write(json.dumps(line, ensure_ascii=not screen.can_show("…")))


def outline(value: Any, depth: int = 0) -> Iterator[str]:
    """Write nested JSON as indented lines; a list of plain values is one."""
    pad = _INDENT * (depth + 1)
    items = value.items() if isinstance(value, dict) else [("-", v) for v in _list(value)]
    for key, item in items:
        lead = f"{pad}{key}" if key == "-" else f"{pad}{key}:"
        if isinstance(item, list) and not any(isinstance(v, dict | list) for v in item):
            yield f"{lead} {', '.join(map(_plain, item))}"
        elif isinstance(item, dict | list):
            yield lead
            yield from outline(item, depth + 1)
        else:
            yield f"{lead} {_plain(item)}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

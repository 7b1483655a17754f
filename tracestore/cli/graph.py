"""``tracestore graph``: who calls whom, on a server or in a data directory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tracestore.cli.asking import WHERE_FLAGS, WHERE_USAGE, parse_flags, run_asking
from tracestore.cli.screen import Cell, Column, Ink, Screen
from tracestore.client.graph import DRAWINGS, GraphRequest
from tracestore.client.store import Store
from tracestore.model.words import duration_words

USAGE = f"""\
usage: tracestore graph [SERVICE] [flags]

Tells who calls whom, how often, how well and how fast; of a SERVICE what it depends on, and what
depends on it.

  --query QUERY      only requests of which one side matches, such as '{{ status = error }}'
  --depth N          calls between the SERVICE and the rest, at most
  --last TIME        window back from now (1h30m, 7d) [1h]
  --start TIME       2026-01-31T12:00:00Z (UTC), unix seconds, or 2h: so long ago
  --end TIME         likewise [now]
  --output FORMAT    table, json (as the API answers), dot (Graphviz), mermaid [table]
{WHERE_USAGE}"""
_VALUES = WHERE_FLAGS | {"query", "depth", "last", "start", "end"}
_OUTPUTS = ("table", "json", *DRAWINGS)
_COLUMNS = (
    Column("CLIENT", shrinks=True),
    Column("SERVER", shrinks=True),
    Column("TYPE", optional=True),
    Column("REQUESTS", right=True),
    Column("RATE", right=True),
    Column("FAILED", right=True),
    Column("P50", right=True, optional=True),
    Column("P95", right=True),
    Column("P99", right=True, optional=True),
)
Body = dict[str, Any]


def run_graph(argv: Sequence[str]) -> int:
    """Run the command. Returns: the exit code. Raises: TracestoreError."""
    flags = parse_flags(argv, values=_VALUES, switches=frozenset(), words_max=1)
    if "help" in flags.switches:
        print(USAGE, end="")
        return 0
    output = flags.choice("output", _OUTPUTS)
    request = GraphRequest(
        query=flags.values.get("query"),
        service=flags.words[0] if flags.words else None,
        depth=flags.integer("depth"),
        last=flags.values.get("last"),
        start=flags.values.get("start"),
        end=flags.values.get("end"),
        drawing=output if output in DRAWINGS else None,
    )
    if output in DRAWINGS:
        return run_asking(flags, lambda store: store.draw_graph(request), show_drawing)

    def ask(store: Store) -> Body:
        return store.ask_graph(request)

    return run_asking(flags, ask, show_json if output == "json" else show_table)


def show_table(screen: Screen, body: Body) -> None:
    """Print a line an edge, then circles and, of one service, what it has to do with."""
    screen.table(_COLUMNS, [_row(edge) for edge in body["edges"]])
    called = {name for edge in body["edges"] for name in (edge["client"], edge["server"])}
    alone = [node["name"] for node in body["nodes"] if node["name"] not in called]
    _list(screen, "calls nobody, called by nobody", alone)
    for cycle in body["cycles"]:
        _list(screen, "calls itself" if len(cycle) == 1 else "call one another", cycle)
    around = body.get("service")
    if around is not None:
        _list(screen, f"{around['name']} depends on", _reached(around["dependencies"]))
        _list(screen, f"depends on {around['name']}", _reached(around["dependents"]))
    if message := body.get("message"):
        screen.line(Cell(message))


def _row(edge: Body) -> tuple[Cell, ...]:
    ratio = edge["errorRatio"]
    latency = edge["serverLatency"]
    if latency["p50"] is None:
        latency = edge["clientLatency"]
    quantiles = (latency[name] for name in ("p50", "p95", "p99"))
    return (
        Cell(edge["client"], Ink.NAME),
        Cell(edge["server"], Ink.NAME),
        Cell(edge["connectionType"], Ink.DIM),
        Cell(f"{edge['total']:.10g}"),
        Cell(f"{edge['rate']:.3g}/s"),
        Cell(f"{ratio:.1%}" if ratio else "0", Ink.ERROR if ratio else Ink.DIM),
        *(Cell("" if one is None else duration_words(round(one * 1e9))) for one in quantiles),
    )


def _reached(reached: Sequence[Body]) -> list[str]:
    return [f"{one['name']} ({one['depth']})" for one in reached]


def _list(screen: Screen, title: str, names: Sequence[str]) -> None:
    if names:
        screen.line(Cell(f"{title}: ", Ink.DIM), Cell(", ".join(names)))


def show_json(screen: Screen, body: Body) -> None:
    """Print the body of the API; in lines for a person, in one for a program."""
    indent = 2 if screen.is_terminal else None
    screen.write(json.dumps(body, ensure_ascii=not screen.can_show("…"), indent=indent))


def show_drawing(screen: Screen, drawing: str) -> None:
    """Print a drawing; what a terminal would obey is written out."""
    for line in drawing.splitlines():
        screen.line(Cell(line))

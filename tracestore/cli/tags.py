"""``tracestore tags``: which attributes there are, and which values one of them has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from traceql.attributes import Attribute, Scope
from tracestore.cli.asking import WHERE_FLAGS, WHERE_USAGE, parse_flags, run_asking
from tracestore.cli.screen import Cell, Column, Ink, Screen
from tracestore.client.store import Store
from tracestore.client.tags import SCOPES, TagRequest
from tracestore.model.words import counted

USAGE = f"""\
usage: tracestore tags [NAME] [flags]

Lists the names of attributes by scope; with a NAME (resource.service.name, name, status, or a key
without scope) its values, the most frequent first.

  --query QUERY      only on spans that match a filter such as '{{ status = error }}'
  --scope SCOPE      names of {", ".join(SCOPES)}
  --last TIME        window back from now (1h30m, 7d); without a window: all there is
  --start TIME       2026-01-31T12:00:00Z (UTC), unix seconds, or 2h: so long ago
  --end TIME         likewise [now]
  --limit N          values, or names of a scope
  --output FORMAT    table, json, ndjson (one a line), text (for shells) [table]
{WHERE_USAGE}"""
_VALUES = WHERE_FLAGS | {"query", "scope", "last", "start", "end", "limit"}
_OUTPUTS = ("table", "json", "ndjson", "text")
Pairs = list[tuple[str, str]]


def run_tags(argv: Sequence[str]) -> int:
    """Run the command. Returns: the exit code. Raises: TracestoreError."""
    flags = parse_flags(argv, values=_VALUES, switches=frozenset(), words_max=1)
    if "help" in flags.switches:
        print(USAGE, end="")
        return 0
    output = flags.choice("output", _OUTPUTS)
    request = TagRequest(
        query=flags.values.get("query"),
        scope=flags.values.get("scope"),
        last=flags.values.get("last"),
        start=flags.values.get("start"),
        end=flags.values.get("end"),
        limit=flags.integer("limit"),
    )
    words = flags.words

    def ask(store: Store) -> Pairs:
        if words:
            return store.ask_values(words[0], request)
        names = store.ask_names(request)
        return [(scope, name) for scope in sorted(names, key=_place) for name in names[scope]]

    titles = ("type", "value") if words else ("scope", "name")

    def show(screen: Screen, found: Pairs) -> None:
        _SHOW[output](screen, titles, found)

    return run_asking(flags, ask, show)


def _place(scope: str) -> int:
    return SCOPES.index(scope) if scope in SCOPES else len(SCOPES)


def show_table(screen: Screen, titles: tuple[str, str], found: Pairs) -> None:
    """Print a line each, and on a terminal how many there are."""
    columns = [Column(titles[0].upper()), Column(titles[1].upper(), shrinks=True)]
    screen.table(columns, [(Cell(kind, Ink.DIM), Cell(text, Ink.NAME)) for kind, text in found])
    if screen.is_terminal:
        screen.write(screen.ink(counted(len(found), titles[1]), Ink.DIM))


def show_json(screen: Screen, titles: tuple[str, str], found: Pairs) -> None:
    """Print names as an object by scope, values as a list."""
    content: Any = [dict(zip(titles, pair, strict=True)) for pair in found]
    if titles[1] == "name":
        content = {}
        for scope, name in found:
            content.setdefault(scope, []).append(name)
    indent = 2 if screen.is_terminal else None
    screen.write(json.dumps(content, ensure_ascii=not screen.can_show("…"), indent=indent))


def show_ndjson(screen: Screen, titles: tuple[str, str], found: Pairs) -> None:
    """Print an object a line."""
    for pair in found:
        line = dict(zip(titles, pair, strict=True))
        screen.write(json.dumps(line, ensure_ascii=not screen.can_show("…")))


def show_text(screen: Screen, titles: tuple[str, str], found: Pairs) -> None:
    """Print names as a query writes them and values as they are, for shells."""
    for kind, text in found:
        is_attribute = titles[1] == "name" and kind in set(Scope)
        screen.line(Cell(Attribute(Scope(kind), text).text if is_attribute else text))


_SHOW = {"table": show_table, "json": show_json, "ndjson": show_ndjson, "text": show_text}

"""``tracestore usage``: how many bytes tenants, services and attributes take in the bucket."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from tracestore.cli.blocks import blocks_of, each, output_of, read_index
from tracestore.cli.opening import WHERE_USAGE, open_bucket, parse_where, read_settings
from tracestore.cli.screen import Cell, Column, Ink, Screen
from tracestore.errors import SettingsError
from tracestore.model.tables import AttributeScope
from tracestore.model.words import bytes_words, counted
from tracestore.settings.client import read_client_environment
from tracestore.storage.usage import TenantUsage, add_up, usage_of_block

USAGE = f"""\
usage: tracestore usage [flags]

How many bytes of blocks tenants take, and in each the services and the attributes. Read from the
footers of the blocks, beside servers or not. Bytes of an attribute are those of its columns; bytes
of a service are a share in proportion to its spans, since all services lie in the same columns.

  --tenant NAME          one tenant
  --top N                services and columns shown of each tenant, 0: all [20]
{WHERE_USAGE}  --output FORMAT        text, json [text]; --json is the same as --output=json
"""
TOP = 20
_SCOPES = frozenset(scope.value for scope in AttributeScope)
_TENANTS = (
    Column("TENANT", shrinks=True),
    Column("BLOCKS", right=True),
    Column("SPANS", right=True),
    Column("TRACES", right=True),
    Column("BYTES", right=True),
    Column("B/SPAN", right=True),
)
_SERVICES = (
    Column("SERVICE", shrinks=True),
    Column("SPANS", right=True),
    Column("BYTES, ABOUT", right=True),
    Column("SHARE", right=True),
)
_COLUMNS = (
    Column("OF", shrinks=False),
    Column("ATTRIBUTE OR COLUMN", shrinks=True),
    Column("BYTES", right=True),
    Column("SHARE", right=True),
)


def run_usage(argv: Sequence[str]) -> int:
    """Run the command. Returns: the exit code. Raises: TracestoreError."""
    if argv and argv[0] in ("-h", "help"):
        argv = ["--help"]
    arguments, given = parse_where(
        argv, switches=frozenset({"json"}), values=frozenset({"output", "tenant", "top"})
    )
    if "help" in arguments.switches:
        print(USAGE, end="")
        return 0
    as_json = output_of(arguments.extra, given) == "json"
    top = _top(arguments.extra.get("top", str(TOP)))
    store = open_bucket(read_settings(arguments), writes=False)
    blocks = blocks_of(read_index(store), arguments.extra.get("tenant"))
    tenants = add_up(each(blocks, lambda meta: usage_of_block(store, meta)))
    if as_json:
        print(json.dumps({"tenants": [_tenant_json(one) for one in tenants]}, indent=2))
    else:
        _show(Screen.of(sys.stdout, colour=read_client_environment().colour), tenants, top)
    return 0


def _top(text: str) -> int:
    if not text.isdecimal():
        raise SettingsError(f"flag --top: expected a whole number, got {text!r}")
    return int(text)


def _tenant_json(usage: TenantUsage) -> dict[str, Any]:
    services = [
        {"service": name, "spans": share.spans, "bytes_estimated": round(share.bytes)}
        for name, share in sorted(usage.services.items(), key=lambda item: -item[1].bytes)
    ]
    attributes, columns = [], []
    for (of, name), size in sorted(usage.columns.items(), key=lambda item: -item[1]):
        if of in _SCOPES:
            attributes.append({"scope": of, "key": name, "bytes": size})
        else:
            columns.append({"table": of, "column": name, "bytes": size})
    return {
        "tenant": usage.tenant,
        "blocks": usage.blocks,
        "spans": usage.spans,
        "traces": usage.traces,
        "bytes": usage.bytes,
        "services": services,
        "attributes": attributes,
        "columns": columns,
    }


def _show(screen: Screen, tenants: Sequence[TenantUsage], top: int) -> None:
    rows = [
        (
            Cell(one.tenant, Ink.NAME),
            Cell(str(one.blocks)),
            Cell(str(one.spans)),
            Cell(str(one.traces)),
            Cell(bytes_words(one.bytes)),
            Cell(f"{one.bytes / max(1, one.spans):.1f}"),
        )
        for one in tenants
    ]
    screen.table(_TENANTS, rows)
    for one in tenants:
        _show_services(screen, one, top)
        _show_columns(screen, one, top)


def _show_services(screen: Screen, usage: TenantUsage, top: int) -> None:
    found = sorted(usage.services.items(), key=lambda item: (-item[1].bytes, item[0] or ""))
    shown = found[: top or len(found)]
    screen.write("")
    screen.line(Cell(f"services of {usage.tenant}", Ink.BOLD), Cell(", in proportion to spans:"))
    rows = [
        (
            Cell("(none)", Ink.DIM) if name is None else Cell(name, Ink.NAME),
            Cell(str(share.spans)),
            Cell(bytes_words(round(share.bytes))),
            Cell(f"{share.bytes / max(1, usage.bytes):.1%}"),
        )
        for name, share in shown
    ]
    screen.table(_SERVICES, rows)
    _more(screen, len(found) - len(shown), "service")


def _show_columns(screen: Screen, usage: TenantUsage, top: int) -> None:
    found = sorted(usage.columns.items(), key=lambda item: (-item[1], item[0]))
    shown = found[: top or len(found)]
    screen.write("")
    screen.line(Cell(f"columns of {usage.tenant}", Ink.BOLD), Cell(":"))
    rows = [
        (
            Cell(of),
            Cell(name, Ink.NAME if of in _SCOPES else Ink.PLAIN),
            Cell(bytes_words(size)),
            Cell(f"{size / max(1, usage.bytes):.1%}"),
        )
        for (of, name), size in shown
    ]
    screen.table(_COLUMNS, rows)
    _more(screen, len(found) - len(shown), "column")


def _more(screen: Screen, count: int, word: str) -> None:
    if count > 0:
        screen.write(f"and {counted(count, f'more {word}')}: --top 0 shows all")

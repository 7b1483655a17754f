"""Reads ``SpanTables`` back into plain Python rows, by the rules of ``model/tables.py`` only.

For comparing two sets of tables whatever their dictionaries, their numbering of resources, and
which keys have columns of their own.
"""

from __future__ import annotations

import base64
import json
import struct
from collections import defaultdict
from typing import Any

import pyarrow as pa

from tracestore.model.tables import (
    SCOPE_OF_TABLE,
    TIMESTAMP,
    SpanTables,
    Table,
    attribute_columns,
    overflow_name,
)

Pair = tuple[str, str, Any]
"""Key, type, value: floats as their bits (any NaN as ``nan``), ``any`` as parsed JSON."""


def table_rows(tables: SpanTables) -> dict[Table, list[dict[str, Any]]]:
    """Read every table but resources and scopes, whose rows stand in those of the spans."""
    resources = _rows(tables.resources, Table.RESOURCES)
    scopes = _rows(tables.scopes, Table.SCOPES)
    spans = _rows(tables.spans, Table.SPANS)
    for span in spans:
        span["resource"] = resources[span["resource"]]
        span["scope"] = scopes[span["scope"]]
    return {
        Table.SPANS: spans,
        Table.EVENTS: _rows(tables.events, Table.EVENTS),
        Table.LINKS: _rows(tables.links, Table.LINKS),
        Table.TRACES: _rows(tables.traces, Table.TRACES),
    }


def attribute_pairs(table: pa.Table, which: Table) -> list[list[Pair]]:
    """Read the attributes of each row in the order sent.

    The n-th occurrence of a key is looked up in the column that is not null (n = 1) or else among
    the overflow entries of that key.
    """
    scope = SCOPE_OF_TABLE[which]
    columns = defaultdict(list)
    for column in attribute_columns(table.schema):
        assert column.scope == scope
        columns[column.key].append((column.type, table[column.name].to_pylist()))
    overflow = [None] * len(table)
    if overflow_name(scope) in table.column_names:
        overflow = table[overflow_name(scope)].to_pylist()
    orders = table["attribute_order"].to_pylist()
    return [
        _pairs(orders[row], _own(columns, row), overflow[row] or []) for row in range(len(table))
    ]


def _rows(table: pa.Table, which: Table) -> list[dict[str, Any]]:
    fixed = [name for name in table.column_names if not _is_attribute(name, which)]
    narrow = table.select(fixed)
    for place, field in enumerate(narrow.schema):
        if field.type == TIMESTAMP:
            narrow = narrow.set_column(place, field.name, narrow[field.name].cast(pa.int64()))
    rows: list[dict[str, Any]] = narrow.to_pylist()
    if which in SCOPE_OF_TABLE:
        for row, pairs in zip(rows, attribute_pairs(table, which), strict=True):
            order = row.pop("attribute_order")
            assert (order is not None) == (len(pairs) > 1)
            row["attributes"] = pairs
            if row.get("entity_refs"):
                row["entity_refs"] = json.loads(row["entity_refs"])
    return rows


def _is_attribute(name: str, which: Table) -> bool:
    return which in SCOPE_OF_TABLE and name.startswith(f"{SCOPE_OF_TABLE[which]}.")


def _own(columns: dict[str, list[Any]], row: int) -> dict[str, Pair]:
    found: dict[str, Pair] = {}
    for key, of_key in columns.items():
        for kind, values in of_key:
            if values[row] is not None:
                assert key not in found, f"{key!r} has two values in row {row}"
                found[key] = (key, str(kind), _comparable(str(kind), values[row]))
    return found


def _pairs(order: str | None, own: dict[str, Pair], overflow: list[dict[str, Any]]) -> list[Pair]:
    entries = [(e["key"], e["type"], _overflow_value(e["type"], e["value"])) for e in overflow]
    if order is None:
        assert len(own) + len(entries) <= 1
        return [*own.values(), *entries]
    pairs = []
    for key in json.loads(order):
        if key in own:
            pairs.append(own.pop(key))
            continue
        entry = next(entry for entry in entries if entry[0] == key)
        entries.remove(entry)
        pairs.append(entry)
    assert not own, f"{list(own)} are not in the order"
    assert not entries, f"{entries} are not in the order"
    return pairs


def _comparable(kind: str, value: Any) -> Any:
    match kind:
        case "float":
            return "nan" if value != value else struct.pack("<d", value)
        case "float[]":
            return [_comparable("float", element) for element in value]
        case "any" | "keyvalue":
            return _exact(json.loads(value))
    return value


def _exact(value: Any) -> Any:
    """Tell JSON values apart that Python takes for equal: ``1``, ``1.0``, ``true``, ``-0.0``."""
    if isinstance(value, dict):
        return {key: _exact(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_exact(element) for element in value]
    return repr(value)


def _overflow_value(kind: str, text: str | None) -> Any:
    if kind in ("empty", "none"):
        assert text is None
        return None
    assert text is not None
    match kind:
        case "string":
            return text
        case "bytes":
            return base64.b64decode(text)
        case "float":
            return _comparable("float", float(text))
        case "float[]":
            return [_comparable("float", float(element)) for element in json.loads(text)]
        case "any" | "keyvalue":
            return _comparable(kind, text)
    return json.loads(text)

"""OTLP attributes -> Arrow columns, value by value in plain Python, as ``model/tables.py`` says."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tracestore.model.tables import (
    ARROW_TYPE,
    OVERFLOW,
    AttributeScope,
    AttributeType,
    name_columns,
    overflow_name,
)

ROWS_PER_VALUE_MAX = 256
"""A key has a column of its own if at least one row in so many carries it."""
CELLS_PER_VALUE_MAX = 32
CELLS_PER_ROW = 16
"""All columns of a table have at most so many cells a value, and so many a row beside them."""

CELLS_PER_ROW = 16
CELLS_PER_VALUE_MAX = 32
"""Columns are limited in proportion to the mean number of attributes of a row."""

SCALARS = {
    "string_value": AttributeType.STRING,
    "int_value": AttributeType.INT,
    "double_value": AttributeType.FLOAT,
    "bool_value": AttributeType.BOOL,
}
LISTS = {
    AttributeType.STRING: AttributeType.STRING_LIST,
    AttributeType.INT: AttributeType.INT_LIST,
    AttributeType.FLOAT: AttributeType.FLOAT_LIST,
    AttributeType.BOOL: AttributeType.BOOL_LIST,
}
TYPES = list(AttributeType)

Entry = tuple[str, str, Any]
"""Key, type (also ``empty``, ``none``, ``keyvalue``), value."""


def dump(value: object) -> str:
    """Write compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def float_json(value: float) -> float | str:
    """Make the OTLP JSON form of a double: what JSON cannot say is a string."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def any_json(value: AnyValue) -> dict[str, Any]:
    """Make the OTLP JSON object of an AnyValue."""
    member = value.WhichOneof("value")
    match member:
        case None:
            return {}
        case "string_value":
            return {"stringValue": value.string_value}
        case "bool_value":
            return {"boolValue": value.bool_value}
        case "int_value":
            return {"intValue": str(value.int_value)}
        case "double_value":
            return {"doubleValue": float_json(value.double_value)}
        case "bytes_value":
            return {"bytesValue": base64.b64encode(value.bytes_value).decode()}
        case "array_value":
            return {"arrayValue": {"values": [any_json(v) for v in value.array_value.values]}}
        case "kvlist_value":
            return {"kvlistValue": {"values": [pair_json(v) for v in value.kvlist_value.values]}}
        case "string_value_strindex":
            return {"stringValueStrindex": value.string_value_strindex}
    raise AssertionError(f"AnyValue has an unknown member {member}")


def pair_json(pair: KeyValue) -> dict[str, Any]:
    """Make the OTLP JSON object of a KeyValue."""
    made: dict[str, Any] = {"key": pair.key}
    if pair.HasField("value"):
        made["value"] = any_json(pair.value)
    if pair.key_strindex:
        made["keyStrindex"] = pair.key_strindex
    return made


def entry(pair: KeyValue) -> Entry:
    """Tell type and Python value of one attribute."""
    if pair.key_strindex:
        return pair.key, "keyvalue", dump(pair_json(pair))
    if not pair.HasField("value"):
        return pair.key, "none", None
    value = pair.value
    member = value.WhichOneof("value")
    if member is None:
        return pair.key, "empty", None
    if member in SCALARS:
        return pair.key, SCALARS[member], getattr(value, member)
    if member == "bytes_value":
        return pair.key, AttributeType.BYTES, value.bytes_value
    if member == "array_value":
        members = {element.WhichOneof("value") for element in value.array_value.values}
        if len(members) == 1 and (only := members.pop()) in SCALARS:
            elements = [getattr(element, only) for element in value.array_value.values]
            return pair.key, LISTS[SCALARS[only]], elements
    return pair.key, AttributeType.ANY, dump(any_json(value))


def overflow_text(kind: str, value: Any) -> str | None:
    """Write a value as it stands in ``<scope>.*``."""
    if kind in ("empty", "none"):
        return None
    if kind in (AttributeType.STRING, AttributeType.ANY, "keyvalue"):
        return str(value)
    if kind == AttributeType.BYTES:
        return base64.b64encode(value).decode()
    if kind == AttributeType.FLOAT:
        return str(float_json(value))
    if kind == AttributeType.FLOAT_LIST:
        return dump([float_json(element) for element in value])
    return dump(value)


def attribute_arrays(
    scope: AttributeScope, rows: Sequence[Sequence[KeyValue]], columns_max: int
) -> list[tuple[pa.Field, pa.Array]]:
    """Make the attribute columns of a table, the overflow column last and only if it is needed."""
    entries = [[entry(pair) for pair in row] for row in rows]
    first = [_first_of_key(row) for row in entries]
    counts = Counter((e[0], e[1]) for row in first for e in row.values() if e[1] in ARROW_TYPE)
    frequent = [pair for pair, n in counts.items() if n * ROWS_PER_VALUE_MAX >= len(rows)]
    frequent.sort(key=lambda pair: (-counts[pair], pair[0].encode(), TYPES.index(pair[1])))
    cells_max = CELLS_PER_ROW + CELLS_PER_VALUE_MAX * counts.total() // max(len(rows), 1)
    own = frequent[: min(columns_max, cells_max)]
    own.sort(key=lambda pair: (pair[0].encode(), -counts[pair], TYPES.index(pair[1])))

    made = []
    for column in name_columns(scope, [(key, AttributeType(kind)) for key, kind in own]):
        found = (row.get(column.key) for row in first)
        values = [e[2] if e is not None and e[1] == column.type else None for e in found]
        made.append((column.field(), pa.array(values, ARROW_TYPE[column.type])))
    rest = [_overflow(row, set(own)) for row in entries]
    if any(rest):
        field = pa.field(overflow_name(scope), OVERFLOW, nullable=True)
        made.append((field, pa.array(rest, OVERFLOW)))
    return made


def _first_of_key(row: Sequence[Entry]) -> dict[str, Entry]:
    first: dict[str, Entry] = {}
    for one in row:
        first.setdefault(one[0], one)
    return first


def _overflow(row: Sequence[Entry], own: set[tuple[str, str]]) -> list[dict[str, Any]] | None:
    seen: set[str] = set()
    rest = []
    for key, kind, value in row:
        if key in seen or (key, kind) not in own:
            rest.append({"key": key, "type": str(kind), "value": overflow_text(kind, value)})
        seen.add(key)
    return rest or None


def attribute_order(pairs: Sequence[KeyValue]) -> str | None:
    """Write the keys of a row in the order sent; null below two."""
    return dump([pair.key for pair in pairs]) if len(pairs) > 1 else None

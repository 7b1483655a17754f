"""Values of attributes as the HTTP API writes them -> Python values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Value = str | int | float | bool | list[Any] | dict[str, Any]
"""Lists hold values; a dictionary is a list of keys and values that was sent. Bytes: base64."""


def read_value(value: Mapping[str, Any]) -> Value | None:
    """Read an AnyValue of JSON; None if it is empty. Raises: ValueError, KeyError, TypeError."""
    for member, content in value.items():
        match member:
            case "stringValue" | "bytesValue":
                return str(content)
            case "intValue":
                return int(content)
            case "doubleValue":
                return float(content)
            case "boolValue":
                return bool(content)
            case "arrayValue":
                return [read_value(item) for item in content.get("values", ())]
            case "kvlistValue":
                return dict(read_attributes(content.get("values", ())))
    return None


def read_attributes(attributes: Iterable[Mapping[str, Any]]) -> list[tuple[str, Value]]:
    """Read keys and values in order; keys without a value are left out."""
    pairs = ((one.get("key", ""), read_value(one.get("value", {}))) for one in attributes)
    return [(key, value) for key, value in pairs if value is not None]

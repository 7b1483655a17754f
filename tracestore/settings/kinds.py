"""What the type of a field says of its value: how a text is read, and what its unit is."""

from __future__ import annotations

from collections.abc import Callable

from tracestore.settings import units

Parser = Callable[[str], object]
"""Text to value; raises ``ValueError`` with what it expected."""


def scalar_kind(name: str, kind: object) -> tuple[Parser, str] | None:
    """Choose by type, and by the unit that the name ends in.

    Returns: the parser, and the unit for the documentation; None if the type is no scalar.
    """
    if kind is bool:
        return units.parse_boolean, "true or false"
    if kind is float and name.endswith("_s"):
        return units.parse_duration, "duration (seconds, or with a unit)"
    if kind is float:
        return units.parse_number, "number"
    if kind is int and "bytes" in name.split("_"):
        return units.parse_size, "size (bytes, or with a unit)"
    if kind is int:
        return units.parse_integer, "whole number"
    return (units.parse_text, "text") if kind is str else None

"""Retention rules as they are loaded: each a query that finds traces, and how long they stay."""

from __future__ import annotations

from tracestore.settings import units
from tracestore.settings.sampling_rules import wrong_query

SHAPE = "expected QUERY: DURATION, such as '{status=error}: 90d'"


def wrong_rules(rules: tuple[str, ...]) -> str | None:
    """Say what is wrong with the first rule that cannot be read, None if all can."""
    for rule in rules:
        reason = _wrong_rule(rule)
        if reason is not None:
            return f"rule {rule!r}: {reason}"
    return None


def _wrong_rule(rule: str) -> str | None:
    query, colon, duration = rule.rpartition(":")
    if not colon or not query.strip():
        return SHAPE
    try:
        keep_s = units.parse_unit_duration(duration)
    except (ValueError, OverflowError) as error:
        return f"{error}; {SHAPE}"
    if keep_s <= 0:
        return "expected a duration above 0"
    return wrong_query(query.strip())

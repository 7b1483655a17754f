"""Sampling policies as they are loaded: entries of one line each, and what is wrong with others.

``keep: QUERY``, ``drop: QUERY`` and ``keep_ratio: SHARE``. Source: docs/sampling.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

SHAPE = "expected keep: '{status=error}', drop: '{...}' or keep_ratio: 0.1"


class Action(StrEnum):
    """What an entry does; the key that it has in YAML."""

    KEEP = "keep"
    DROP = "drop"
    KEEP_RATIO = "keep_ratio"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingEntry:
    """One entry of a policy."""

    action: Action
    query: str = ""
    """TraceQL that finds traces; empty for ``keep_ratio``."""
    ratio: float = 1.0
    """Share that ``keep_ratio`` keeps, 0 to 1."""


def parse_entry(text: str) -> SamplingEntry:
    """Read ``ACTION: VALUE``; the query itself is not looked at. Raises: ValueError."""
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or name not in set(Action):
        raise ValueError(SHAPE)
    action = Action(name)
    if not value:
        raise ValueError(f"{name} says nothing; {SHAPE}")
    if action is not Action.KEEP_RATIO:
        return SamplingEntry(action=action, query=value)
    try:
        ratio = float(value)
    except ValueError:
        ratio = math.nan
    if not 0 <= ratio <= 1:
        raise ValueError("expected a share from 0 to 1, such as 0.1")
    return SamplingEntry(action=action, ratio=ratio)


def wrong_sampling(texts: tuple[str, ...]) -> str | None:
    """Say what is wrong with the first entry that cannot be read, None if all can."""
    ratios = 0
    for text in texts:
        try:
            entry = parse_entry(text)
        except ValueError as error:
            return f"entry {text!r}: {error}"
        ratios += entry.action is Action.KEEP_RATIO
        if ratios > 1:
            return f"entry {text!r}: keep_ratio is there twice: it is for what nothing else decides"
        if entry.query and (reason := wrong_query(entry.query)) is not None:
            return f"entry {text!r}: {reason}"
    return None


def wrong_queries(texts: tuple[str, ...]) -> str | None:
    """Say what is wrong with the first query that cannot be read, None if all can."""
    for text in texts:
        if (reason := wrong_query(text)) is not None:
            return f"{text!r}: {reason}"
    return None


def wrong_query(text: str) -> str | None:
    """Say why a text is no query that finds traces; None: it is one."""
    # The grammar takes a while to load, and hardly anybody has rules.
    import traceql
    from traceql.nodes import Pipeline

    try:
        parsed = traceql.parse(text)
        traceql.check(parsed, text)
    except traceql.QueryError as error:
        return f"its query is not TraceQL: {error}"
    if not isinstance(parsed.body, Pipeline):
        return "expected a query that finds traces, this one computes metrics"
    return None

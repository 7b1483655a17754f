"""Query strings of the trace-by-ID routes -> values. Pure. Source: wire contract, section 7.1."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tracestore.api.params import check_expression_size, parse_flag, parse_seconds_range
from tracestore.codec.trace_prune import ALL_LEVELS, Kept
from tracestore.errors import InvalidRequestError
from tracestore.model.times import SECOND_NS, TimeRange
from tracestore.settings.tree import QuerySettings

_MODES = ("all", "ingesters", "blocks", "external")
_UUID_PARAMETERS = (("blockStart", "blockstart"), ("blockEnd", "blockEnd"))
"""Name of the parameter, and how Tempo spells it in its message."""


class TraceFormat(StrEnum):
    """What ``format`` may ask for; ``text`` is ours."""

    NEGOTIATED = ""
    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceParams:
    """A checked request; what follows the range is of the second version only."""

    time_range: TimeRange | None
    """Window that a part of the trace must touch; None: all time."""
    query: str = ""
    """A filter of spans; empty: all."""
    kept: Kept = field(default_factory=Kept)
    format: TraceFormat = TraceFormat.NEGOTIATED


def parse_trace_by_id(query: Mapping[str, str], settings: QuerySettings) -> TraceParams:
    """Read the parameters. Raises: InvalidRequestError.

    ``mode``, ``blockStart`` and ``blockEnd`` are checked, and change nothing: the answer is always
    the whole trace. So it is with ``span_pruning``, which Tempo ignores unless it is switched on.
    """
    mode = query.get("mode", "")
    if mode and mode not in _MODES:
        raise InvalidRequestError(f"invalid value for mode {mode}")
    for name, spelling in _UUID_PARAMETERS:
        _check_uuid(query.get(name, ""), spelling)
    expression = query.get("q", "")
    check_expression_size(expression, settings)
    start_s, end_s = parse_seconds_range(query)
    time_range = None
    if end_s:
        time_range = TimeRange(start_ns=start_s * SECOND_NS, end_ns=(end_s + 1) * SECOND_NS)
    return TraceParams(
        time_range=time_range,
        query=expression,
        kept=Kept(
            hierarchy=parse_flag(query, "keep_hierarchy"),
            ancestor_depth=_parse_depth(query, "ancestor_depth", ALL_LEVELS),
            match_depth=_parse_depth(query, "match_depth", 0),
        ),
        format=_parse_format(query.get("format", "")),
    )


def _check_uuid(text: str, spelling: str) -> None:
    try:
        if text:
            uuid.UUID(text)
    except ValueError as error:
        raise InvalidRequestError(f"invalid value for {spelling}: expected a UUID") from error


def _parse_depth(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text) or int(text) < ALL_LEVELS:
        raise InvalidRequestError(f"invalid value for {name}: must be >= -1")
    return int(text)


def _parse_format(text: str) -> TraceFormat:
    if text not in set(TraceFormat):
        raise InvalidRequestError(f"invalid format: expected json or text, got {text}")
    return TraceFormat(text)

"""Query strings -> values, with Tempo's own words for what is wrong with them.

Pure: no request object, no clock; ``now_s`` is passed in. An empty parameter counts as absent.
Source: wire contract, sections 5.1, 5.2, 5.5 and 8.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tracestore.api.legacy_search import parse_tags
from tracestore.errors import InvalidRequestError
from tracestore.model.times import MILLISECOND_NS, SECOND_NS, TimeRange
from tracestore.query.ordering import Sort
from tracestore.settings.tree import QuerySettings
from tracestore.settings.units import render_duration

_GO_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_GO_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
_PROMETHEUS_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?"
)
_PROMETHEUS_UNIT_MS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1)
_UINT32_MAX = (1 << 32) - 1
_INT64_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchParams:
    """A checked request of ``/api/search``; ``sort`` and what follows are ours, not Tempo's."""

    query: str
    """TraceQL, or empty: every trace."""
    limit: int
    spans_per_span_set: int
    time_range: TimeRange | None
    """None: all there is."""
    min_duration_ns: int = 0
    max_duration_ns: int = 0
    """Bounds of the trace's duration, 0 is none; both belong to the range."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Of a search without a query."""
    sort: Sort = Sort.NEWEST
    count: bool = False
    cursor: str = ""
    explain: bool = False
    allow_partial: bool = False


def parse_search(query: Mapping[str, str], settings: QuerySettings, *, now_s: int) -> SearchParams:
    """Read the parameters of ``/api/search``. Raises: InvalidRequestError."""
    expression = query.get("q", "")
    check_expression_size(expression, settings)
    if expression and query.get("tags"):
        raise InvalidRequestError("invalid request: can't specify tags and q in the same query")
    start_s, end_s = parse_seconds_range(query)
    min_duration_ns, max_duration_ns = _parse_durations(query)
    return SearchParams(
        query=expression,
        limit=_parse_limit(query, settings),
        spans_per_span_set=_parse_spans_per_span_set(query, settings),
        time_range=adjust_range(query, start_s, end_s, settings, now_s),
        min_duration_ns=min_duration_ns,
        max_duration_ns=max_duration_ns,
        tags=parse_tags(query.get("tags", "")),
        sort=_parse_sort(query),
        count=parse_flag(query, "count"),
        cursor=query.get("cursor", ""),
        explain=parse_flag(query, "explain"),
        allow_partial=_parse_partial(query),
    )


def _parse_sort(query: Mapping[str, str]) -> Sort:
    text = query.get("sort", "") or Sort.NEWEST.value
    if text not in set(Sort):
        raise InvalidRequestError(f"invalid sort: expected one of {', '.join(Sort)}, got {text}")
    return Sort(text)


def parse_flag(query: Mapping[str, str], name: str) -> bool:
    """Read ``true`` or ``false``, false if absent. Raises: InvalidRequestError."""
    text = query.get(name, "")
    if text not in ("", "true", "false"):
        raise InvalidRequestError(f"invalid {name}: expected true or false, got {text}")
    return text == "true"


def _parse_partial(query: Mapping[str, str]) -> bool:
    text = query.get("partial", "")
    if text not in ("", "allow", "deny"):
        raise InvalidRequestError(f"invalid partial: expected allow or deny, got {text}")
    return text == "allow"


def check_expression_size(expression: str, settings: QuerySettings) -> None:
    """Refuse a TraceQL text that is too long to look at. Raises: InvalidRequestError."""
    bytes_max = settings.max_query_expression_bytes
    if len(expression.encode(errors="replace")) > bytes_max:
        raise InvalidRequestError(
            f"TraceQL expression exceeds the configured maximum size of {bytes_max} bytes, "
            "reduce the query expression size or contact your system administrator"
        )


def parse_seconds_range(query: Mapping[str, str]) -> tuple[int, int]:
    """Read ``start`` and ``end`` as unsigned 32-bit unix seconds, 0 if absent."""
    start_s, end_s = (parse_uint32(query, name) for name in ("start", "end"))
    if (start_s or end_s) and end_s <= start_s:
        raise InvalidRequestError(
            f"http parameter start must be before end. received start={start_s} end={end_s}"
        )
    return start_s, end_s


def parse_uint32(query: Mapping[str, str], name: str) -> int:
    """Read an unsigned 32-bit number, 0 if absent. Raises: InvalidRequestError, in Go's words."""
    text = query.get(name, "")
    if not text:
        return 0
    failure = f'invalid {name}: strconv.ParseUint: parsing "{text}": '
    if not (text.isascii() and text.isdigit()):
        raise InvalidRequestError(failure + "invalid syntax")
    if len(text) > 32 or int(text) > _UINT32_MAX:
        raise InvalidRequestError(failure + "value out of range")
    return int(text)


def adjust_range(
    query: Mapping[str, str], start_s: int, end_s: int, settings: QuerySettings, now_s: int
) -> TimeRange | None:
    """Find the window. Unlike Tempo's, a search without one looks everywhere, and ``end`` stays.

    One that ends now includes the current second: what has just arrived is in it.

    Raises: InvalidRequestError.
    """
    ends_now = True
    if since := query.get("since", ""):
        end_s = now_s
        start_s = max(0, end_s - _parse_since_s(since))
    elif bool(query.get("start")) != bool(query.get("end")):
        raise InvalidRequestError(
            "error parsing date range: only one of start and end provided: "
            "must provide both or neither"
        )
    elif not end_s:
        if not settings.default_window_s:
            return None
        start_s, end_s = now_s - int(settings.default_window_s), now_s
    else:
        ends_now = False
    if settings.max_duration_s and end_s - start_s > settings.max_duration_s:
        raise InvalidRequestError(
            "range specified by start and end exceeds "
            f"{render_duration(settings.max_duration_s)}. received start={start_s} end={end_s}"
        )
    # both ends are inclusive: traces that start in the nanosecond of the end belong to the answer
    return TimeRange(start_ns=start_s * SECOND_NS, end_ns=(end_s + ends_now) * SECOND_NS + 1)


def _parse_since_s(text: str) -> int:
    """Read a duration as seconds, begun ones too."""
    try:
        return -(-parse_prometheus_duration(text) // SECOND_NS)
    except ValueError as error:
        raise InvalidRequestError(
            f"error parsing date range: could not parse 'since' parameter: {error}"
        ) from error


def parse_prometheus_duration(text: str) -> int:
    """Read a duration such as ``1d12h`` as nanoseconds.

    Raises: ValueError with Prometheus's own words.
    """
    match = _PROMETHEUS_DURATION.fullmatch(text)
    if text == "0":
        return 0
    if match is None or not any(match.groups()):
        raise ValueError(f'not a valid duration string: "{text}"')
    pairs = zip(match.groups(), _PROMETHEUS_UNIT_MS, strict=True)
    milliseconds = sum(int(digits) * unit for digits, unit in pairs if digits)
    if milliseconds * MILLISECOND_NS > _INT64_MAX:
        raise ValueError("duration out of range")
    return milliseconds * MILLISECOND_NS


def _parse_limit(query: Mapping[str, str], settings: QuerySettings) -> int:
    limit = _parse_int(query, "limit")
    if limit is None:
        return settings.default_result_limit
    if limit <= 0:
        raise InvalidRequestError("invalid limit: must be a positive number")
    if settings.max_result_limit and limit > settings.max_result_limit:
        raise InvalidRequestError(f"limit {limit} exceeds max limit {settings.max_result_limit}")
    return limit


def _parse_spans_per_span_set(query: Mapping[str, str], settings: QuerySettings) -> int:
    spans = _parse_int(query, "spss")
    if spans is None:
        return settings.default_spans_per_span_set
    if spans < 0:
        raise InvalidRequestError("invalid spss: must be a non-negative number")
    if settings.max_spans_per_span_set and spans > settings.max_spans_per_span_set:
        raise InvalidRequestError(
            f"spans per span set exceeds {settings.max_spans_per_span_set}. received {spans}"
        )
    return spans or settings.max_spans_per_span_set


def _parse_int(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    failure = f'invalid {name}: strconv.Atoi: parsing "{text}": '
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise InvalidRequestError(failure + "invalid syntax")
    if len(text) > 20 or not -_INT64_MAX - 1 <= int(text) <= _INT64_MAX:
        raise InvalidRequestError(failure + "value out of range")
    return int(text)


def _parse_durations(query: Mapping[str, str]) -> tuple[int, int]:
    bounds = []
    for name in ("minDuration", "maxDuration"):
        text = query.get(name, "")
        try:
            duration_ns = parse_go_duration(text) if text else 0
        except InvalidRequestError as error:
            raise InvalidRequestError(f"invalid {name}: {error}") from error
        bounds.append(duration_ns // 1_000_000 * 1_000_000)
    if bounds[1] and bounds[0] > bounds[1]:
        raise InvalidRequestError("invalid maxDuration: must be greater than minDuration")
    return bounds[0], bounds[1]


def parse_go_duration(text: str) -> int:
    """Read a Go duration such as ``1h2m0.5s`` as nanoseconds. Raises: InvalidRequestError."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total, position = 0, 0
    while match := _GO_DURATION.match(rest, position):
        whole, _, fraction = match[1].partition(".")
        unit_ns = _GO_UNIT_NS[match[2]]
        total += int(whole or "0") * unit_ns
        total += int(fraction or "0") * unit_ns // 10 ** len(fraction)
        position = match.end()
    if position != len(rest) or not rest:
        missing_unit = re.fullmatch(r"[0-9.]+", rest[position:]) is not None
        problem = "missing unit in duration" if missing_unit else "invalid duration"
        raise InvalidRequestError(f'time: {problem} "{text}"')
    if total > _INT64_MAX:
        raise InvalidRequestError(f'time: invalid duration "{text}"')
    return sign * total

"""Query strings of the metrics routes -> values, with Tempo's own words for what is wrong.

Pure: no request object, no clock; ``now_ns`` is passed in. What a gRPC request asks is checked by
``grid_of`` and ``params_of``, too. Source: wire contract, sections 5.3, 5.4, 10.1, 10.3 and 10.6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from traceql.values import duration_text
from tracestore.api.params import (
    check_expression_size,
    parse_go_duration,
    parse_prometheus_duration,
    parse_uint32,
)
from tracestore.errors import InvalidRequestError
from tracestore.model.series import Grid
from tracestore.model.times import SECOND_NS
from tracestore.query.metrics import MetricsParams
from tracestore.settings.tree import QuerySettings

_INT64_MAX = (1 << 63) - 1
_MILLISECOND_NS = 1_000_000
_SINCE_NS = 3600 * SECOND_NS
_SECONDS_DIGITS_MAX = 10
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)"
)
_LAYOUT = "2006-01-02T15:04:05.999999999Z07:00"
_STEPS_S = (3600, 300, 60, 15, 5, 1)
"""Steps are multiples of the largest of these that is less than what 240 points would take."""
_POINTS = 240
_SHORT_STEP_NS = 50 * _MILLISECOND_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsRequest:
    """What a caller asks, read but not yet checked against limits."""

    query: str
    start_ns: int
    end_ns: int
    step_ns: int | None = None
    """None: fitting the range; of no use to an instant query."""
    is_instant: bool = False
    exemplars: int = 0
    """0: the default."""
    series_max: int = 0
    """0: no limit but that of the server."""
    allow_partial: bool = False


def parse_range(
    query: Mapping[str, str], settings: QuerySettings, *, now_ns: int
) -> MetricsRequest:
    """Read the parameters of ``/api/metrics/query_range``. Raises: InvalidRequestError."""
    text = _expression(query, settings)
    start_ns, end_ns = parse_times(query, now_ns)
    step = query.get("step", "")
    return MetricsRequest(
        query=text,
        start_ns=start_ns,
        end_ns=end_ns,
        step_ns=_parse_step(step) if step else None,
        exemplars=parse_uint32(query, "exemplars"),
        series_max=parse_uint32(query, "maxSeries"),
        allow_partial=parse_partial(query),
    )


def parse_instant(
    query: Mapping[str, str], settings: QuerySettings, *, now_ns: int
) -> MetricsRequest:
    """Read the parameters of ``/api/metrics/query``. Raises: InvalidRequestError."""
    text = _expression(query, settings)
    start_ns, end_ns = parse_times(query, now_ns)
    return MetricsRequest(
        query=text,
        start_ns=start_ns,
        end_ns=end_ns,
        is_instant=True,
        series_max=parse_uint32(query, "maxSeries"),
        allow_partial=parse_partial(query),
    )


def params_of(request: MetricsRequest, settings: QuerySettings, *, now_ns: int) -> MetricsParams:
    """Check a request against the limits, and say what the engine should do.

    Raises: InvalidRequestError.
    """
    shown = settings.max_response_series
    if request.series_max and (not shown or request.series_max < shown):
        shown = request.series_max
    exemplars = 0 if request.is_instant else request.exemplars or settings.max_exemplars
    return MetricsParams(
        grid=grid_of(request, settings, now_ns=now_ns),
        exemplars=exemplars,
        exemplars_max=0 if request.is_instant else settings.max_exemplars,
        series_shown_max=shown,
        series_max=settings.max_metrics_series,
        cells_max=settings.max_metrics_cells,
        samples_max=settings.max_metrics_samples,
        compared_values_max=settings.max_compared_values,
        reach_ns=int(settings.trace_reach_s * SECOND_NS),
        allow_partial=request.allow_partial,
    )


def grid_of(request: MetricsRequest, settings: QuerySettings, *, now_ns: int) -> Grid:
    """Find the intervals of a request. Raises: InvalidRequestError."""
    start_ns, end_ns = request.start_ns, request.end_ns
    if end_ns <= start_ns:
        raise InvalidRequestError("end must be greater than start")
    cutoff_ns = int(settings.metrics_end_cutoff_s * SECOND_NS)
    last_ns = now_ns - cutoff_ns if cutoff_ns else None
    if last_ns is not None and end_ns > last_ns:
        late_ns = end_ns - last_ns
        end_ns -= -(-late_ns // SECOND_NS) * SECOND_NS if request.is_instant else late_ns
        if end_ns <= start_ns:
            raise _cut_off()
    length_ns = end_ns - start_ns
    longest_ns = int(settings.max_metrics_duration_s * SECOND_NS)
    if longest_ns and length_ns > longest_ns:
        raise InvalidRequestError(
            "metrics query time range exceeds the maximum allowed duration of "
            f"{duration_text(longest_ns)}"
        )
    if request.is_instant:
        return Grid(origin_ns=start_ns, step_ns=length_ns, count=1)
    step_ns = default_step_ns(length_ns) if request.step_ns is None else request.step_ns
    intervals = settings.max_metrics_intervals
    if step_ns <= 0 or (intervals and length_ns // step_ns > intervals):
        raise InvalidRequestError(
            f"step of {duration_text(step_ns)} is too small, minimum step for given range is "
            f"{duration_text(length_ns // (intervals or length_ns))}"
        )
    return _aligned(start_ns, end_ns, step_ns, last_ns)


def _aligned(start_ns: int, end_ns: int, step_ns: int, last_ns: int | None) -> Grid:
    """Widen a range to whole steps, and by one in front."""
    origin_ns = start_ns // step_ns * step_ns
    if origin_ns >= step_ns:
        origin_ns -= step_ns
    end_ns = -(-end_ns // step_ns) * step_ns
    if last_ns is not None and end_ns > last_ns:
        end_ns = last_ns // step_ns * step_ns
    if end_ns <= origin_ns:
        raise _cut_off()
    return Grid(origin_ns=origin_ns, step_ns=step_ns, count=(end_ns - origin_ns) // step_ns)


def _cut_off() -> InvalidRequestError:
    return InvalidRequestError("query window falls entirely within query_end_cutoff")


def default_step_ns(length_ns: int) -> int:
    """Find the step for a range of some length, so that it has about 240 points."""
    wanted_ns = length_ns // _POINTS
    if length_ns < 60 * SECOND_NS:
        return max(wanted_ns // _SHORT_STEP_NS * _SHORT_STEP_NS, _SHORT_STEP_NS)
    for multiple_s in _STEPS_S:
        multiple_ns = multiple_s * SECOND_NS
        if wanted_ns > multiple_ns:
            return wanted_ns // multiple_ns * multiple_ns
    return SECOND_NS


def _expression(query: Mapping[str, str], settings: QuerySettings) -> str:
    """Take the query text; old clients call it ``query``."""
    for name in ("q", "query"):
        check_expression_size(query.get(name, ""), settings)
    return query.get("q", "") or query.get("query", "")


def parse_times(query: Mapping[str, str], now_ns: int) -> tuple[int, int]:
    """Read ``start``, ``end`` and ``since``; the last hour. Raises: InvalidRequestError."""
    since_ns = _SINCE_NS
    if since := query.get("since", ""):
        try:
            since_ns = parse_prometheus_duration(since)
        except ValueError as error:
            raise _bad_time("since", str(error)) from error
    start, end = (query.get(name, "") for name in ("start", "end"))
    end_ns = _parse_time("end", end) if end else now_ns
    start_ns = _parse_time("start", start) if start else min(end_ns, now_ns) - since_ns
    return max(start_ns, 0), max(end_ns, 0)


def _parse_time(name: str, text: str) -> int:
    """Read seconds, nanoseconds (more than ten digits), fractional seconds or RFC 3339."""
    if re.fullmatch(r"[+-]?[0-9]+", text):
        number = int(text) if len(text) < 32 else _INT64_MAX + 1
        if abs(number) <= _INT64_MAX:
            return number * SECOND_NS if len(text) <= _SECONDS_DIGITS_MAX else number
    elif "." in text and (found := _float(text)) is not None:
        time_ns = round(found * 1000) * _MILLISECOND_NS if abs(found) < _INT64_MAX else None
        if time_ns is not None and abs(time_ns) <= _INT64_MAX:
            return time_ns
    elif (parsed_ns := _parse_rfc3339(text)) is not None:
        return parsed_ns
    raise _bad_time(name, f'parsing time "{text}" as "{_LAYOUT}": cannot parse "{text}" as "2006"')


def _parse_rfc3339(text: str) -> int | None:
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    fraction, zone = match[7] or "", match[8]
    offset = timedelta(0)
    if zone not in "Zz":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
        offset = -offset if zone[0] == "-" else offset
    try:
        parts = [int(match[place]) for place in range(1, 7)]
        at = datetime(
            parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], tzinfo=timezone(offset)
        )
    except ValueError:
        return None
    whole = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    time_ns = whole * SECOND_NS + int(fraction[:9].ljust(9, "0"))
    return time_ns if abs(time_ns) <= _INT64_MAX else None


def _bad_time(name: str, reason: str) -> InvalidRequestError:
    """Refuse a time; the wrapping is Tempo's."""
    return InvalidRequestError(
        f"rpc error: code = Code(400) desc = could not parse '{name}' parameter: {reason}"
    )


def _parse_step(text: str) -> int:
    """Read seconds or a duration. Raises: InvalidRequestError."""
    found = _float(text)
    if found is not None:
        if abs(found) * SECOND_NS > _INT64_MAX:
            raise InvalidRequestError(
                f'cannot parse "{text}" to a valid duration. It overflows int64'
            )
        step_ns = int(found * SECOND_NS)
    else:
        step_ns = _parse_duration(text)
    if step_ns < 0:
        raise InvalidRequestError(f'cannot parse "{text}": step must be positive')
    return step_ns


def _parse_duration(text: str) -> int:
    try:
        return parse_go_duration(text)
    except InvalidRequestError:
        pass  # it may be of the other form
    try:
        return parse_prometheus_duration(text)
    except ValueError:
        raise InvalidRequestError(f'cannot parse "{text}" to a valid duration') from None


def _float(text: str) -> float | None:
    """Read a number as decimal text; words for infinity and the like are none."""
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", text):
        return None
    return float(text[:400])


def parse_partial(query: Mapping[str, str]) -> bool:
    """Read whether a partial answer will do. Raises: InvalidRequestError."""
    text = query.get("partial", "")
    if text not in ("", "allow", "deny"):
        raise InvalidRequestError(f"invalid partial: expected allow or deny, got {text}")
    return text == "allow"

"""What people write for a time window -> ``start`` and ``end`` of the HTTP API.

Pure: the time of now is passed in.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tracestore.errors import InvalidRequestError
from tracestore.model.times import SECOND_NS
from tracestore.settings import units

Duration = str | int | float | timedelta
"""``"1h30m"``, seconds, or a timedelta."""
Moment = str | int | float | datetime
"""A time as ISO 8601 (UTC unless it says otherwise), unix seconds, or how long ago: ``"2h"``."""

_UNIX_S_MAX = (1 << 32) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def resolve_window(
    *,
    last: Duration | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    now_ns: int,
) -> tuple[int, int] | None:
    """Find the window in whole unix seconds, wide enough for what was meant. None: all time.

    Raises: InvalidRequestError.
    """
    if last is None and start is None and end is None:
        return None
    if last is not None and start is not None:
        raise InvalidRequestError("give last or start, not both")
    end_ns = now_ns if end is None else _moment_ns("end", end, now_ns)
    end_s = -(-end_ns // SECOND_NS)
    if last is not None:
        length_ns = _duration_ns("last", last)
        if length_ns <= 0:
            raise InvalidRequestError(f"last: expected a duration above 0, got {last!r}")
        start_s = end_s - -(-length_ns // SECOND_NS)
    elif start is not None:
        start_s = _moment_ns("start", start, now_ns) // SECOND_NS
    else:
        raise InvalidRequestError("end needs start or last")
    if start_s >= end_s:
        raise InvalidRequestError(f"the window is empty: start {start_s}, end {end_s}")
    start_s = max(start_s, 0)
    if end_s > _UNIX_S_MAX:
        raise InvalidRequestError(f"end: the year 2106 is the last that fits, got {end!r}")
    return start_s, end_s


def _duration_ns(name: str, value: Duration) -> int:
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1) * 1000
    try:
        return round(units.parse_duration(str(value)) * SECOND_NS)
    except ValueError as error:
        raise InvalidRequestError(f"{name}: {error}, got {value!r}") from error


def _moment_ns(name: str, value: Moment, now_ns: int) -> int:
    if isinstance(value, datetime):
        return _datetime_ns(value)
    text = str(value).strip()
    if text == "now":
        return now_ns
    try:
        return round(units.parse_number(text) * SECOND_NS)
    except ValueError:
        pass  # not unix seconds
    try:
        return now_ns - round(abs(units.parse_unit_duration(text)) * SECOND_NS)
    except ValueError:
        pass  # not a duration
    try:
        return _datetime_ns(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        raise InvalidRequestError(
            f"{name}: expected a time such as 2026-01-31T12:00:00Z, unix seconds or 2h (ago), "
            f"got {value!r}"
        ) from error


def _datetime_ns(value: datetime) -> int:
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1) * 1000

"""Parameters of the Prometheus routes -> values, with Prometheus' words for what is wrong. Pure.

Source: Prometheus, web/api/v1/api.go; wire contract, section 14.9.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from tracestore.api.params import parse_prometheus_duration
from tracestore.api.timestamps import parse_timestamp_ns
from tracestore.errors import InvalidRequestError
from tracestore.query.promql.windows import MILLISECOND_NS, Times

FORM = "application/x-www-form-urlencoded"
TIME_MAX_MS = 9_000_000_000_000
"""In the year 2255: nanoseconds have 63 bits, with room for what windows add."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The parameters of a request: those of its body, then those of its URL."""

    pairs: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """Get the first value of a parameter, empty if there is none."""
        return next((value for key, value in self.pairs if key == name), "")

    def all(self, name: str) -> list[str]:
        """Get all values of a parameter."""
        return [value for key, value in self.pairs if key == name]


def parse_form(query_string: bytes, body: bytes) -> Form:
    """Read what is in the URL and in the body. Raises: InvalidRequestError."""
    pairs: list[tuple[str, str]] = []
    for part in (body, query_string):
        text = part.decode("latin-1")
        pairs += parse_qsl(text, keep_blank_values=True, errors="surrogateescape")
    for name, value in pairs:
        if any("\ud800" <= character <= "\udfff" for character in name + value):
            shown = name.encode(errors="replace").decode()
            raise InvalidRequestError(f'invalid parameter "{shown}": not valid UTF-8')
    return Form(pairs=tuple(pairs))


def parse_time_ms(form: Form, name: str, default_ms: int | None = None) -> int:
    """Read a time: unix seconds with or without a fraction, or RFC 3339.

    Args:
        default_ms: what an absent one is; None: it must be there.

    Raises: InvalidRequestError.
    """
    text = form.get(name)
    if not text and default_ms is not None:
        return default_ms
    if _NUMBER.fullmatch(text):
        time_ms = round(min(max(float(text), -1e18), 1e18) * 1000)
    else:
        try:
            if "T" not in text:
                raise InvalidRequestError("no time")
            time_ms = parse_timestamp_ns(text) // MILLISECOND_NS
        except InvalidRequestError as error:
            raise InvalidRequestError(
                f'invalid parameter "{name}": cannot parse "{text}" to a valid timestamp'
            ) from error
    if abs(time_ms) > TIME_MAX_MS:
        raise InvalidRequestError(
            f'invalid parameter "{name}": cannot parse "{text}" to a valid timestamp. '
            f"It is beyond what nanoseconds can tell"
        )
    return time_ms


def parse_duration_ms(form: Form, name: str) -> int | None:
    """Read seconds or a duration such as ``1h30m``; None if it is absent.

    Raises: InvalidRequestError.
    """
    text = form.get(name)
    return _duration_ms(name, text) if text else None


def _duration_ms(name: str, text: str) -> int:
    failure = f'invalid parameter "{name}": cannot parse "{text}" to a valid duration'
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        if abs(seconds) * 1000 > TIME_MAX_MS:
            raise InvalidRequestError(f"{failure}. It overflows int64")
        return round(seconds * 1000)
    try:
        found_ms = parse_prometheus_duration(text) // MILLISECOND_NS
    except ValueError as error:
        raise InvalidRequestError(failure) from error
    if found_ms > TIME_MAX_MS:
        raise InvalidRequestError(f"{failure}. It overflows int64")
    return found_ms


def parse_range(form: Form, points_max: int) -> Times:
    """Read the times of a query over a range. Raises: InvalidRequestError."""
    start_ms, end_ms = (parse_time_ms(form, name) for name in ("start", "end"))
    if end_ms < start_ms:
        raise InvalidRequestError(
            'invalid parameter "end": end timestamp must not be before start time'
        )
    step_ms = _duration_ms("step", form.get("step"))
    if step_ms <= 0:
        raise InvalidRequestError(
            'invalid parameter "step": zero or negative query resolution step widths are not '
            "accepted. Try a positive integer"
        )
    if (end_ms - start_ms) // step_ms > points_max:
        raise InvalidRequestError(
            f"exceeded maximum resolution of {points_max:,} points per timeseries. Try decreasing "
            "the query resolution (?step=XX)"
        )
    return Times(start_ms=start_ms, step_ms=step_ms, points=(end_ms - start_ms) // step_ms + 1)


def parse_limit(form: Form) -> int:
    """Read how many series are wanted, 0 for all. Raises: InvalidRequestError."""
    text = form.get("limit")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidRequestError(
            f'invalid parameter "limit": limit must be a non-negative number, cannot parse "{text}"'
        )
    return int(text)


def parse_matches(form: Form) -> Sequence[str]:
    """Read the selectors of ``match[]``."""
    return form.all("match[]")


def check_label(name: str) -> None:
    """Refuse what is no name of a label. Raises: InvalidRequestError."""
    if not _LABEL.fullmatch(name):
        raise InvalidRequestError(f'invalid label name: "{name}"')

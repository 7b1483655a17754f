"""Timestamps as metrics and autocomplete take them -> nanoseconds. Pure.

Source: wire contract, section 5.3.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tracestore.errors import InvalidRequestError
from tracestore.model.times import MILLISECOND_NS, SECOND_NS

_SECONDS_DIGITS_MAX = 10
_DIGITS_MAX = 19
_FRACTION = re.compile(r"[+-]?[0-9]{0,12}\.[0-9]*(?:[eE][+-]?[0-9])?")
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)


def parse_timestamp_ns(text: str) -> int:
    """Read unix seconds, with or without a fraction, unix nanoseconds, or RFC 3339.

    Raises: InvalidRequestError with what is wrong.
    """
    if text.isascii() and text.isdigit():
        if len(text) > _DIGITS_MAX:
            raise InvalidRequestError(f'strconv.ParseInt: parsing "{text}": value out of range')
        return int(text) * (SECOND_NS if len(text) <= _SECONDS_DIGITS_MAX else 1)
    if _FRACTION.fullmatch(text) and text.strip("+-.") != "":
        return round(float(text) * 1000) * MILLISECOND_NS
    found = _RFC3339.fullmatch(text)
    try:
        if found is None:
            raise ValueError("no time of that form")
        moment = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
    except ValueError as error:
        raise InvalidRequestError(
            f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse it'
        ) from error
    seconds = int((moment - datetime.fromtimestamp(0, UTC)).total_seconds())
    return seconds * SECOND_NS + int((found[2] or "")[:9].ljust(9, "0"))

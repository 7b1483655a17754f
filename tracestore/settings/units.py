"""Texts of values as people write them in files, variables and flags: durations, sizes, numbers.

Every parser takes the text and raises ``ValueError`` with what it expected; the caller adds where
the text stood.

Source: Go ``time.ParseDuration``; Prometheus ``model.ParseDuration`` (which adds d, w and y).
"""

from __future__ import annotations

import math
import re

_SECONDS_OF = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 7 * 86400.0,
    "y": 365 * 86400.0,
}
_DURATION_PART = re.compile(r"([0-9]*\.?[0-9]+|[0-9]+\.)(ns|us|µs|μs|ms|s|m|h|d|w|y)")
_BYTES_OF = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1000,
    "m": 1000**2,
    "mb": 1000**2,
    "g": 1000**3,
    "gb": 1000**3,
    "t": 1000**4,
    "tb": 1000**4,
    "ki": 1024,
    "kib": 1024,
    "mi": 1024**2,
    "mib": 1024**2,
    "gi": 1024**3,
    "gib": 1024**3,
    "ti": 1024**4,
    "tib": 1024**4,
}
_SIZE = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([a-z]*)", re.IGNORECASE)
_INTEGER = re.compile(r"[-+]?(0x[0-9a-f]+|0o[0-7]+|0b[01]+|[0-9][0-9_]*)", re.IGNORECASE)
_TRUE = frozenset({"true", "yes", "on", "1", "t", "y"})
_FALSE = frozenset({"false", "no", "off", "0", "f", "n"})


def parse_text(text: str) -> str:
    """Take a text as it is."""
    return text


def parse_lines(text: str) -> tuple[str, ...]:
    """Parse texts that stand in a line each."""
    return tuple(line for line in (part.strip() for part in text.split("\n")) if line)


def parse_entries(text: str) -> tuple[str, ...]:
    """Parse the entries of a sampling policy, one a line."""
    return parse_lines(text)


def parse_queries(text: str) -> tuple[str, ...]:
    """Parse queries, one a line."""
    return parse_lines(text)


def parse_list(text: str) -> tuple[str, ...]:
    """Parse texts that are separated by commas; an empty one is none."""
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def parse_boolean(text: str) -> bool:
    """Parse ``true`` or ``false`` as YAML and Go write them."""
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("expected true or false")


def parse_integer(text: str) -> int:
    """Parse a whole number; ``1e6``, ``1_000`` and ``0x10`` are welcome."""
    stripped = text.strip()
    if _INTEGER.fullmatch(stripped):
        base = 0 if stripped.lstrip("+-")[:2].lower() in ("0x", "0o", "0b") else 10
        return int(stripped, base)
    try:
        number = float(stripped)
    except ValueError:
        raise ValueError("expected a whole number") from None
    if not number.is_integer():
        raise ValueError("expected a whole number")
    return int(number)


def parse_number(text: str) -> float:
    """Parse a finite number."""
    try:
        number = float(text)
    except ValueError:
        raise ValueError("expected a number") from None
    if not math.isfinite(number):
        raise ValueError("expected a finite number")
    return number


def parse_unit_duration(text: str) -> float:
    """Parse a duration that has a unit, such as ``1h30m``, ``250ms`` or ``7d``; ``0`` needs none.

    Returns: seconds.
    """
    stripped = text.strip()
    sign = -1.0 if stripped.startswith("-") else 1.0
    rest = stripped[1:] if stripped.startswith(("-", "+")) else stripped
    if rest in ("0", "0.0"):
        return 0.0
    seconds = 0.0
    at = 0
    while at < len(rest):
        part = _DURATION_PART.match(rest, at)
        if part is None:
            break
        seconds += float(part[1]) * _SECONDS_OF[part[2]]
        at = part.end()
    if at == 0 or at < len(rest):
        raise ValueError("expected a duration with a unit, such as 30s, 5m or 1h30m")
    return sign * seconds


def render_duration(seconds: float) -> str:
    """Write a duration as Go does, to the millisecond: ``45s``, ``15m0s``, ``1h0m0s``."""
    whole = round(seconds * 1000)
    minutes, rest = divmod(whole, 60_000)
    hours, minute = divmod(minutes, 60)
    second = f"{rest / 1000:g}s"
    if hours:
        return f"{hours}h{minute}m{second}"
    return f"{minute}m{second}" if minute else second


def parse_duration(text: str) -> float:
    """Parse a duration; a bare number is seconds.

    Returns: seconds.
    """
    try:
        return parse_number(text)
    except ValueError:
        return parse_unit_duration(text)


def parse_size(text: str) -> int:
    """Parse a size in bytes; ``64MiB`` and ``64Mi`` are 1024-based, ``64MB`` is 1000-based."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2].lower() not in _BYTES_OF:
        try:
            return parse_integer(text)
        except ValueError:
            raise ValueError("expected a size in bytes, such as 1048576 or 64MiB") from None
    return int(float(match[1].replace("_", "")) * _BYTES_OF[match[2].lower()])


def parse_mebibytes(text: str) -> int:
    """Parse a count of MiB, as the Collector's ``max_recv_msg_size_mib`` has it.

    Returns: bytes.
    """
    return parse_integer(text) * 1024**2

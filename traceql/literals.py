"""Text of one literal or name <-> its value: numbers, durations, strings, attribute names.

Every function takes the text of one token and raises ``ValueError`` with what is wrong; the parser
adds the place.

Source: TraceQL reference, "numbers", "durations", "strings", "attribute names".
"""

from __future__ import annotations

import math
import re

from traceql.attributes import SCOPED_INTRINSICS, Attribute, Intrinsic, Scope
from traceql.values import INT_MAX, Duration, Float, Int, Number, to_bytes

_NUMBER = re.compile(r"(?:([0-9]+)|[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[0-9]+")
_OCTAL = re.compile(r"0[0-7]*")
_DECIMAL_DIGITS_MAX = 19

_DESCENDING = re.compile(
    r"(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?"
    r"(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?"
)
_MS = 10**6
_DESCENDING_UNITS = tuple(
    ms * _MS for ms in (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1_000, 1)
)
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|ms|s|m|h)")
_PART_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": _MS,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}

_NAME_PARTS = re.compile(r'"((?:\\["\\]|[^"\\])*)"|([^"]+)')
_ESCAPED = re.compile(r'\\(["\\])')
_SIMPLE_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
}
_ESCAPE = re.compile(
    r"\\(?:(?P<simple>[abfnrtv\\\"])|(?P<octal>[0-7]{3})|x(?P<hex>[0-9a-fA-F]{2})"
    r"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8}))"
)
_UNPRINTABLE = re.compile(r'[\x00-\x1f\x7f"\\\udc80-\udcff]')
_PRINTED_ESCAPES = {char: f"\\{letter}" for letter, char in _SIMPLE_ESCAPES.items()}


def parse_number(text: str) -> Number:
    """Read an integer, a float or a duration."""
    if _INTEGER.fullmatch(text):
        return Int(_parse_integer(text))
    if _NUMBER.fullmatch(text):
        value = float(text)
        if math.isinf(value):
            raise ValueError(f"number {_shorten(text)} is out of range")
        return Float(value)
    ns = _parse_descending(text)
    if ns is None:
        ns = _parse_parts(text)
    if ns is None:
        raise ValueError(f"{_shorten(text)} is neither a number nor a duration")
    return Duration(ns)


def parse_string(token: str) -> str:
    """Read a quoted string; bytes that are no UTF-8 become surrogate escapes."""
    if token[0] == "`":
        return token[1:-1].replace("\r", "")
    body = token[1:-1]
    if "\\" not in body:
        return body
    parts: list[bytes] = []
    end = 0
    while (start := body.find("\\", end)) >= 0:
        parts.append(body[end:start].encode())
        escape = _ESCAPE.match(body, start)
        if escape is None:
            raise ValueError(f"invalid escape {body[start : start + 2]} in a string")
        parts.append(_unescape(escape))
        end = escape.end()
    parts.append(body[end:].encode())
    return b"".join(parts).decode("utf-8", "surrogateescape")


def string_text(value: str) -> str:
    """Write a string in double quotes, so that ``parse_string`` reads it back."""

    def escape(match: re.Match[str]) -> str:
        char = match[0]
        return _PRINTED_ESCAPES.get(char) or f"\\x{to_bytes(char)[0]:02x}"

    return f'"{_UNPRINTABLE.sub(escape, value)}"'


def parse_attribute(token: str) -> Attribute:
    """Read a name with its scope: ``.a``, ``span."b c".d``, ``parent.resource.x``."""
    of_parent = token.startswith("parent.")
    rest = token[len("parent") :] if of_parent else token
    scope = Scope.NONE
    for candidate in _PARENT_SCOPES if of_parent else _SCOPES:
        prefix = f".{candidate.value}." if of_parent else f"{candidate.value}."
        if rest.startswith(prefix) and len(rest) > len(prefix):
            scope, rest = candidate, rest[len(prefix) - 1 :]
            break
    name = "".join(
        _ESCAPED.sub(r"\1", part[1]) if part[1] is not None else part[2]
        for part in _NAME_PARTS.finditer(rest[1:])
    )
    return Attribute(scope, name, of_parent=of_parent)


def parse_scoped_intrinsic(token: str) -> Intrinsic:
    """Read ``span:duration`` and kin; white space behind the colon is tolerated."""
    scope, _, word = token.partition(":")
    word = word.strip()
    intrinsic = SCOPED_INTRINSICS.get(f"{scope}:{word}")
    if intrinsic is None:
        raise ValueError(f"unknown intrinsic {scope}:{_shorten(word)}")
    return intrinsic


_SCOPES = tuple(scope for scope in Scope if scope is not Scope.NONE)
_PARENT_SCOPES = (Scope.SPAN, Scope.RESOURCE)


def _parse_integer(text: str) -> int:
    if text[0] == "0" and not _OCTAL.fullmatch(text):
        raise ValueError(f"integer {_shorten(text)} has a leading zero")
    digits = text.lstrip("0") or "0"
    if len(digits) > _DECIMAL_DIGITS_MAX or int(digits) > INT_MAX:
        raise ValueError(f"integer {_shorten(text)} is out of range")
    return int(digits)


def _parse_descending(text: str) -> int | None:
    """Read the form of Prometheus: whole numbers of ``y w d h m s ms``, descending."""
    match = _DESCENDING.fullmatch(text)
    if match is None or any(len(part) > _DECIMAL_DIGITS_MAX for part in match.groups("")):
        return None
    ns = sum(
        int(part) * unit for part, unit in zip(match.groups("0"), _DESCENDING_UNITS, strict=True)
    )
    return ns if ns <= INT_MAX else None


def _parse_parts(text: str) -> int | None:
    """Read the form of Go: decimal numbers with units, any order, repeats add up.

    Fractions are cut as ``time.ParseDuration`` of Go cuts them.
    """
    total = 0
    end = 0
    while end < len(text):
        part = _PART.match(text, end)
        if part is None or not (part[1] or part[2]) or len(part[1]) > _DECIMAL_DIGITS_MAX:
            return None
        unit = _PART_UNITS[part[3]]
        total += int(part[1] or "0") * unit
        fraction = (part[2] or "")[: _DECIMAL_DIGITS_MAX - 1]
        if fraction:
            total += int(float(int(fraction)) * (float(unit) / 10.0 ** len(fraction)))
        if total > INT_MAX:
            return None
        end = part.end()
    return total


def _unescape(escape: re.Match[str]) -> bytes:
    if escape["simple"]:
        return _SIMPLE_ESCAPES[escape["simple"]].encode()
    if escape["octal"] or escape["hex"]:
        byte = int(escape["octal"], 8) if escape["octal"] else int(escape["hex"], 16)
        if byte > 0xFF:
            raise ValueError(f"invalid escape {escape[0]} in a string: more than a byte")
        return bytes([byte])
    point = int(escape["short"] or escape["long"], 16)
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
        raise ValueError(f"invalid escape {escape[0]} in a string: no character")
    return chr(point).encode()


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"

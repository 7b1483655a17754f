"""Text of a query -> tokens, and literals and names -> values, by plain regexes.

Written from the TraceQL reference, section 1; it shares nothing with the product.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

NAME = r'(?:"(?:\\["\\]|[^"\\])*"|[^\s{}()=~!<>&|^,"])+'
SCOPES = r"parent\.(?:span\.|resource\.)?|resource\.|span\.|event\.|link\.|instrumentation\.|\."
TOKENS = [
    ("skip", r"[ \t\r\n]+|//[^\n]*|/\*[\s\S]*?\*/"),
    ("number", r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[0-9.nsumhµdwy]*"),
    ("attribute", rf"(?:{SCOPES})(?:{NAME})"),
    ("word", r"(?:trace|span|event|link|instrumentation):\w+|[^\W\d]\w*"),
    ("string", r'"(?:[^"\\\n]|\\.)*"|`[^`]*`'),
    (
        "operator",
        r"!>>|!<<|&>>|&<<|&>|&<|&~|!>|!<|!~|!=|=~|&&|\|\||>>|<<|>=|<=|[-+*/%^=<>!~(){}|,]",
    ),
]
TOKEN = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in TOKENS))
ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34}
ESCAPE = re.compile(
    r'\\(?:([abfnrtv\\"])|([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))'
)
PROMETHEUS = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?"
)
PROMETHEUS_S = [365 * 86400, 7 * 86400, 86400, 3600, 60, 1, Fraction(1, 1000)]
GO = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")
GO_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
GO_NS["h"] = 60 * GO_NS["m"]


class NotTraceQLError(Exception):
    """The text is no search."""


@dataclass(frozen=True)
class Token:
    """A token, with what it stands for if it is a literal."""

    kind: str
    text: str


def tokens_of(text: str) -> Iterator[Token]:
    """Cut a text into tokens, the longest at each place."""
    place = 0
    while place < len(text):
        found = TOKEN.match(text, place)
        if found is None:
            raise NotTraceQLError(f"at {place}: {text[place : place + 20]!r}")
        place = found.end()
        if found.lastgroup != "skip":
            assert found.lastgroup is not None
            yield Token(found.lastgroup, found[0])
    yield Token("end", "")


def number_of(text: str) -> tuple[str, Any]:
    """Read a number: its type, its value."""
    if re.fullmatch("[0-9]+", text):
        if text[0] == "0" and not re.fullmatch("[0-7]+", text):
            raise NotTraceQLError(f"{text} is no integer")
        if int(text) > 2**63 - 1:
            raise NotTraceQLError(f"{text} is too large")
        return "int", int(text)
    if re.fullmatch(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", text):
        return "float", float(text)
    if found := PROMETHEUS.fullmatch(text):
        parts = zip(found.groups(), PROMETHEUS_S, strict=True)
        return _duration(sum(int(digits) * unit for digits, unit in parts if digits) * 10**9)
    if not re.fullmatch(rf"(?:{GO.pattern})+", text):
        raise NotTraceQLError(f"{text} is no number")
    found_parts = GO.findall(text)
    return _duration(sum(int(_fraction(digits) * GO_NS[unit]) for digits, unit in found_parts))


def _fraction(digits: str) -> Fraction:
    return Fraction(f"0{digits}".rstrip("."))


def _duration(ns: Fraction | int) -> tuple[str, Any]:
    if ns > 2**63 - 1:
        raise NotTraceQLError("too long a duration")
    return "duration", int(ns)


def string_of(text: str) -> str:
    """Read a string; bytes that are no UTF-8 stay as surrogate escapes."""
    if text[0] == "`":
        return text[1:-1].replace("\r", "")
    raw, place, body = b"", 0, text[1:-1]
    while place < len(body):
        if body[place] != "\\":
            raw += body[place].encode()
            place += 1
            continue
        found = ESCAPE.match(body, place)
        if found is None:
            raise NotTraceQLError(f"a bad escape in {text}")
        raw += _unescaped(*found.groups())
        place = found.end()
    return raw.decode("utf-8", "surrogateescape")


def _unescaped(simple: str, octal: str, byte: str, short: str, long: str) -> bytes:
    if simple:
        return bytes([ESCAPES[simple]])
    if octal or byte:
        number = int(octal, 8) if octal else int(byte, 16)
        if number > 255:
            raise NotTraceQLError("more than a byte")
        return bytes([number])
    number = int(short or long, 16)
    if number > 0x10FFFF or 0xD800 <= number < 0xE000:
        raise NotTraceQLError("no character")
    return chr(number).encode()


def attribute_of(text: str) -> tuple[bool, str, str]:
    """Read an attribute: whether of the parent, its scope, its name."""
    found = re.match(SCOPES, text)
    assert found is not None
    words = found[0].split(".")[:-1]
    is_parent = words[:1] == ["parent"]
    scope = words[-1] if words and words != ["parent"] else ""
    parts = re.findall(r'"((?:\\.|[^"\\])*)"|([^"]+)', text[found.end() :])
    name = "".join(re.sub(r"\\(.)", r"\1", quoted) + plain for quoted, plain in parts)
    return is_parent, scope, name

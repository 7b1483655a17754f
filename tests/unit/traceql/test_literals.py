"""Numbers, durations, strings and names: their text and their values."""

from __future__ import annotations

import pytest

from traceql.attributes import Attribute, Scope
from traceql.literals import parse_attribute, parse_number, parse_string, string_text
from traceql.values import Duration, Float, Int, duration_text, float_text

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", Int(0)),
        ("007", Int(7)),
        ("010", Int(10)),
        ("9223372036854775807", Int(2**63 - 1)),
        ("1.5", Float(1.5)),
        ("1.", Float(1.0)),
        (".5", Float(0.5)),
        ("1e3", Float(1000.0)),
        ("1.5e-3", Float(0.0015)),
        ("1d", Duration(86400 * SECOND)),
        ("1h30m", Duration(5400 * SECOND)),
        ("2w3d4h", Duration((17 * 86400 + 4 * 3600) * SECOND)),
        ("1y", Duration(365 * 86400 * SECOND)),
        ("1.5h", Duration(5400 * SECOND)),
        ("30m1h", Duration(5400 * SECOND)),
        ("1h1h", Duration(7200 * SECOND)),
        ("10µs", Duration(10_000)),
        ("10us", Duration(10_000)),
        (".5s", Duration(SECOND // 2)),
        ("1.000000001s", Duration(SECOND + 1)),
        ("1.9ns", Duration(1)),
    ],
)
def test_numbers_and_durations_are_read(text: str, value: object) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "08",
        "019",
        "9223372036854775808",
        "1.5d",
        "1d5us",
        "1.5.5",
        "300y",
        "1h.",
        "1e999",
        "2562048h",
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text[:3]):
        parse_number(text)


@pytest.mark.parametrize(
    ("token", "value"),
    [
        (r'"\a\b\f\n\r\t\v\\\""', '\a\b\f\n\r\t\v\\"'),
        (r'"\xc3\xa9\303\251\u00e9\U000000e9"', "éééé"),
        (r'"\xff"', "\udcff"),
        ("`\\d\r\n`", "\\d\n"),
    ],
)
def test_strings_are_read_and_written(token: str, value: str) -> None:
    assert parse_string(token) == value
    assert parse_string(string_text(value)) == value


@pytest.mark.parametrize(
    "token", [r'"\d"', r'"\'"', r'"\400"', r'"\ud800"', r'"\U00110000"', r'"\x1"']
)
def test_other_escapes_are_refused(token: str) -> None:
    with pytest.raises(ValueError, match="invalid escape"):
        parse_string(token)


@pytest.mark.parametrize(
    ("token", "attribute", "text"),
    [
        (".a", Attribute(Scope.NONE, "a"), ".a"),
        (".span.foo", Attribute(Scope.NONE, "span.foo"), '."span.foo"'),
        ('span."foo bar".baz', Attribute(Scope.SPAN, "foo bar.baz"), 'span."foo bar.baz"'),
        ('.a"x y"b', Attribute(Scope.NONE, "ax yb"), '."ax yb"'),
        ('."http.status"', Attribute(Scope.NONE, "http.status"), ".http.status"),
        ('."a""b"', Attribute(Scope.NONE, "ab"), ".ab"),
        ('.""', Attribute(Scope.NONE, ""), '.""'),
        ('."a\\"\\\\"', Attribute(Scope.NONE, 'a"\\'), '."a\\"\\\\"'),
        ("span.5x", Attribute(Scope.SPAN, "5x"), 'span."5x"'),
        ("parent.x", Attribute(Scope.NONE, "x", of_parent=True), "parent.x"),
        ("parent.span.x", Attribute(Scope.SPAN, "x", of_parent=True), "parent.span.x"),
        ("parent.resource.x", Attribute(Scope.RESOURCE, "x", of_parent=True), "parent.resource.x"),
        ("parent.event.x", Attribute(Scope.NONE, "event.x", of_parent=True), 'parent."event.x"'),
        (".größe", Attribute(Scope.NONE, "größe"), ".größe"),
    ],
)
def test_names_are_read_and_written(token: str, attribute: Attribute, text: str) -> None:
    assert parse_attribute(token) == attribute
    assert attribute.text == text
    assert parse_attribute(text) == attribute


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1500, "1.5µs"),
        (250_000_000, "250ms"),
        (1_500_000_000, "1.5s"),
        (60 * SECOND, "1m0s"),
        (5400 * SECOND, "1h30m0s"),
        (-SECOND, "-1s"),
        (-(2**63), "-2562047h47m16.854775808s"),
    ],
)
def test_durations_are_printed_as_go_prints_them(ns: int, text: str) -> None:
    assert duration_text(ns) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(200.0, "200.0"), (1e21, "1e+21"), (0.1, "0.1"), (-0.0, "-0.0"), (1e-7, "1e-07")],
)
def test_floats_are_printed_in_shortest_form(value: float, text: str) -> None:
    assert float_text(value) == text

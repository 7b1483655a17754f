"""Errors name the place, what was expected, and what was probably meant."""

from __future__ import annotations

import pytest

import traceql


def _refusal(text: str) -> traceql.QueryError:
    with pytest.raises(traceql.QueryError) as caught:
        traceql.check(traceql.parse(text), text)
    return caught.value


def test_the_wire_text_has_line_and_column_behind_the_token() -> None:
    error = _refusal("{ .a = 1 &&\n  .b < }")

    assert str(error).startswith("parse error at line 2, col 9: syntax error: unexpected }")
    assert (error.line, error.column, error.position) == (2, 9, 19)


def test_the_caret_stands_below_the_misspelt_word() -> None:
    assert _refusal("{ statsu = error }").explain().splitlines() == [
        "{ statsu = error }",
        "  ^^^^^^ unexpected statsu, expected a value or }; did you mean status?",
    ]


def test_a_check_error_has_a_place_too() -> None:
    error = _refusal("{ .a = 1 } | max(name) > 1")

    assert error.explain().splitlines()[1].startswith("             ^^^^^^^^^ max() needs a number")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("{ spn.foo = 1 }", "did you mean span?"),
        ("{ span:durtion > 1s }", "did you mean span:duration?"),
        ("{} | raet()", "did you mean rate?"),
        ("{ kind = sever }", "did you mean server?"),
        ("{ .a == 1 }", "equality is a single ="),
        ("{ .a & .b }", "did you mean &&?"),
        ("{ .a = 'x' }", "double quotes"),
        ("{ foo = 1 }", ".foo"),
        ("{ resource = 1 }", "resource."),
        ("{ . a = 1 }", "follow the dot"),
        ("{ .a > nil }", "try != nil"),
        ("{} | by(statsu)", "did you mean status?"),
        ("{} | select(.a, knid)", "did you mean kind?"),
        ("{} | max(duratoin) > 1s", "did you mean duration?"),
        ("{} | rate() by(resorce.x)", "did you mean resource?"),
        ("{} | rate() wiht(exemplars=1)", "did you mean with?"),
        ("{ .a and .b }", "did you mean &&?"),
        ("{ .a OR .b }", "did you mean ||?"),
        ("{ .a = 1 | .b = 2 }", "did you mean ||?"),
        ("{ not .a }", "did you mean !?"),
        ("{ .a <> 1 }", "did you mean !=?"),
        ("{ .a = null }", "did you mean nil?"),
        ("{ duration > 100 ms }", "as in 100ms"),
        ("{ duration > 1.5 seconds }", "as in 1.5s"),
        ("{ duration > 5 milliseconds }", "as in 5ms"),
        ("{ http.status_code = 500 }", ".http"),
        ("resource.service.name = `a`", "stands in braces"),
        ("{ .a = 1 /* c }", "a comment ends with */"),
        ('{ span."a\\n" = 1 }', "a quoted name"),
        ("{ resource:name = `a` }", "write resource. directly followed by a name"),
    ],
)
def test_advice_is_given(text: str, advice: str) -> None:
    assert advice in _refusal(text).explain()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ .a = }", ("a value",)),
        ("{ .a = 'x' }", ("a value",)),
        ("{ .a & .b }", ("an operator", "}")),
        ("{} | select(1)", ("an attribute",)),
        ("{} | rate() by(.a", (")", ",")),
        ("{", ("a value", "}")),
        ("{ span.a = ; }", ("a value",)),
        ("{} | #", ("a pipeline stage",)),
    ],
)
def test_an_error_tells_what_was_expected(text: str, expected: tuple[str, ...]) -> None:
    error = _refusal(text)

    assert error.expected == expected
    assert f"expected {' or '.join(expected)}" in error.message
    assert error.line == 1
    assert error.column > 1


@pytest.mark.parametrize("text", ["{} with(rate=1)", "{ .a in (1, 2) }", "{ .a like `x` }"])
def test_no_advice_is_better_than_a_bad_one(text: str) -> None:
    assert "did you mean" not in _refusal(text).explain()


@pytest.mark.parametrize(
    "text", ["", '{ .a = "\0" }', '{ .a = "\ud800" }', '{ .a = "x', "{ .a = `x"]
)
def test_texts_that_cannot_be_scanned_are_refused(text: str) -> None:
    assert isinstance(_refusal(text), traceql.ParseError)


def test_a_text_over_the_limit_is_refused_unread() -> None:
    error = _refusal("{ .a = " + " " * 131072 + "1 }")

    assert "131072" in str(error)
    assert str(error).startswith("parse error : ")

"""Rewrites, one rule a case."""

from __future__ import annotations

import pytest

import traceql
from traceql import nodes


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{ 5 < .a }", "{ .a > 5 }"),
        ("{ 5 = .a + 1 }", "{ (.a + 1) = 5 }"),
        ("{ 5 - .a = 1 }", "{ (5 - .a) = 1 }"),
        ("{ !!(.a = 1) }", "{ .a = 1 }"),
        ("{ !!.a }", "{ !(!.a) }"),
        ("{ .a && (.b && .c) }", "{ (.a && .b) && .c }"),
        ("{ .a = 1 && true }", "{ .a = 1 }"),
        ("{ .a && true }", "{ .a && true }"),
        ("{ .a && false }", "{ false }"),
        ("{ .a || true }", "{ true }"),
        ("{ !(.a = 1 || true) }", "{ false }"),
        ("{ .a = 1 || .b = 2 || .a = 3 }", "{ ((.a = 1) || (.a = 3)) || (.b = 2) }"),
        ("{ .a = 1 || .a = `1` }", '{ (.a = 1) || (.a = "1") }'),
        ("{ .a = 1 && .a = 2 }", "{ (.a = 1) && (.a = 2) }"),
        ("{ .a = 1 || .a = 1 }", "{ .a = 1 }"),
    ],
)
def test_rules(before: str, after: str) -> None:
    assert traceql.render(traceql.rewrite(traceql.parse(before))) == after


def _expression(text: str) -> nodes.FieldExpression:
    body = traceql.rewrite(traceql.parse(text)).body
    assert isinstance(body, nodes.Pipeline)
    (stage,) = body.stages
    assert isinstance(stage, nodes.Filter)
    return stage.expression


@pytest.mark.parametrize(
    ("text", "kind", "negated"),
    [
        ("{ .a = 1 || .a = 2 }", nodes.OneOf, False),
        ("{ .a != 1 && .a != 2 }", nodes.OneOf, True),
        ("{ .a =~ `x` || .a =~ `y` }", nodes.MatchesAny, False),
        ("{ .a !~ `x` && .a !~ `y` }", nodes.MatchesAny, True),
    ],
)
def test_questions_about_one_field_are_merged(text: str, kind: type, negated: bool) -> None:
    expression = _expression(text)

    assert type(expression) is kind
    assert isinstance(expression, nodes.OneOf | nodes.MatchesAny)
    assert expression.negated is negated


@pytest.mark.parametrize(
    "text", ["{ .a != 1 || .a != 2 }", "{ .a = 1 || .a = 1.5 }", "{ any = `x` || any = `y` }"]
)
def test_other_chains_stay(text: str) -> None:
    assert isinstance(_expression(text), nodes.Logical)

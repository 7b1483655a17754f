"""What a plan says of a query: fields, necessary conditions, required filters, shape."""

from __future__ import annotations

import pytest

import traceql
from traceql import Question as Ask
from traceql.attributes import Attribute, Intrinsic, Level, Scope
from traceql.plan import Condition
from traceql.values import Bool, Int, String

A = Attribute(Scope.SPAN, "a")
B = Attribute(Scope.SPAN, "b")
SERVICE = Attribute(Scope.RESOURCE, "service.name")


def _plan(text: str) -> traceql.FetchPlan:
    query = traceql.parse(text)
    traceql.check(query, text)
    return traceql.plan(query)


def _necessary(expression: str) -> list[tuple[Condition, ...]]:
    return list(_plan(f"{{ {expression} }}").filters[0].necessary)


ONE = Condition(A, Ask.EQ, (Int(1),))
TWO = Condition(B, Ask.EQ, (Int(2),))


@pytest.mark.parametrize(
    ("expression", "groups"),
    [
        ("true", []),
        ("false", [()]),
        ("span.a = 1", [(ONE,)]),
        ("1 = span.a", [(ONE,)]),
        ("1 < span.a", [(Condition(A, Ask.GT, (Int(1),)),)]),
        ("span.a", [(Condition(A, Ask.EQ, (Bool(True),)),)]),
        ("span.a = 1 && span.b = 2", [(ONE,), (TWO,)]),
        ("span.a = 1 || span.b = 2", [(ONE, TWO)]),
        ("span.a = 1 || !(span.b = 2)", []),
        ("!(span.a = 1)", []),
        ("span.a = 1 || span.a = 2", [(Condition(A, Ask.ONE_OF, (Int(1), Int(2))),)]),
        ("span.a != 1 && span.a != 2", [(Condition(A, Ask.NONE_OF, (Int(1), Int(2))),)]),
        (
            'span.a =~ "x" || span.a =~ "y"',
            [(Condition(A, Ask.MATCHES, (String("x"), String("y"))),)],
        ),
        ("span.a != nil", [(Condition(A, Ask.EXISTS),)]),
        ("span.a = nil", [(Condition(A, Ask.MISSING),)]),
        ("span.a + 1 > span.b", [(Condition(A, Ask.EXISTS),), (Condition(B, Ask.EXISTS),)]),
        ("(span.a = span.b) = false", []),
        ("name != nil", []),
        ("resource.service.name = span.a", [(Condition(A, Ask.EXISTS),)]),
        ("parent.span.a = 1", []),
        ("span.a = 1 && (span.b = 2 || parent.span.a = 2)", [(ONE,)]),
    ],
)
def test_necessary_conditions(expression: str, groups: list[tuple[Condition, ...]]) -> None:
    assert _necessary(expression) == groups


@pytest.mark.parametrize(
    ("text", "required"),
    [
        ("{ .a } && { .b }", ((0,), (1,))),
        ("{ .a } || { .b }", ((0, 1),)),
        ("{ .a } >> { .b }", ((0,), (1,))),
        ("{ .a } !>> { .b }", ((1,),)),
        ("{ .a } | { .b } | count() > 2", ((0,), (1,))),
        ("count() > 2", ()),
        ("({ .a } && { .b }) || { .c }", ((0, 2), (1, 2))),
        ("({ .a } | count()) > 2", ()),
    ],
)
def test_filters_that_a_trace_must_match(text: str, required: tuple[tuple[int, ...], ...]) -> None:
    assert _plan(text).required == required


def test_fields_come_in_text_order_and_selected_ones_apart() -> None:
    plan = _plan("{ span.a = 1 && name = `x` } | by(span.b) | select(duration, span.a)")

    assert plan.fields == (A, Intrinsic.NAME, B, Intrinsic.DURATION)
    assert plan.selected == (Intrinsic.DURATION,)
    assert not plan.is_single_filter


@pytest.mark.parametrize(
    ("text", "span_level", "structure", "trace"),
    [
        ("{ .a = 1 && instrumentation:name = `x` }", True, False, False),
        ("{ event:name = `x` }", False, False, False),
        ("{ rootName = `x` }", False, False, True),
        ("{ .a } > { .b }", False, True, False),
        ("{ .a } && { .b }", False, False, False),
        ("{ parent.a = 1 }", False, True, False),
        ("{ any = `x` }", False, False, False),
    ],
)
def test_what_a_query_involves(text: str, span_level: bool, structure: bool, trace: bool) -> None:
    plan = _plan(text)

    assert (plan.is_span_level, plan.uses_structure, plan.uses_trace) == (
        span_level,
        structure,
        trace,
    )


def test_levels_of_a_filter() -> None:
    (planned,) = _plan("{ .a = 1 && link.b = 2 }").filters

    assert planned.levels == {Level.SPAN, Level.RESOURCE, Level.LINK}
    assert not planned.is_exact


@pytest.mark.parametrize(
    ("expression", "exact"),
    [
        ("span.a = 1 && (name = `x` || span.b > 2)", True),
        ("span.a = nil", True),
        ("!span.a", False),
        ("span.a = 1 || (span.a = 2 && span.b = 3)", False),
        ("span.a = span.b", False),
    ],
)
def test_exact_filters_need_no_second_look(expression: str, exact: bool) -> None:
    assert _plan(f"{{ {expression} }}").filters[0].is_exact is exact


def test_a_metrics_query_is_planned_by_its_pipeline() -> None:
    plan = _plan("{ span.a = 1 } | rate() by(span.b) | topk(3)")

    assert plan.metric is not None
    assert plan.fields == (A,)
    assert plan.is_single_filter


def test_math_has_no_single_plan() -> None:
    with pytest.raises(traceql.UnsupportedError):
        _plan("({} | rate()) / ({} | rate())")


def test_constant_filters_are_seen() -> None:
    assert _plan("{ .a && false } && { true }").is_never
    assert not _plan("{ .a && false } || { true }").is_never
    assert _plan("{ true || .a }").filters[0].is_constant is True

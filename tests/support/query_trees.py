"""Random syntax trees of TraceQL, as the parser makes them: constants folded, chains flat."""

from __future__ import annotations

import functools
import math
from typing import Any

from hypothesis import strategies as st

from traceql import nodes
from traceql.attributes import Attribute, Field, Intrinsic, Scope
from traceql.nodes import FieldExpression
from traceql.operators import ARITHMETIC, COMPARISONS, LOGICAL, SPANSET_OPERATORS, Operator
from traceql.values import (
    INT_MAX,
    INT_MIN,
    Bool,
    Duration,
    Float,
    Int,
    Kind,
    KindValue,
    Status,
    StatusValue,
    String,
    Value,
)

MATH = [Operator.ADD, Operator.SUB, Operator.MUL, Operator.DIV]


def _sorted(operators: frozenset[Operator]) -> list[Operator]:
    return sorted(operators, key=lambda operator: operator.value)


@functools.cache
def texts() -> st.SearchStrategy[str]:
    """Strings of any bytes, as string literals give them."""
    return st.one_of(
        st.text(max_size=8),
        st.binary(max_size=6).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    )


@functools.cache
def numbers() -> st.SearchStrategy[Value]:
    """Ints, floats and durations."""
    return st.one_of(
        st.integers(INT_MIN, INT_MAX).map(Int),
        st.integers(-3, 3).map(Int),
        st.floats().map(Float),
        st.sampled_from([0.5, -0.0, 200.0, math.inf, -math.inf, math.nan]).map(Float),
        st.integers(INT_MIN + 1, INT_MAX).map(Duration),
        st.integers(0, 10**10).map(Duration),
    )


@functools.cache
def values() -> st.SearchStrategy[Value]:
    """Literals of every type."""
    return st.one_of(
        numbers(),
        texts().map(String),
        st.booleans().map(Bool),
        st.sampled_from(Status).map(StatusValue),
        st.sampled_from(Kind).map(KindValue),
    )


@functools.cache
def fields() -> st.SearchStrategy[Field]:
    """Attributes with tame and with wild names, and intrinsics."""
    wild = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
    names = st.one_of(st.sampled_from(["a", "http.code", "span.x", "5x", "a b", 'q"\\', ""]), wild)
    scoped = st.builds(Attribute, st.sampled_from(Scope), names)
    parents = st.sampled_from([Scope.NONE, Scope.SPAN, Scope.RESOURCE])
    of_parent = st.builds(Attribute, parents, names, of_parent=st.just(True))
    return st.one_of(scoped, of_parent, st.sampled_from(Intrinsic))


@functools.cache
def references() -> st.SearchStrategy[nodes.Reference]:
    """Mentions of a field."""
    return fields().map(nodes.Reference)


@st.composite
def _binary(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> FieldExpression:
    """Some operation, not of two literals: the parser would have folded it."""
    operator = draw(st.sampled_from(_sorted(ARITHMETIC | COMPARISONS)))
    left, right = draw(inner), draw(references())
    if draw(st.booleans()):
        right = draw(inner)
    if isinstance(left, nodes.Literal) and isinstance(right, nodes.Literal):
        left = draw(references())
    return nodes.Binary(operator, left, right)


@st.composite
def _logical(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> FieldExpression:
    first = draw(inner)
    rest = draw(st.lists(inner, min_size=1, max_size=3))
    if isinstance(first, nodes.Literal) and isinstance(rest[0], nodes.Literal):
        first = draw(references())
    return nodes.Logical(draw(st.sampled_from(_sorted(LOGICAL))), (first, *rest))


def _extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[FieldExpression]:
    computed = inner.filter(lambda node: not isinstance(node, nodes.Literal))
    matches = st.builds(
        nodes.Binary,
        st.sampled_from([Operator.MATCH, Operator.NOT_MATCH]),
        references(),
        texts().map(String).map(nodes.Literal),
    )
    return st.one_of(
        _binary(inner),
        _logical(inner),
        matches,
        st.builds(nodes.Unary, st.sampled_from([Operator.SUB, Operator.NOT]), computed),
        st.builds(nodes.Exists, computed, st.booleans()),
    )


@functools.cache
def field_expressions(max_leaves: int = 12) -> st.SearchStrategy[FieldExpression]:
    """What stands in ``{ … }``; it need not check."""
    leaves = st.one_of(references(), values().map(nodes.Literal))
    return st.recursive(leaves, _extend, max_leaves=max_leaves)


@functools.cache
def filters() -> st.SearchStrategy[nodes.Filter]:
    """``{ … }``."""
    return field_expressions(6).map(nodes.Filter)


@functools.cache
def spansets() -> st.SearchStrategy[Any]:
    """Filters and their combinations, pipelines in parentheses among them."""

    def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        nested = st.lists(inner, min_size=2, max_size=3).map(
            lambda stages: nodes.Pipeline(tuple(stages))
        )
        operands = st.one_of(inner, nested)
        operators = st.sampled_from(_sorted(SPANSET_OPERATORS))
        return st.builds(nodes.SpansetOperation, operators, operands, operands)

    return st.recursive(filters(), extend, max_leaves=4)


@functools.cache
def aggregates() -> st.SearchStrategy[nodes.Aggregate]:
    """``count()``, ``max(e)`` …"""
    functions = [one for one in nodes.AggregateFunction if one is not nodes.AggregateFunction.COUNT]
    return st.one_of(
        st.just(nodes.Aggregate(nodes.AggregateFunction.COUNT)),
        st.builds(nodes.Aggregate, st.sampled_from(functions), field_expressions(4)),
    )


@st.composite
def scalar_filters(draw: st.DrawFn) -> nodes.ScalarFilter:
    """``aggregate cmp number`` and what we accept beyond."""
    literals = numbers().map(nodes.Literal)
    pipes = st.builds(
        nodes.ScalarPipe, filters().map(lambda one: nodes.Pipeline((one,))), aggregates()
    )
    plain = st.one_of(aggregates(), pipes)
    arithmetic = st.builds(
        nodes.ScalarArithmetic,
        st.sampled_from(_sorted(ARITHMETIC)),
        plain,
        st.one_of(plain, literals),
    )
    left = draw(st.one_of(plain, arithmetic))
    right = draw(st.one_of(plain, arithmetic, literals))
    if draw(st.booleans()):
        left, right = right, left
    return nodes.ScalarFilter(draw(st.sampled_from(_sorted(COMPARISONS))), left, right)


@st.composite
def pipelines(draw: st.DrawFn) -> nodes.Pipeline:
    """One to four stages."""
    heads = st.one_of(
        spansets(),
        scalar_filters(),
        field_expressions(4).map(nodes.GroupBy),
        st.lists(references(), min_size=1, max_size=3).map(lambda one: nodes.Select(tuple(one))),
    )
    tails = draw(st.lists(st.one_of(heads, st.just(nodes.Coalesce())), max_size=3))
    return nodes.Pipeline((draw(heads), *tails))


@st.composite
def metrics_queries(draw: st.DrawFn) -> nodes.MetricsQuery:
    """A pipeline with a metric and second stages."""
    return nodes.MetricsQuery(draw(pipelines()), draw(_functions()), draw(_second()))


@functools.cache
def _second() -> st.SearchStrategy[tuple[nodes.SecondStage, ...]]:
    plain = numbers().filter(lambda value: not isinstance(value, Duration))
    thresholds = st.builds(nodes.Threshold, st.sampled_from(_sorted(COMPARISONS)), plain)
    tops = st.builds(nodes.TopK, st.integers(0, 100), st.booleans())
    return st.lists(st.one_of(thresholds, tops), max_size=3).map(tuple)


@st.composite
def _functions(draw: st.DrawFn) -> nodes.MetricsAggregate | nodes.Compare:
    if draw(st.integers(0, 4)) == 0:
        times = st.integers(0, INT_MAX)
        return nodes.Compare(draw(filters()), draw(times), draw(times), draw(times))
    function = draw(st.sampled_from(nodes.MetricsFunction))
    measured = draw(references()) if function.measures else None
    wants = function is nodes.MetricsFunction.QUANTILE_OVER_TIME
    finite = st.floats(0, 10, allow_subnormal=False)
    quantiles = draw(st.lists(finite, min_size=1, max_size=3)) if wants else []
    by = draw(st.lists(references(), max_size=3))
    return nodes.MetricsAggregate(function, measured, tuple(by), tuple(quantiles))


@st.composite
def _math(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> nodes.MetricsMath:
    left = draw(inner)
    plain = numbers().filter(lambda value: not isinstance(value, Duration))
    right = draw(st.one_of(inner, plain.map(nodes.Literal)))
    if draw(st.booleans()):
        left, right = right, left
    return nodes.MetricsMath(draw(st.sampled_from(MATH)), left, right, draw(_second()))


@functools.cache
def queries() -> st.SearchStrategy[nodes.Query]:
    """Whole queries; they parse, but need not check."""
    math_ = st.recursive(metrics_queries(), _math, max_leaves=3)
    hint_values = values().filter(_has_plain_text)
    names = st.sampled_from(["exemplars", "sample", "most_recent", "x"])
    hints = st.lists(st.builds(nodes.Hint, names, hint_values), max_size=2).map(tuple)
    return st.builds(nodes.Query, st.one_of(pipelines(), math_), hints)


def _has_plain_text(value: Value) -> bool:
    """Whether a hint can have it: one token, no sign."""
    match value:
        case Int() if value.value == INT_MIN:
            return True
        case Int() | Duration():
            return value.value >= 0
        case Float():
            return math.isfinite(value.value) and math.copysign(1, value.value) > 0
        case _:
            return True

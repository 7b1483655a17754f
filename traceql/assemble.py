"""Stages and pipelines: flat sequences of operands -> spansets, scalar filters, metrics, math.

One grammar rule reads all of them; here each operand has a sort, the sort decides what it may be
joined with, and what does not go together is a parse error at the operator between.

A pipeline in parentheses is an operand wherever a spanset is, on either side of an operator; the
original accepts fewer places (``docs/decisions``).

Source: TraceQL reference, "grammar", "parentheses and pipelines", "metrics and math".
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from lark import Token

from traceql.climb import Climber
from traceql.constants import fold_number
from traceql.errors import ParseError, SourceRange
from traceql.fold import check_depth
from traceql.nodes import (
    Aggregate,
    Coalesce,
    Compare,
    Filter,
    GroupBy,
    Literal,
    MetricsAggregate,
    MetricsMath,
    MetricsQuery,
    Pipeline,
    ScalarArithmetic,
    ScalarFilter,
    ScalarPipe,
    SecondStage,
    Select,
    SpansetOperation,
    Stage,
    Threshold,
    TopK,
)
from traceql.operands import number_value, token_range
from traceql.operators import SPANSET_OPERATORS, Operator
from traceql.values import Duration, Float, Int, Number, negate

_SIGN_ABSORBS = 8
"""The sign of a number binds tighter than every operator."""


class Sort(enum.Enum):
    """What an operand or stage is; the value names it in errors."""

    NUMBER = "a number"
    SCALAR = "an aggregate"
    SPANSET = "a spanset"
    PIPELINE = "a pipeline"
    STAGE = "a pipeline stage"
    TAIL = "a metrics function or second stage"
    METRICS = "a metrics query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """``rate() > 5`` or ``topk(3) > 5``: what stands behind a ``|`` of a metrics query."""

    function: MetricsAggregate | Compare | None
    second: tuple[SecondStage, ...]


Content = (
    Stage
    | Literal
    | Aggregate
    | ScalarArithmetic
    | ScalarPipe
    | Pipeline
    | Tail
    | MetricsQuery
    | MetricsMath
)


@dataclass(frozen=True, slots=True)
class Term:
    """An operand or stage with its sort, the height of its tree, and its text.

    ``parentheses``: pairs directly around it.
    """

    sort: Sort
    content: Content
    depth: int
    at: SourceRange
    parentheses: int = 0


def fold_expression(items: Sequence[Term | Token]) -> Term:
    """Give a flat stage its shape.

    Raises:
        ParseError: operands do not go together, or the tree is too deep.
    """
    if len(items) == 1 and isinstance(items[0], Term):
        return items[0]
    climber: Climber[Term] = Climber()
    wants_operand = True
    for item in items:
        if isinstance(item, Term):
            climber.operand(item)
            wants_operand = False
        elif item.type == "NUMBER":
            at = token_range(item)
            climber.operand(Term(Sort.NUMBER, Literal(number_value(item), at=at), 1, at))
            wants_operand = False
        elif wants_operand:
            climber.prefix(_SIGN_ABSORBS, partial(_join_sign, item))
        else:
            climber.binary(Operator(item.value), partial(_join, item))
            wants_operand = True
    return climber.result()


def assemble_pipeline(stages: Sequence[Term]) -> Term:
    """Join the stages of one pipeline, be it the whole query or the inside of parentheses.

    Raises:
        ParseError: a stage stands where it may not.
    """
    at = SourceRange(stages[0].at.start, stages[-1].at.end)
    depth = max(stage.depth for stage in stages) + 1
    check_depth(depth, at)
    first = stages[0]
    if len(stages) == 1 and first.sort not in {Sort.STAGE, Sort.TAIL}:
        return replace(first, at=at)
    spans: list[Stage] = []
    metrics: MetricsQuery | MetricsMath | None = None
    for index, stage in enumerate(stages):
        is_last = index == len(stages) - 1
        if metrics is not None:
            metrics = _add_second(metrics, stage)
        elif stage.sort is Sort.METRICS and index == 0:
            assert isinstance(stage.content, MetricsQuery | MetricsMath)
            metrics = stage.content
        elif stage.sort is Sort.TAIL:
            metrics = _begin_metrics(spans, stage)
        elif stage.sort is Sort.SCALAR and is_last and isinstance(stage.content, Aggregate):
            pipe = ScalarPipe(_pipeline(spans, stages[:-1]), stage.content, at=at)
            return Term(Sort.SCALAR, pipe, depth, at)
        else:
            _add_stage(spans, stage)
    if metrics is not None:
        return Term(Sort.METRICS, replace(metrics, at=at), depth, at)
    return Term(Sort.PIPELINE, Pipeline(tuple(spans), at=at), depth, at)


def close_query(term: Term) -> Pipeline | MetricsQuery | MetricsMath:
    """Take the outermost pipeline as the body of a query.

    Raises:
        ParseError: it is no query by itself, as a lone number.
    """
    content = term.content
    if isinstance(content, MetricsQuery | MetricsMath | Pipeline):
        return content
    if isinstance(content, Filter | SpansetOperation):
        return Pipeline((content,), at=term.at)
    end = SourceRange(term.at.end, term.at.end)
    what = "the pipeline" if isinstance(content, ScalarPipe) else term.sort.value
    raise ParseError(f"unexpected end of query, expected a comparison behind {what}", at=end)


def _pipeline(spans: list[Stage], stages: Sequence[Term]) -> Pipeline:
    return Pipeline(tuple(spans), at=SourceRange(stages[0].at.start, stages[-1].at.end))


def _add_stage(spans: list[Stage], stage: Term) -> None:
    content = stage.content
    if isinstance(content, Coalesce) and not spans:
        raise ParseError("unexpected coalesce, a pipeline cannot begin with it", at=stage.at)
    if isinstance(content, Pipeline):
        spans.extend(content.stages)
    elif isinstance(
        content, Filter | SpansetOperation | ScalarFilter | GroupBy | Coalesce | Select
    ):
        spans.append(content)
    elif stage.sort in {Sort.NUMBER, Sort.SCALAR}:
        end = SourceRange(stage.at.end, stage.at.end)
        raise ParseError(f"expected a comparison behind {stage.sort.value}", at=end)
    else:
        raise ParseError(f"unexpected {stage.sort.value}, it must come first", at=stage.at)


def _begin_metrics(spans: list[Stage], stage: Term) -> MetricsQuery:
    assert isinstance(stage.content, Tail)
    function = stage.content.function
    if function is None:
        raise ParseError("topk and bottomk must follow a metrics function", at=stage.at)
    if not spans:
        raise ParseError(
            "a metrics function must follow a pipeline", at=stage.at, hint="put {} | before it"
        )
    at = SourceRange(spans[0].at.start, spans[-1].at.end)
    return MetricsQuery(Pipeline(tuple(spans), at=at), function, stage.content.second)


def _add_second(metrics: MetricsQuery | MetricsMath, stage: Term) -> MetricsQuery | MetricsMath:
    if not isinstance(stage.content, Tail) or stage.content.function is not None:
        raise ParseError(
            "only topk, bottomk and comparisons may follow a metrics function", at=stage.at
        )
    return replace(metrics, second=metrics.second + stage.content.second)


# --- joining two operands ------------------------------------------------------------------------


def _join_sign(token: Token, operand: Term) -> Term:
    at = SourceRange(token_range(token).start, operand.at.end)
    if operand.sort is not Sort.NUMBER:
        raise ParseError(f"unexpected - before {operand.sort.value}", at=token_range(token))
    negated = negate(_number(operand))
    assert isinstance(negated, Number)
    return Term(Sort.NUMBER, Literal(negated, at=at), 1, at)


def _join(token: Token, left: Term, right: Term) -> Term:
    operator = Operator(token.value)
    at = SourceRange(left.at.start, right.at.end)
    depth = max(left.depth, right.depth) + 1
    check_depth(depth, at)
    sorts = {left.sort, right.sort}
    if operator in SPANSET_OPERATORS and sorts <= {Sort.SPANSET, Sort.PIPELINE}:
        node = SpansetOperation(operator, _spanset(left), _spanset(right), at=at)
        return Term(Sort.SPANSET, node, depth, at)
    if operator.is_arithmetic and sorts == {Sort.NUMBER}:
        return _join_numbers(operator, token, left, right, at)
    if operator.is_arithmetic and Sort.METRICS in sorts and sorts <= {Sort.METRICS, Sort.NUMBER}:
        return Term(Sort.METRICS, _math(operator, token, left, right, at), depth, at)
    if sorts <= {Sort.SCALAR, Sort.NUMBER} and Sort.SCALAR in sorts:
        if operator.is_arithmetic:
            arithmetic = ScalarArithmetic(operator, _scalar(left), _scalar(right), at=at)
            return Term(Sort.SCALAR, arithmetic, depth, at)
        if operator.is_comparison:
            scalar_filter = ScalarFilter(operator, _scalar(left), _scalar(right), at=at)
            return Term(Sort.STAGE, scalar_filter, depth, at)
    if operator.is_comparison and right.sort is Sort.NUMBER:
        compared = _join_threshold(operator, left, right, at)
        if compared is not None:
            return compared
    raise _refusal(token, left, right)


def _join_numbers(
    operator: Operator, token: Token, left: Term, right: Term, at: SourceRange
) -> Term:
    try:
        value = fold_number(operator, _number(left), _number(right))
    except ValueError as error:
        raise ParseError(str(error), at=token_range(token)) from error
    return Term(Sort.NUMBER, Literal(value, at=at), 1, at)


def _join_threshold(operator: Operator, left: Term, right: Term, at: SourceRange) -> Term | None:
    """``metric > number``: a bare duration counts as seconds."""
    value = _number(right)
    if isinstance(value, Duration):
        value = Float(value.value / 1e9)
    threshold = Threshold(operator, value, at=right.at)
    content = left.content
    if isinstance(content, Tail | MetricsQuery | MetricsMath):
        joined = replace(content, second=(*content.second, threshold))
        return Term(left.sort, joined, left.depth, at)
    return None


def _math(
    operator: Operator, token: Token, left: Term, right: Term, at: SourceRange
) -> MetricsMath:
    if operator in {Operator.MOD, Operator.POW}:
        raise ParseError(
            f"unexpected {token}, metrics can be combined by + - * / only", at=token_range(token)
        )
    return MetricsMath(operator, _math_operand(left), _math_operand(right), at=at)


def _math_operand(term: Term) -> MetricsQuery | MetricsMath | Literal:
    content = term.content
    assert isinstance(content, MetricsQuery | MetricsMath | Literal)
    if isinstance(content, Literal) and isinstance(content.value, Duration):
        raise ParseError("a duration cannot be combined with a metric", at=term.at)
    return content


def _spanset(term: Term) -> Filter | SpansetOperation | Pipeline:
    content = term.content
    assert isinstance(content, Filter | SpansetOperation | Pipeline)
    return content


def _scalar(term: Term) -> Literal | Aggregate | ScalarArithmetic | ScalarPipe:
    content = term.content
    assert isinstance(content, Literal | Aggregate | ScalarArithmetic | ScalarPipe)
    return content


def _number(term: Term) -> Number:
    assert isinstance(term.content, Literal)
    value = term.content.value
    assert isinstance(value, Int | Float | Duration)
    return value


def _refusal(token: Token, left: Term, right: Term) -> ParseError:
    at = token_range(token)
    metric = next((term for term in (left, right) if term.sort is Sort.TAIL), None)
    hint = ""
    if metric is not None and Operator(token.value).is_arithmetic:
        hint = "put each metrics query in parentheses"
    message = f"unexpected {token} between {left.sort.value} and {right.sort.value}"
    return ParseError(message, at=at, hint=hint)


def second_term(top: TopK) -> Term:
    """Make the stage of ``topk`` or ``bottomk``."""
    return Term(Sort.TAIL, Tail(function=None, second=(top,)), 1, top.at)


def function_term(function: MetricsAggregate | Compare, depth: int) -> Term:
    """Make the stage of a metrics function."""
    return Term(Sort.TAIL, Tail(function=function, second=()), depth, function.at)

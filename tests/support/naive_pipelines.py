"""Spansets and pipelines over plain Python objects: structure by walking the tree, groups by dict.

Written from the TraceQL reference, 5.1 to 5.7; it shares nothing with the product but the syntax
tree. Where the reference leaves a choice open it is named at the function that makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from support.naive_numbers import NIL, NUMERIC, Value, calculate, wrap
from support.naive_spans import VALUELESS, SpanOf, TraceOf
from support.naive_texts import text_of
from support.naive_traceql import (
    compare_scalars,
    evaluate,
    first_seen,
    holds,
    literal_value,
)

from traceql import nodes


@dataclass(frozen=True)
class SpanSetOf:
    """Spans of one trace in stored order, and what ``by`` and aggregates said of them."""

    spans: tuple[SpanOf, ...]
    attributes: tuple[tuple[str, Value], ...] = ()


class SeveralSpansetsError(Exception):
    """A structural operator met more than one spanset."""


def run_pipeline(
    stages: Sequence[nodes.Stage], span_sets: list[SpanSetOf], trace: TraceOf
) -> list[SpanSetOf]:
    """Reference 5.1: each stage maps spansets to spansets, empty ones vanish."""
    for stage in stages:
        span_sets = [one for one in _run_stage(stage, span_sets, trace) if one.spans]
    return span_sets


def _run_stage(stage: nodes.Stage, span_sets: list[SpanSetOf], trace: TraceOf) -> list[SpanSetOf]:
    match stage:
        case nodes.Filter() | nodes.SpansetOperation():
            return [
                SpanSetOf(_in_order(_spans_of(stage, one, trace), trace), one.attributes)
                for one in span_sets
            ]
        case nodes.GroupBy():
            return [group for one in span_sets for group in _groups(stage, one, trace)]
        case nodes.Coalesce():
            spans = [span for one in span_sets for span in one.spans]
            return [SpanSetOf(_in_order(spans, trace))]
        case nodes.Select():
            return span_sets
    passed = [_pass(stage, one, trace) for one in span_sets]
    return [one for one in passed if one is not None]


def _in_order(spans: Sequence[SpanOf], trace: TraceOf) -> tuple[SpanOf, ...]:
    return tuple(span for span in trace.spans if span in spans)


# --- spansets ------------------------------------------------------------------------------------


def _spans_of(
    node: nodes.Filter | nodes.SpansetOperation | nodes.Pipeline,
    input_set: SpanSetOf,
    trace: TraceOf,
) -> list[SpanOf]:
    """Evaluate an operand on one spanset. Reference 5.2: groups made inside are flattened."""
    match node:
        case nodes.Filter():
            return [span for span in input_set.spans if holds(node.expression, span, trace)]
        case nodes.Pipeline():
            found = run_pipeline(node.stages, [SpanSetOf(input_set.spans)], trace)
            return [span for one in found for span in one.spans]
    symbol = node.operator.value
    if symbol not in ("&&", "||"):
        for side in (node.left, node.right):
            _require_one(side, input_set, trace)
    left = _spans_of(node.left, input_set, trace)
    right = _spans_of(node.right, input_set, trace)
    match symbol:
        case "&&":
            return left + right if left and right else []
        case "||":
            return left + right
    return _related(symbol, left, right)


def _require_one(
    side: nodes.Filter | nodes.SpansetOperation | nodes.Pipeline,
    input_set: SpanSetOf,
    trace: TraceOf,
) -> None:
    if isinstance(side, nodes.Pipeline):
        found = run_pipeline(side.stages, [SpanSetOf(input_set.spans)], trace)
        if len(found) > 1:
            raise SeveralSpansetsError


def _related(symbol: str, left: list[SpanOf], right: list[SpanOf]) -> list[SpanOf]:
    """Reference 5.3: the right ones that have a left one, that have none, or all pairs."""
    relation = symbol.lstrip("!&")
    pairs = [(one, other) for one in left for other in right if _is(one, relation, other)]
    if symbol.startswith("&"):
        return [span for pair in pairs for span in pair]
    related = [other for _, other in pairs]
    if symbol.startswith("!"):
        return [span for span in right if span not in related]
    return related


def _is(left: SpanOf, relation: str, right: SpanOf) -> bool:
    """Whether ``left`` is the parent, a child, … of ``right``, found by walking up the tree."""
    match relation:
        case ">":
            return right.parent is left
        case "<":
            return left.parent is right
        case ">>":
            return left in right.ancestors
        case "<<":
            return right in left.ancestors
    assert relation == "~"
    are_in_tree = left.is_in_tree and right.is_in_tree
    return are_in_tree and left is not right and left.parent is right.parent


# --- groups and aggregates -----------------------------------------------------------------------


def _groups(stage: nodes.GroupBy, span_set: SpanSetOf, trace: TraceOf) -> list[SpanSetOf]:
    """Reference 5.5, by first span. Choice: what is there without a value counts as nil."""
    groups: dict[Any, tuple[Value, list[SpanOf]]] = {}
    for span in span_set.spans:
        value = evaluate(stage.expression, first_seen(span, trace))
        value = NIL if value == VALUELESS else value
        groups.setdefault(_key(value), (value, []))[1].append(span)
    name = f"by({text_of(stage.expression)})"
    return [
        SpanSetOf(tuple(spans), (*span_set.attributes, (name, value)))
        for value, spans in groups.values()
    ]


def _key(value: Value) -> Any:
    """Make what tells values apart: NaN is one value, zero has no sign."""
    if value.type == "list":
        return tuple(_key(element) for element in value.value)
    if value.type == "float":
        return value.type, repr(value.value + 0.0)
    return value.type, value.value


def _pass(stage: nodes.ScalarFilter, span_set: SpanSetOf, trace: TraceOf) -> SpanSetOf | None:
    """Reference 5.6. Choice: of several aggregates each is told, in the order of the text."""
    told: list[tuple[str, Value]] = []
    left = _scalar(stage.left, span_set, trace, told)
    right = _scalar(stage.right, span_set, trace, told)
    if not compare_scalars(left, stage.operator.value, right):
        return None
    return SpanSetOf(span_set.spans, (*span_set.attributes, *told))


def _scalar(
    node: nodes.Scalar, span_set: SpanSetOf, trace: TraceOf, told: list[tuple[str, Value]]
) -> Value:
    match node:
        case nodes.Literal():
            return literal_value(node)
        case nodes.ScalarArithmetic():
            left = _scalar(node.left, span_set, trace, told)
            right = _scalar(node.right, span_set, trace, told)
            return calculate(left, node.operator.value, right)
        case nodes.ScalarPipe():
            found = run_pipeline(node.pipeline.stages, [SpanSetOf(span_set.spans)], trace)
            spans = [span for one in found for span in one.spans]
            value = _aggregate(node.aggregate, spans, trace)
        case nodes.Aggregate():
            value = _aggregate(node, list(span_set.spans), trace)
    told.append((text_of(node), value))
    return value


def _aggregate(node: nodes.Aggregate, spans: list[SpanOf], trace: TraceOf) -> Value:
    """Aggregate the numbers among the values; NIL if there are none."""
    if node.function is nodes.AggregateFunction.COUNT:
        return Value("int", len(spans))
    assert node.operand is not None
    values = [evaluate(node.operand, first_seen(span, trace)) for span in spans]
    values = [value for value in values if value.type in NUMERIC]
    if not values:
        return NIL
    match node.function:
        case nodes.AggregateFunction.MIN:
            return min(values, key=lambda value: value.value)
        case nodes.AggregateFunction.MAX:
            return max(values, key=lambda value: value.value)
    types = {value.type for value in values}
    total = sum(value.value for value in values)
    type_ = types.pop() if len(types) == 1 else "float"
    if node.function is nodes.AggregateFunction.SUM:
        return Value(type_, float(total) if type_ == "float" else wrap(total))
    if type_ == "duration":
        size = abs(total) // len(values)
        return Value(type_, size if total >= 0 else -size)
    return Value("float", total / len(values))

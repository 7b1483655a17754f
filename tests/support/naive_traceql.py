"""Expressions of ``{ … }`` over plain Python objects: the oracle of the query engine.

Written from the TraceQL reference (section 4); it takes the tree of the language and shares
nothing else with the product. ``naive_pipelines`` has spansets, ``naive_results`` the answer.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from support.naive_numbers import NIL, NUMERIC, Value, calculate, negated
from support.naive_spans import VALUELESS, EventOf, SpanOf, TraceOf, signed

from traceql import nodes
from traceql.attributes import Attribute, Field, Intrinsic, Scope

STATUSES = ["unset", "ok", "error"]
KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"]

TRUE = Value("bool", True)

EVENT_FIELDS = {Intrinsic.EVENT_NAME, Intrinsic.EVENT_TIME_SINCE_START}
LINK_FIELDS = {Intrinsic.LINK_TRACE_ID, Intrinsic.LINK_SPAN_ID}
IDS = {
    Intrinsic.TRACE_ID,
    Intrinsic.SPAN_ID,
    Intrinsic.PARENT_ID,
    Intrinsic.LINK_TRACE_ID,
    Intrinsic.LINK_SPAN_ID,
}


@dataclass(frozen=True)
class Seen:
    """What an expression is evaluated on: a span, and one of its events and of its links."""

    span: SpanOf
    trace: TraceOf
    event: EventOf | None
    link: EventOf | None


def first_seen(span: SpanOf, trace: TraceOf) -> Seen:
    """What stands for a span outside filters: its first event, its first link."""
    event = span.events[0] if span.events else None
    return Seen(span, trace, event, span.links[0] if span.links else None)


def is_of_event(field: Field) -> bool:
    """Whether events have it."""
    return field in EVENT_FIELDS or (isinstance(field, Attribute) and field.scope is Scope.EVENT)


def is_of_link(field: Field) -> bool:
    """Whether links have it."""
    return field in LINK_FIELDS or (isinstance(field, Attribute) and field.scope is Scope.LINK)


def matching(expression: nodes.FieldExpression, span: SpanOf, trace: TraceOf) -> Iterator[Seen]:
    """Yield what makes a filter true: the span with some event, some link. Reference 4.10."""
    fields = [field for field, _ in mentioned(expression)]
    events: list[Any] = span.events if any(map(is_of_event, fields)) else []
    links: list[Any] = span.links if any(map(is_of_link, fields)) else []
    for event in events or [None]:
        for link in links or [None]:
            seen = Seen(span, trace, event, link)
            if evaluate(expression, seen) == TRUE:
                yield seen


def holds(expression: nodes.FieldExpression, span: SpanOf, trace: TraceOf) -> bool:
    """Tell whether a filter keeps a span."""
    return next(matching(expression, span, trace), None) is not None


def mentioned(node: nodes.FieldExpression) -> list[tuple[Field, bool]]:
    """Collect the fields that an expression names, and whether it asks for ``= nil`` of them."""
    match node:
        case nodes.Reference():
            return [(node.field, False)]
        case nodes.Exists(nodes.Reference() as reference):
            return [(reference.field, node.negated)]
        case nodes.Unary() | nodes.Exists():
            return mentioned(node.operand)
        case nodes.Binary():
            return mentioned(node.left) + mentioned(node.right)
        case nodes.Logical():
            return [each for operand in node.operands for each in mentioned(operand)]
    return []


def look_up(field: Field, seen: Seen) -> Value:
    """Reference 4.3 and 4.4."""
    span, trace = seen.span, seen.trace
    if isinstance(field, Attribute):
        return _attribute(field, seen)
    if is_of_event(field) or is_of_link(field):
        return _of_event(field, seen)
    if field is Intrinsic.ANY:
        return Value("list", tuple(_strings(span)))
    message, place = span.message, span.place
    found: dict[Intrinsic, tuple[str, Any]] = {
        Intrinsic.NAME: ("string", message.name),
        Intrinsic.DURATION: ("duration", span.duration_ns),
        Intrinsic.STATUS: ("status", STATUSES[message.status.code]),
        Intrinsic.STATUS_MESSAGE: ("string", message.status.message),
        Intrinsic.KIND: ("kind", KINDS[message.kind]),
        Intrinsic.SPAN_ID: ("string", message.span_id.hex()),
        Intrinsic.PARENT_ID: ("string", message.parent_span_id.hex() or "0" * 16),
        Intrinsic.CHILD_COUNT: ("int", place.child_count),
        Intrinsic.NESTED_SET_LEFT: ("int", place.left),
        Intrinsic.NESTED_SET_RIGHT: ("int", place.right),
        Intrinsic.NESTED_SET_PARENT: ("int", place.parent),
        Intrinsic.TRACE_ID: ("string", trace.id.hex().lstrip("0")),
        Intrinsic.TRACE_DURATION: ("duration", signed(trace.end_ns - trace.start_ns)),
        Intrinsic.ROOT_NAME: ("string", trace.root.message.name if trace.root else ""),
        Intrinsic.ROOT_SERVICE_NAME: ("string", trace.root_service),
        Intrinsic.SCOPE_NAME: ("string", span.scope_name),
        Intrinsic.SCOPE_VERSION: ("string", span.scope_version),
    }
    return Value(*found[field])


def _of_event(field: Intrinsic, seen: Seen) -> Value:
    one = seen.event if field in EVENT_FIELDS else seen.link
    if one is None:
        return NIL
    match field:
        case Intrinsic.EVENT_NAME:
            return Value("string", one.message.name)
        case Intrinsic.EVENT_TIME_SINCE_START:
            return Value("duration", signed(one.message.time_unix_nano - seen.span.start_ns))
        case Intrinsic.LINK_TRACE_ID:
            return Value("string", one.message.trace_id.hex().lstrip("0"))
    return Value("string", one.message.span_id.hex())


def _attribute(field: Attribute, seen: Seen) -> Value:
    span: SpanOf | None = seen.span
    if field.scope in (Scope.EVENT, Scope.LINK):
        one = seen.event if field.scope is Scope.EVENT else seen.link
        return one.attributes.get(field.name, NIL) if one else NIL
    if field.of_parent:
        span = seen.span.parent
    if span is None:
        return NIL
    if field.scope is Scope.SPAN:
        return span.attributes.get(field.name, NIL)
    if field.scope is Scope.INSTRUMENTATION:
        return span.scope.get(field.name, NIL)
    if field.scope is Scope.NONE and field.name in span.attributes:
        return span.attributes[field.name]
    absent = Value("string", "") if field.name == "service.name" else NIL
    return span.resource.get(field.name, absent)


def _strings(span: SpanOf) -> Iterator[Value]:
    """What ``any`` looks at: the page of the language, "a text anywhere"."""
    yield Value("string", span.message.name)
    yield Value("string", span.message.status.message)
    levels = [span.attributes, span.resource, span.scope]
    levels += [one.attributes for one in (*span.events, *span.links)]
    for level in levels:
        for value in level.values():
            elements = value.value if value.type == "list" else [value]
            yield from (element for element in elements if element.type == "string")


def evaluate(node: nodes.FieldExpression, seen: Seen) -> Value:
    """Evaluate an expression on one span."""
    match node:
        case nodes.Literal():
            return literal_value(node)
        case nodes.Reference():
            return look_up(node.field, seen)
        case nodes.Unary():
            value = evaluate(node.operand, seen)
            if node.operator.value == "-":
                return negated(value)
            return Value("bool", not value.value) if value.type == "bool" else NIL
        case nodes.Logical():
            sides = (evaluate(operand, seen) == TRUE for operand in node.operands)
            return Value("bool", all(sides) if node.operator.value == "&&" else any(sides))
        case nodes.Exists():
            return Value("bool", _exists(node, seen))
    assert isinstance(node, nodes.Binary)
    left, right = evaluate(node.left, seen), evaluate(node.right, seen)
    symbol = node.operator.value
    if symbol in "+-*/%^":
        return calculate(left, symbol, right)
    return Value("bool", _compare(node, left, symbol, right))


def _exists(node: nodes.Exists, seen: Seen) -> bool:
    """Reference 4.6. What is absent of an event or link is asked of those that are there."""
    if isinstance(node.operand, nodes.Reference):
        field = node.operand.field
        if field is Intrinsic.PARENT:
            return (seen.span.parent is None) == node.negated
        if (is_of_event(field) and seen.event is None) or (is_of_link(field) and seen.link is None):
            return False
    value = evaluate(node.operand, seen)
    return value == NIL if node.negated else value not in (NIL, VALUELESS)


def literal_value(node: nodes.Literal) -> Value:
    """Turn a literal into a value."""
    kind = {"boolean": "bool"}.get(node.value.type.value, node.value.type.value)
    value = node.value.value
    return Value(kind, value.value if kind in ("status", "kind") else value)


_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _is_literal(node: nodes.FieldExpression) -> bool:
    if isinstance(node, nodes.Unary) and node.operator.value == "-":
        return _is_literal(node.operand)
    return isinstance(node, nodes.Literal)


def _is_generic(node: nodes.FieldExpression) -> bool:
    return isinstance(node, nodes.Reference) and isinstance(node.field, Attribute)


def _compare(node: nodes.Binary, left: Value, symbol: str, right: Value) -> bool:
    """Reference 4.5 and 4.9."""
    if left.type == "list" and right.type == "list":
        return False
    if right.type == "list" or (_is_literal(node.left) and not _is_literal(node.right)):
        mirrored = nodes.Binary(node.operator.mirror, node.right, node.left)
        return _compare(mirrored, right, _MIRRORED.get(symbol, symbol), left)
    strict = _is_generic(node.left) and _is_literal(node.right)
    is_id = any(
        isinstance(side, nodes.Reference) and side.field in IDS for side in (node.left, node.right)
    )
    elements = left.value if left.type == "list" else [left]
    held = [compare_scalars(e, symbol, right, strict=strict, is_id=is_id) for e in elements]
    if symbol in ("!=", "!~"):
        return all(held)
    return any(held)


def compare_scalars(
    left: Value, symbol: str, right: Value, *, strict: bool = False, is_id: bool = False
) -> bool:
    """Compare values of which none is a list."""
    numeric = {"int", "float"} if strict else NUMERIC
    if left.type in numeric and right.type in numeric:
        return _compare_numbers(left, symbol, right)
    if left.type != right.type or left.type in ("nil", "valueless", *NUMERIC):
        return False
    if symbol in ("=~", "!~"):
        return (re.fullmatch(right.value, left.value, re.S) is not None) == (symbol == "=~")
    if left.type == "string":
        if is_id and symbol in ("=", "!="):
            return _compare_ids(left.value, right.value) == (symbol == "=")
        return _COMPARE[symbol](left.value.encode(), right.value.encode())
    return symbol in ("=", "!=") and _COMPARE[symbol](left.value, right.value)


def _compare_numbers(left: Value, symbol: str, right: Value) -> bool:
    exact = left.type == right.type or symbol in ("=", "!=")
    if exact and "float" not in (left.type, right.type):
        return _COMPARE[symbol](left.value, right.value)
    return _COMPARE[symbol](float(left.value), float(right.value))


def _compare_ids(left: str, right: str) -> bool:
    if not all(re.fullmatch("[0-9a-fA-F]+", text) for text in (left, right)):
        return False
    return int(left, 16) == int(right, 16)

"""Search of ``{ … }`` over plain Python objects: the oracle of the query engine.

Written from the TraceQL reference (sections 4 and 5); it takes the tree of the language and shares
nothing else with the product.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.naive_nested import NaivePlace, NaiveSpan, arrange_trace
from support.naive_numbers import NIL, NUMERIC, Value, calculate, negated

from traceql import nodes
from traceql.attributes import Attribute, Field, Intrinsic, Scope
from tracestore.model.results import ServiceStats, SpanSet, SpanSummary, TraceSummary

U64 = 1 << 64
STATUSES = ["unset", "ok", "error"]
KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"]


VALUELESS = Value("valueless", None)
"""A key that is there without a value: neither nil nor not nil."""
TRUE, FALSE = Value("bool", True), Value("bool", False)


@dataclass
class SpanOf:
    """A span with what it belongs to."""

    message: Span
    attributes: dict[str, Value]
    resource: dict[str, Value]
    scope: dict[str, Value]
    scope_name: str
    scope_version: str
    arrival: int
    service: str
    """What ``rootServiceName`` is if this is the root: an array of one string does not count."""
    place: NaivePlace | None = None

    @property
    def start_ns(self) -> int:
        return self.message.start_time_unix_nano

    @property
    def duration_ns(self) -> int:
        return signed(self.message.end_time_unix_nano - self.message.start_time_unix_nano)


@dataclass
class TraceOf:
    """A whole trace, its spans in stored order."""

    id: bytes
    spans: list[SpanOf]

    @property
    def start_ns(self) -> int:
        return min(span.start_ns for span in self.spans)

    @property
    def end_ns(self) -> int:
        return max(span.message.end_time_unix_nano for span in self.spans)

    @property
    def root(self) -> SpanOf | None:
        roots = [span for span in self.spans if span.place.parent == -1]
        return roots[-1] if roots else None

    @property
    def root_service(self) -> str:
        if self.root is None:
            return ""
        return self.root.service


def signed(value: int) -> int:
    """Read a number as signed 64 bit."""
    value %= U64
    return value - U64 if value >= U64 // 2 else value


def stored(value: AnyValue) -> Value:
    """Reference 4.2."""
    member = value.WhichOneof("value")
    scalars = {
        "string_value": "string",
        "int_value": "int",
        "double_value": "float",
        "bool_value": "bool",
    }
    if member in scalars:
        return Value(scalars[member], getattr(value, member))
    if member == "array_value":
        elements = [stored(element) for element in value.array_value.values]
        types = {element.type for element in elements}
        if len(types) == 1 and types <= set(scalars.values()):
            return elements[0] if len(elements) == 1 else Value("list", tuple(elements))
    return VALUELESS


def attributes_of(pairs: Sequence[Any]) -> dict[str, Value]:
    """Of repeated keys the first counts."""
    found: dict[str, Value] = {}
    for pair in pairs:
        found.setdefault(pair.key, stored(pair.value) if pair.HasField("value") else VALUELESS)
    return found


def read_traces(requests: Sequence[bytes]) -> list[TraceOf]:
    """Put whole traces together; a span that comes twice counts once."""
    spans: dict[bytes, dict[tuple[bytes, int], SpanOf]] = {}
    arrival = 0
    for request in requests:
        for group in ExportTraceServiceRequest.FromString(request).resource_spans:
            resource = attributes_of(group.resource.attributes)
            named = [p.value for p in group.resource.attributes if p.key == "service.name"]
            service = named[0].string_value if named else ""
            for scoped in group.scope_spans:
                for message in scoped.spans:
                    arrival += 1
                    of_trace = spans.setdefault(message.trace_id, {})
                    of_trace.setdefault(
                        (message.span_id, message.kind),
                        SpanOf(
                            message,
                            attributes_of(message.attributes),
                            resource,
                            attributes_of(scoped.scope.attributes),
                            scoped.scope.name,
                            scoped.scope.version,
                            arrival,
                            service,
                        ),
                    )
    return [TraceOf(trace_id, _arranged(list(own.values()))) for trace_id, own in spans.items()]


def _arranged(spans: list[SpanOf]) -> list[SpanOf]:
    by_arrival = {span.arrival: span for span in spans}
    places = arrange_trace(
        [
            NaiveSpan(
                arrival=span.arrival,
                span_id=int.from_bytes(span.message.span_id, "big"),
                parent_id=int.from_bytes(span.message.parent_span_id, "big"),
                kind=span.message.kind,
                start_ns=span.start_ns,
            )
            for span in spans
        ]
    )
    for place in places:
        by_arrival[place.arrival].place = place
    return [by_arrival[place.arrival] for place in places]


# --- expressions -----------------------------------------------------------------------------


def look_up(field: Field, span: SpanOf, trace: TraceOf) -> Value:
    """Reference 4.3 and 4.4."""
    if isinstance(field, Attribute):
        return _attribute(field, span)
    message, place = span.message, span.place
    status = message.status.code
    found: dict[Intrinsic, tuple[str, Any]] = {
        Intrinsic.NAME: ("string", message.name),
        Intrinsic.DURATION: ("duration", span.duration_ns),
        Intrinsic.STATUS: ("status", STATUSES[status]),
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


def _attribute(field: Attribute, span: SpanOf) -> Value:
    if field.scope is Scope.SPAN:
        return span.attributes.get(field.name, NIL)
    if field.scope is Scope.INSTRUMENTATION:
        return span.scope.get(field.name, NIL)
    if field.scope is Scope.NONE and field.name in span.attributes:
        return span.attributes[field.name]
    absent = Value("string", "") if field.name == "service.name" else NIL
    return span.resource.get(field.name, absent)


def evaluate(node: nodes.FieldExpression, span: SpanOf, trace: TraceOf) -> Value:
    """Evaluate an expression on one span."""
    match node:
        case nodes.Literal():
            return literal_value(node)
        case nodes.Reference():
            return look_up(node.field, span, trace)
        case nodes.Unary():
            value = evaluate(node.operand, span, trace)
            if node.operator.value == "-":
                return negated(value)
            return Value("bool", not value.value) if value.type == "bool" else NIL
        case nodes.Logical():
            sides = (evaluate(operand, span, trace) == TRUE for operand in node.operands)
            return Value("bool", all(sides) if node.operator.value == "&&" else any(sides))
        case nodes.Exists():
            value = evaluate(node.operand, span, trace)
            if node.negated:
                return Value("bool", value == NIL)
            return Value("bool", value not in (NIL, VALUELESS))
    assert isinstance(node, nodes.Binary)
    left, right = evaluate(node.left, span, trace), evaluate(node.right, span, trace)
    symbol = node.operator.value
    if symbol in "+-*/%^":
        return calculate(left, symbol, right)
    return Value("bool", _compare(node, left, symbol, right))


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
        isinstance(side, nodes.Reference) and side.field in _IDS for side in (node.left, node.right)
    )
    elements = left.value if left.type == "list" else [left]
    held = [_compare_scalars(e, symbol, right, strict=strict, is_id=is_id) for e in elements]
    if symbol in ("!=", "!~"):
        return all(held)
    return any(held)


_IDS = {Intrinsic.TRACE_ID, Intrinsic.SPAN_ID, Intrinsic.PARENT_ID}


def _compare_scalars(left: Value, symbol: str, right: Value, *, strict: bool, is_id: bool) -> bool:
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


# --- results ---------------------------------------------------------------------------------

_SHOWN_ELSEWHERE = {
    Intrinsic.NAME,
    Intrinsic.DURATION,
    Intrinsic.TRACE_DURATION,
    Intrinsic.ROOT_NAME,
    Intrinsic.ROOT_SERVICE_NAME,
    Intrinsic.TRACE_ID,
    Intrinsic.SPAN_ID,
}


def search(
    traces: Sequence[TraceOf],
    expression: nodes.FieldExpression,
    *,
    limit: int,
    spans_per_span_set: int,
    window: tuple[int, int] | None,
) -> list[TraceSummary]:
    """Reference 5.8 to 5.10; ``window``: from, up to, not including."""
    found = []
    for trace in traces:
        if window and not (trace.start_ns < window[1] and trace.end_ns >= window[0]):
            continue
        matched = [span for span in trace.spans if evaluate(expression, span, trace) == TRUE]
        if matched:
            found.append(_summary(trace, matched, expression, spans_per_span_set))
    found.sort(key=lambda summary: (-summary.start_ns, summary.trace_id))
    return found[:limit]


def _summary(
    trace: TraceOf, matched: list[SpanOf], expression: nodes.FieldExpression, shown: int
) -> TraceSummary:
    first = sorted(matched, key=lambda span: span.start_ns)[:shown]
    spans = tuple(
        SpanSummary(
            span_id=span.message.span_id,
            name=span.message.name,
            start_ns=span.start_ns,
            duration_ns=span.duration_ns,
            attributes=tuple(_shown(expression, span, trace)),
        )
        for span in first
    )
    return TraceSummary(
        trace_id=trace.id,
        root_service_name=trace.root_service,
        root_name=trace.root.message.name if trace.root else "",
        start_ns=trace.start_ns,
        duration_ns=trace.end_ns - trace.start_ns,
        span_sets=(SpanSet(matched=len(matched), spans=spans),),
        service_stats=_services(trace),
    )


def _services(trace: TraceOf) -> dict[str, ServiceStats]:
    counts: dict[str, list[int]] = {}
    for span in trace.spans:
        service = span.resource.get("service.name", NIL)
        count = counts.setdefault(service.value if service.type == "string" else "", [0, 0])
        count[0] += 1
        count[1] += span.message.status.code == 2
    return {
        name: ServiceStats(spans=n, errors=errors) for name, (n, errors) in sorted(counts.items())
    }


def _shown(
    expression: nodes.FieldExpression, span: SpanOf, trace: TraceOf
) -> list[tuple[str, Any]]:
    """Reference 5.9: span, resource, scope, each by name; keys without their scope."""
    shown: set[tuple[int, str, Any]] = set()
    for field, asks_nil in _mentioned(expression):
        name = field.name if isinstance(field, Attribute) else field.value
        for level, side in _sides(field):
            value = look_up(side, span, trace)
            if value.type == "list":
                shown.add((level, name, tuple(element.value for element in value.value)))
            elif value not in (NIL, VALUELESS) and field not in _SHOWN_ELSEWHERE:
                shown.add((level, name, value.value))
        if asks_nil and look_up(field, span, trace) == NIL:
            shown.add((_sides(field)[0][0], name, "nil"))
    return [(name, value) for _, name, value in sorted(shown, key=lambda each: each[:2])]


def _sides(field: Field) -> list[tuple[int, Field]]:
    if isinstance(field, Intrinsic):
        scoped = (Intrinsic.SCOPE_NAME, Intrinsic.SCOPE_VERSION)
        return [(2 if field in scoped else 0, field)]
    if field.scope is Scope.NONE:
        return [(0, Attribute(Scope.SPAN, field.name)), (1, Attribute(Scope.RESOURCE, field.name))]
    return [([Scope.SPAN, Scope.RESOURCE, Scope.INSTRUMENTATION].index(field.scope), field)]


def _mentioned(node: nodes.FieldExpression) -> list[tuple[Field, bool]]:
    match node:
        case nodes.Reference():
            return [(node.field, False)]
        case nodes.Exists(nodes.Reference() as reference):
            return [(reference.field, node.negated)]
        case nodes.Unary() | nodes.Exists():
            return _mentioned(node.operand)
        case nodes.Binary():
            return _mentioned(node.left) + _mentioned(node.right)
        case nodes.Logical():
            return [each for operand in node.operands for each in _mentioned(operand)]
    return []

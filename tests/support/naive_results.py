"""What a search answers, over plain Python objects: the newest traces, their spansets, counts.

Written from the TraceQL reference, 5.8 to 5.10; of the product it uses the values of an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from support.naive_numbers import NIL, Value
from support.naive_pipelines import SpanSetOf, run_pipeline
from support.naive_spans import VALUELESS, SpanOf, TraceOf
from support.naive_texts import shown
from support.naive_traceql import (
    Seen,
    first_seen,
    is_of_event,
    is_of_link,
    look_up,
    matching,
    mentioned,
)

from traceql import nodes
from traceql.attributes import Attribute, Field, Intrinsic, Scope
from tracestore.model.results import ServiceStats, SpanSet, SpanSummary, TraceSummary

SHOWN_ELSEWHERE = {
    Intrinsic.NAME,
    Intrinsic.DURATION,
    Intrinsic.TRACE_DURATION,
    Intrinsic.ROOT_NAME,
    Intrinsic.ROOT_SERVICE_NAME,
    Intrinsic.TRACE_ID,
    Intrinsic.SPAN_ID,
}
LEVELS = [Scope.SPAN, Scope.RESOURCE, Scope.INSTRUMENTATION, Scope.EVENT, Scope.LINK]


def search(
    traces: Sequence[TraceOf],
    pipeline: nodes.Pipeline,
    *,
    limit: int,
    spans_per_span_set: int,
    window: tuple[int, int] | None,
) -> list[TraceSummary]:
    """Answer a search; ``window``: from, up to, not including."""
    found = []
    for trace in traces:
        if window and not (trace.start_ns < window[1] and trace.end_ns >= window[0]):
            continue
        span_sets = run_pipeline(pipeline.stages, [SpanSetOf(tuple(trace.spans))], trace)
        if span_sets:
            found.append(_summary(trace, span_sets, pipeline, spans_per_span_set))
    found.sort(key=lambda summary: (-summary.start_ns, summary.trace_id))
    return found[:limit]


def _summary(
    trace: TraceOf, span_sets: list[SpanSetOf], pipeline: nodes.Pipeline, count: int
) -> TraceSummary:
    return TraceSummary(
        trace_id=trace.id,
        root_service_name=trace.root_service,
        root_name=trace.root.message.name if trace.root else "",
        start_ns=trace.start_ns,
        duration_ns=trace.end_ns - trace.start_ns,
        span_sets=tuple(_span_set(one, trace, pipeline, count) for one in span_sets),
        service_stats=_services(trace),
    )


def _span_set(span_set: SpanSetOf, trace: TraceOf, pipeline: nodes.Pipeline, count: int) -> SpanSet:
    first = sorted(span_set.spans, key=lambda span: span.start_ns)[:count]
    return SpanSet(
        matched=len(span_set.spans),
        spans=tuple(
            SpanSummary(
                span_id=span.message.span_id,
                name=span.message.name,
                start_ns=span.start_ns,
                duration_ns=span.duration_ns,
                attributes=tuple(_attributes(pipeline, span, trace)),
            )
            for span in first
        ),
        attributes=tuple((name, shown(value)) for name, value in span_set.attributes),
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


# --- attributes of spans -------------------------------------------------------------------------


def expressions_of(node: Any) -> Iterator[nodes.FieldExpression]:
    """Yield the field expressions of a pipeline in the order of its text."""
    match node:
        case nodes.Pipeline():
            for stage in node.stages:
                yield from expressions_of(stage)
        case nodes.Filter() | nodes.GroupBy():
            yield node.expression
        case nodes.SpansetOperation() | nodes.ScalarFilter() | nodes.ScalarArithmetic():
            yield from expressions_of(node.left)
            yield from expressions_of(node.right)
        case nodes.ScalarPipe():
            yield from expressions_of(node.pipeline)
            yield from expressions_of(node.aggregate)
        case nodes.Aggregate(operand=operand) if operand is not None:
            yield operand
        case nodes.Select():
            yield from node.fields


def filters_of(node: Any) -> Iterator[nodes.Filter]:
    """Yield the filters of a pipeline in the order of its text."""
    match node:
        case nodes.Filter():
            yield node
        case nodes.Pipeline():
            for stage in node.stages:
                yield from filters_of(stage)
        case nodes.SpansetOperation() | nodes.ScalarFilter() | nodes.ScalarArithmetic():
            yield from filters_of(node.left)
            yield from filters_of(node.right)
        case nodes.ScalarPipe():
            yield from filters_of(node.pipeline)


def _attributes(pipeline: nodes.Pipeline, span: SpanOf, trace: TraceOf) -> list[tuple[str, Any]]:
    """Reference 5.9: span, resource, scope, event, link, each by name; keys without their scope."""
    seen = _witness(pipeline, span, trace)
    found: dict[tuple[int, str, Any], Any] = {}
    for expression in expressions_of(pipeline):
        for field, asks_nil in mentioned(expression):
            name = field.name if isinstance(field, Attribute) else field.value
            for level, side in _sides(field):
                value = _value_of(side, seen)
                if value not in (NIL, VALUELESS):
                    found[level, name, side] = shown(value)
            if asks_nil and _is_nil(field, seen):
                found[_sides(field)[0][0], name, "nil"] = "nil"
    return [(key[1], found[key]) for key in sorted(found, key=lambda key: key[:2])]


def _value_of(field: Field, seen: Seen) -> Value:
    if field in SHOWN_ELSEWHERE or field in (Intrinsic.PARENT, Intrinsic.ANY):
        return NIL
    return look_up(field, seen)


def _is_nil(field: Field, seen: Seen) -> bool:
    if is_of_event(field) and seen.event is None:
        return False
    if is_of_link(field) and seen.link is None:
        return False
    if field is Intrinsic.PARENT:
        return seen.span.parent is None
    return look_up(field, seen) == NIL


def _witness(pipeline: nodes.Pipeline, span: SpanOf, trace: TraceOf) -> Seen:
    """Find the event and the link to show: of the first filter that they made true, or the first.

    Choice: the filters are asked in the order of the text, each for itself.
    """
    event, link = first_seen(span, trace).event, first_seen(span, trace).link
    has_event = has_link = False
    for one in filters_of(pipeline):
        fields = [field for field, _ in mentioned(one.expression)]
        seen = next(matching(one.expression, span, trace), None)
        if seen and not has_event and any(map(is_of_event, fields)):
            event, has_event = seen.event, True
        if seen and not has_link and any(map(is_of_link, fields)):
            link, has_link = seen.link, True
    return Seen(span, trace, event, link)


def _sides(field: Field) -> list[tuple[int, Field]]:
    if isinstance(field, Intrinsic):
        return [(LEVELS.index(_level_of(field)), field)]
    if field.scope is Scope.NONE:
        both = (Scope.SPAN, Scope.RESOURCE)
        return [
            (level, Attribute(scope, field.name, field.of_parent))
            for level, scope in enumerate(both)
        ]
    return [(LEVELS.index(field.scope), field)]


def _level_of(field: Intrinsic) -> Scope:
    if field in (Intrinsic.SCOPE_NAME, Intrinsic.SCOPE_VERSION):
        return Scope.INSTRUMENTATION
    if is_of_event(field):
        return Scope.EVENT
    return Scope.LINK if is_of_link(field) else Scope.SPAN

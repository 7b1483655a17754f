"""Names and values over plain Python objects: the oracle of autocomplete.

Written from the TraceQL reference, section 7; of the product it takes the tree of the language.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence

from support.naive_numbers import Value
from support.naive_spans import VALUELESS, SpanOf, TraceOf
from support.naive_traceql import Seen, holds, literal_value, look_up

from traceql import nodes
from traceql.attributes import Attribute, Field, Intrinsic, Scope
from traceql.operators import Operator

Counts = Counter[tuple[str, str]]
SCOPES = ("resource", "span", "event", "link", "instrumentation")
SCALARS = {"string", "int", "float", "bool"}


def kept_spans(
    traces: Sequence[TraceOf], filter: nodes.FieldExpression | None
) -> list[tuple[TraceOf, SpanOf]]:
    """Take the spans that a filter keeps."""
    return [
        (trace, span)
        for trace in traces
        for span in trace.spans
        if filter is None or holds(filter, span, trace)
    ]


def names(traces: Sequence[TraceOf], filter: nodes.FieldExpression | None) -> dict[str, list[str]]:
    """List the keys by scope, those without a value too."""
    found: dict[str, set[str]] = {scope: set() for scope in SCOPES}
    for _, span in kept_spans(traces, filter):
        found["resource"].update(span.resource)
        found["span"].update(span.attributes)
        found["instrumentation"].update(span.scope)
        for scope, owned in (("event", span.events), ("link", span.links)):
            for one in owned:
                found[scope].update(one.attributes)
    return {scope: sorted(keys) for scope, keys in found.items() if keys}


def values(traces: Sequence[TraceOf], tag: Field, filter: nodes.FieldExpression | None) -> Counts:
    """Count the values of a tag."""
    counts: Counts = Counter()
    if filter is not None:
        rest = []
        for alternative in alternatives(filter):
            demanded = next(demands(alternative, tag), None)
            if demanded is None:
                rest.append(alternative)
            elif _is_unicode(demanded):
                counts[shown(demanded)] = 1
        if not rest:
            return counts
        kept = {id(span): (trace, span) for one in rest for trace, span in kept_spans(traces, one)}
        spans = list(kept.values())
    else:
        spans = kept_spans(traces, None)
    is_trace_level = tag in (Intrinsic.ROOT_NAME, Intrinsic.ROOT_SERVICE_NAME)
    if is_trace_level:
        spans = list({trace.id: (trace, span) for trace, span in spans}.values())
    for trace, span in spans:
        for value in values_of_span(trace, span, tag, is_filtered=filter is not None):
            elements = value.value if value.type == "list" else [value]
            counts.update(shown(element) for element in elements if element.type in SCALARS)
    return counts


def values_of_span(
    trace: TraceOf, span: SpanOf, tag: Field, *, is_filtered: bool
) -> Iterator[Value]:
    """Yield what a span has under a tag, on every level that counts."""
    if isinstance(tag, Attribute) and tag.of_parent and is_filtered:
        yield look_up(tag, Seen(span, trace, None, None))
        return
    if isinstance(tag, Attribute):
        of_span = {Scope.SPAN: span.attributes, Scope.RESOURCE: span.resource}
        if tag.scope in of_span:
            yield of_span[tag.scope].get(tag.name, VALUELESS)
        elif tag.scope is Scope.INSTRUMENTATION:
            yield span.scope.get(tag.name, VALUELESS)
        elif tag.scope is Scope.NONE:
            levels = [span.attributes, span.resource]
            if not (is_filtered or tag.of_parent):
                levels.append(span.scope)
            yield from (level.get(tag.name, VALUELESS) for level in levels)
        else:
            owned = span.events if tag.scope is Scope.EVENT else span.links
            yield from (one.attributes.get(tag.name, VALUELESS) for one in owned)
    elif tag is Intrinsic.EVENT_NAME:
        yield from (Value("string", one.message.name) for one in span.events)
    else:
        yield look_up(tag, Seen(span, trace, None, None))


def alternatives(node: nodes.FieldExpression) -> Iterator[nodes.FieldExpression]:
    """Move ``||`` outwards."""
    if not isinstance(node, nodes.Logical):
        yield node
    elif node.operator is Operator.OR:
        yield from itertools.chain.from_iterable(map(alternatives, node.operands))
    else:
        for parts in itertools.product(*map(alternatives, node.operands)):
            yield nodes.Logical(Operator.AND, parts)


def demands(alternative: nodes.FieldExpression, tag: Field) -> Iterator[Value]:
    """Yield the values that an alternative demands of the tag."""
    if isinstance(alternative, nodes.Logical) and alternative.operator is Operator.AND:
        for operand in alternative.operands:
            yield from demands(operand, tag)
    if not isinstance(alternative, nodes.Binary) or alternative.operator is not Operator.EQ:
        return
    sides = [alternative.left, alternative.right]
    for one, other in (sides, sides[::-1]):
        if isinstance(one, nodes.Reference) and isinstance(other, nodes.Literal):
            value = literal_value(other)
            if one.field == tag and value.type in SCALARS:
                yield value


def shown(value: Value) -> tuple[str, str]:
    """Write a value with its type. Reference 4.1."""
    if value.type == "bool":
        return "bool", str(value.value).lower()
    if value.type != "float":
        return value.type, str(value.value)
    number = value.value + 0.0
    if math.isnan(number) or math.isinf(number):
        return "float", "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
    text = repr(number)
    return "float", text if "e" in text or "." in text else f"{text}.0"


def ranked(counts: Counts) -> list[tuple[str, str]]:
    """Put the most frequent first, ties by type and bytes of the text."""
    return sorted(counts, key=lambda one: (-counts[one], one[0], one[1].encode()))


def _is_unicode(value: Value) -> bool:
    return value.type != "string" or not any("\ud800" <= c <= "\udfff" for c in value.value)

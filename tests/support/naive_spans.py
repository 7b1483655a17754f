"""Traces as plain Python objects, put together from OTLP requests: what the naive evaluator sees.

Written from the TraceQL reference (4.2, 4.3, 5.4); it shares nothing with the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.naive_nested import NaivePlace, NaiveSpan, arrange_trace
from support.naive_numbers import Value

KIND_SERVER, KIND_CLIENT = 2, 3

VALUELESS = Value("valueless", None)
"""A key that is there without a value: neither nil nor not nil."""


@dataclass
class EventOf:
    """An event or a link with its attributes."""

    message: Any
    attributes: dict[str, Value]


@dataclass(eq=False)
class SpanOf:
    """A span with what it belongs to. Spans are equal only if they are the same."""

    message: Span
    attributes: dict[str, Value]
    resource: dict[str, Value]
    scope: dict[str, Value]
    scope_name: str
    scope_version: str
    arrival: int
    service: str
    """What ``rootServiceName`` is if this is the root: an array of one string does not count."""
    events: list[EventOf]
    links: list[EventOf]
    place: NaivePlace | None = None
    parent: SpanOf | None = field(default=None, repr=False)
    """The parent in the tree; None too where the span is not in the tree."""
    is_in_tree: bool = False

    @property
    def start_ns(self) -> int:
        return self.message.start_time_unix_nano

    @property
    def duration_ns(self) -> int:
        return signed(self.message.end_time_unix_nano - self.message.start_time_unix_nano)

    @property
    def is_root(self) -> bool:
        return not any(self.message.parent_span_id)

    @property
    def is_child_by_link(self) -> bool:
        """Whether a link into its own trace says that it does not name the trace."""
        return any(
            pair.key == "opentracing.ref_type" and pair.value.string_value == "child_of"
            for link in self.links
            if link.message.trace_id == self.message.trace_id
            for pair in link.message.attributes
        )

    @property
    def ancestors(self) -> list[SpanOf]:
        """From the parent up to the root."""
        found: list[SpanOf] = []
        above = self.parent
        while above is not None:
            found.append(above)
            above = above.parent
        return found


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
        roots = [span for span in self.spans if span.is_root and not span.is_child_by_link]
        return roots[-1] if roots else None

    @property
    def root_service(self) -> str:
        return self.root.service if self.root else ""


def signed(value: int) -> int:
    """Read a number as signed 64 bit."""
    value %= 1 << 64
    return value - (1 << 64) if value >= 1 << 63 else value


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
                            [EventOf(one, attributes_of(one.attributes)) for one in message.events],
                            [EventOf(one, attributes_of(one.attributes)) for one in message.links],
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
    _grow_tree(spans)
    return [by_arrival[place.arrival] for place in places]


def _grow_tree(spans: list[SpanOf]) -> None:
    """Link the spans that a root reaches to their parents. Source: reference 5.4."""
    children: dict[int, list[SpanOf]] = {}
    for span in spans:
        if not span.is_root and (parent := _resolve_parent(span, spans)):
            children.setdefault(parent.arrival, []).append(span)
    reached = [span for span in spans if span.is_root]
    for span in reached:
        span.is_in_tree = True
        for child in children.get(span.arrival, []):
            child.parent = span
            reached.append(child)


def _resolve_parent(span: SpanOf, spans: list[SpanOf]) -> SpanOf | None:
    """Find the parent; an ID of three spans is nobody's parent (Q39)."""
    named = [one for one in spans if one.message.span_id == span.message.parent_span_id]
    if len(named) == 2:
        wanted = KIND_CLIENT if span.message.kind == KIND_SERVER else KIND_SERVER
        named = [one for one in named if one.message.kind == wanted]
    return named[0] if len(named) == 1 else None

"""A terse builder of OTLP trace requests for tests.

``request(resource={"service.name": "shop"}, spans=[span(trace=1, id=2, name="GET /")])`` is bytes
ready to be sent. IDs are small integers or bytes; times are milliseconds after ``EPOCH_NS``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

EPOCH_NS = 1_700_000_040_000_000_000
"""Zero of ``start_ms`` and its kin: 2023-11-14 22:14:00 UTC."""

KINDS = {
    "unspecified": 0,
    "internal": 1,
    "server": 2,
    "client": 3,
    "producer": 4,
    "consumer": 5,
}
STATUSES = {"unset": 0, "ok": 1, "error": 2}

Attributes = Mapping[str, Any] | Iterable[tuple[str, Any]]
"""Keys and Python values, as pairs where keys repeat. Values may be AnyValues; None: no value."""


def trace_id(number: int | bytes) -> bytes:
    """Make a trace ID; an integer is its big-endian value."""
    return number if isinstance(number, bytes) else number.to_bytes(16, "big")


def span_id(number: int | bytes) -> bytes:
    """Make a span ID; an integer is its big-endian value."""
    return number if isinstance(number, bytes) else number.to_bytes(8, "big")


def any_value(value: Any) -> AnyValue:
    """Turn a Python value into an AnyValue: mappings are kvlists, lists and tuples arrays."""
    match value:
        case AnyValue():
            return value
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case Mapping():
            return AnyValue(kvlist_value=KeyValueList(values=key_values(value)))
        case list() | tuple():
            return AnyValue(array_value=ArrayValue(values=[any_value(v) for v in value]))
    raise TypeError(f"no AnyValue of {value!r}")


def key_values(attributes: Attributes) -> list[KeyValue]:
    """Make the KeyValues of attributes, in order."""
    pairs = attributes.items() if isinstance(attributes, Mapping) else attributes
    return [
        KeyValue(key=key) if value is None else KeyValue(key=key, value=any_value(value))
        for key, value in pairs
    ]


def event(
    name: str, *, at_ms: float = 0, attributes: Attributes = (), dropped_attributes_count: int = 0
) -> Span.Event:
    """Make an event at ``at_ms`` after ``EPOCH_NS``."""
    return Span.Event(
        name=name,
        time_unix_nano=EPOCH_NS + round(at_ms * 1e6),
        attributes=key_values(attributes),
        dropped_attributes_count=dropped_attributes_count,
    )


def link(
    trace: int | bytes, id: int | bytes, *, attributes: Attributes = (), trace_state: str = ""
) -> Span.Link:
    """Make a link to a span."""
    return Span.Link(
        trace_id=trace_id(trace),
        span_id=span_id(id),
        attributes=key_values(attributes),
        trace_state=trace_state,
    )


def span(
    *,
    trace: int | bytes,
    id: int | bytes,
    parent: int | bytes | None = None,
    name: str = "",
    start_ms: float = 0,
    duration_ms: float = 1,
    kind: str | int = "internal",
    status: str | int | None = None,
    status_message: str = "",
    attributes: Attributes = (),
    events: Sequence[Span.Event] = (),
    links: Sequence[Span.Link] = (),
    **fields: Any,
) -> Span:
    """Make a span.

    Args:
        parent: None: none is sent.
        status: None: no status message is sent (unless it has a ``status_message``).
        fields: further fields of the message: ``trace_state``, ``flags``, the dropped counts.
    """
    start_ns = EPOCH_NS + round(start_ms * 1e6)
    made = Span(
        trace_id=trace_id(trace),
        span_id=span_id(id),
        parent_span_id=b"" if parent is None else span_id(parent),
        name=name,
        kind=KINDS[kind] if isinstance(kind, str) else kind,  # type: ignore[arg-type]  # unknown ones
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + round(duration_ms * 1e6),
        attributes=key_values(attributes),
        events=events,
        links=links,
        **fields,
    )
    if status is not None or status_message:
        code = STATUSES[status or "unset"] if not isinstance(status, int) else status
        made.status.CopyFrom(Status(code=code, message=status_message))  # type: ignore[arg-type]
    return made


def scope_spans(
    spans: Iterable[Span],
    *,
    scope: str | InstrumentationScope | None = "test",
    version: str = "",
    attributes: Attributes = (),
    schema_url: str = "",
) -> ScopeSpans:
    """Group spans under an instrumentation scope; None: no scope message is sent."""
    made = ScopeSpans(spans=spans, schema_url=schema_url)
    if isinstance(scope, str):
        scope = InstrumentationScope(name=scope, version=version, attributes=key_values(attributes))
    if scope is not None:
        made.scope.CopyFrom(scope)
    return made


def resource_spans(
    groups: Iterable[ScopeSpans],
    *,
    resource: Attributes | Resource | None = (),
    schema_url: str = "",
) -> ResourceSpans:
    """Group scopes under a resource; None: no resource message is sent."""
    made = ResourceSpans(scope_spans=groups, schema_url=schema_url)
    if resource is not None:
        if not isinstance(resource, Resource):
            resource = Resource(attributes=key_values(resource))
        made.resource.CopyFrom(resource)
    return made


def request_of(groups: Iterable[ResourceSpans]) -> bytes:
    """Serialize a request of several resources."""
    return ExportTraceServiceRequest(resource_spans=groups).SerializeToString()


def request(
    *,
    spans: Iterable[Span],
    resource: Attributes | Resource | None = (),
    scope: str | InstrumentationScope | None = "test",
    scope_version: str = "",
    scope_attributes: Attributes = (),
) -> bytes:
    """Serialize a request of spans of one resource and one scope."""
    group = scope_spans(spans, scope=scope, version=scope_version, attributes=scope_attributes)
    return request_of([resource_spans([group], resource=resource)])

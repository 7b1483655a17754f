"""A trace as OTLP bytes -> the bodies that the trace-by-ID routes answer with.

This is the one place with a Python object per span: a person asked for this trace. JSON follows the
protobuf mapping with defaults left out: 64-bit numbers are texts, IDs are base64, enums are names.
Grafana reads through ``resource``, ``scope`` and ``status`` without looking, so they are always
there. Source: wire contract, sections 3.2, 7.2-7.5.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.trace.v1 import trace_pb2

from tracestore.codec.trace_prune import spans_of
from tracestore.codec.wire import encode_bytes, encode_number, encode_text

_KIND = {number: name for name, number in trace_pb2.Span.SpanKind.items()}
_STATUS_CODE = {number: name for name, number in trace_pb2.Status.StatusCode.items()}
_ID_MASK = (1 << 64) - 1

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceAnswer:
    """A trace and what the second version of the route says about it."""

    trace: trace_pb2.TracesData
    inspected_bytes: int = 0
    partial: bool = False
    message: str = ""


def parse_trace(content: bytes) -> trace_pb2.TracesData:
    """Read a trace, put in the submessages that readers rely on, and repair shared span IDs."""
    trace = trace_pb2.TracesData()
    trace.ParseFromString(content)
    for resource_spans in trace.resource_spans:
        resource_spans.resource.SetInParent()
        for scope_spans in resource_spans.scope_spans:
            scope_spans.scope.SetInParent()
            for span in scope_spans.spans:
                span.status.SetInParent()
    repair_shared_ids(trace)
    return trace


def empty_trace() -> trace_pb2.TracesData:
    """Make the trace that nobody sent."""
    return trace_pb2.TracesData()


def keep_first_bytes(trace: trace_pb2.TracesData, bytes_max: int) -> None:
    """Drop spans from the end, in place, until the rest has about ``bytes_max`` bytes."""
    room = bytes_max
    for resource_spans in trace.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            kept = 0
            for span in scope_spans.spans:
                room -= span.ByteSize()
                if room < 0:
                    break
                kept += 1
            del scope_spans.spans[kept:]
        scopes = [index for index, s in enumerate(resource_spans.scope_spans) if not s.spans]
        for index in reversed(scopes):
            del resource_spans.scope_spans[index]
    empty = [index for index, r in enumerate(trace.resource_spans) if not r.scope_spans]
    for index in reversed(empty):
        del trace.resource_spans[index]


def render_v1_protobuf(trace: trace_pb2.TracesData) -> bytes:
    """Write ``tempopb.Trace``, which is TracesData on the wire."""
    content: bytes = trace.SerializeToString()
    return content


def render_v1_json(trace: trace_pb2.TracesData) -> bytes:
    """Write the first version's JSON, whose top-level key is ``batches``."""
    return _dump({"batches": trace_json(trace)} if trace.resource_spans else {})


def render_v2_protobuf(answer: TraceAnswer) -> bytes:
    """Write ``tempopb.TraceByIDResponse``; ``trace`` and ``metrics`` are there even when empty."""
    metrics = encode_number(1, answer.inspected_bytes)
    content = encode_bytes(1, answer.trace.SerializeToString()) + encode_bytes(2, metrics)
    return content + encode_number(3, int(answer.partial)) + encode_text(4, answer.message)


def render_v2_json(answer: TraceAnswer) -> bytes:
    """Write the second version's JSON."""
    resource_spans = trace_json(answer.trace)
    body: Json = {
        "trace": {"resourceSpans": resource_spans} if resource_spans else {},
        "metrics": _with({}, inspectedBytes=_text(answer.inspected_bytes)),
    }
    return _dump(_with(body, status="PARTIAL" if answer.partial else "", message=answer.message))


def repair_shared_ids(trace: trace_pb2.TracesData) -> None:
    """Give a server span that shares its ID with a client span (Zipkin) an ID of its own, in place.

    The server span becomes a child of the client span, and takes the children over.
    """
    spans = list(spans_of(trace))
    clients = {span.span_id for span in spans if span.kind == trace_pb2.Span.SPAN_KIND_CLIENT}
    shared = [
        span
        for span in spans
        if span.kind == trace_pb2.Span.SPAN_KIND_SERVER and span.span_id in clients
    ]
    if not shared:
        return
    taken = {span.span_id for span in spans}
    new_ids: dict[bytes, bytes] = {}
    for server in shared:
        old = server.span_id
        new_ids[old] = new_ids.get(old) or _free_id(old, taken)
        taken.add(new_ids[old])
    servers = {id(span) for span in shared}
    for span in spans:
        if id(span) in servers:
            span.parent_span_id, span.span_id = span.span_id, new_ids[span.span_id]
        elif span.parent_span_id in new_ids:
            span.parent_span_id = new_ids[span.parent_span_id]


def _free_id(old: bytes, taken: set[bytes]) -> bytes:
    """Find an ID near ``old`` that no span has; always the same one for the same trace."""
    number = int.from_bytes(old)
    while True:
        number = number + 1 & _ID_MASK
        candidate = number.to_bytes(8)
        if number and candidate not in taken:
            return candidate


def trace_json(trace: trace_pb2.TracesData) -> list[Json]:
    """Make the JSON values of the groups by resource."""
    return [_resource_spans_json(r) for r in trace.resource_spans]


def _resource_spans_json(resource_spans: trace_pb2.ResourceSpans) -> Json:
    resource = resource_spans.resource
    body: Json = {
        "resource": _with(
            {},
            attributes=_attributes_json(resource.attributes),
            droppedAttributesCount=resource.dropped_attributes_count,
            entityRefs=[
                _with(
                    {},
                    schemaUrl=ref.schema_url,
                    type=ref.type,
                    idKeys=list(ref.id_keys),
                    descriptionKeys=list(ref.description_keys),
                )
                for ref in resource.entity_refs
            ],
        )
    }
    return _with(
        body,
        scopeSpans=[_scope_spans_json(s) for s in resource_spans.scope_spans],
        schemaUrl=resource_spans.schema_url,
    )


def _scope_spans_json(scope_spans: trace_pb2.ScopeSpans) -> Json:
    scope = scope_spans.scope
    body: Json = {
        "scope": _with(
            {},
            name=scope.name,
            version=scope.version,
            attributes=_attributes_json(scope.attributes),
            droppedAttributesCount=scope.dropped_attributes_count,
        )
    }
    return _with(
        body,
        spans=[_span_json(span) for span in scope_spans.spans],
        schemaUrl=scope_spans.schema_url,
    )


def _span_json(span: trace_pb2.Span) -> Json:
    status = span.status
    body = _with(
        {},
        traceId=_base64(span.trace_id),
        spanId=_base64(span.span_id),
        traceState=span.trace_state,
        parentSpanId=_base64(span.parent_span_id),
        flags=span.flags,
        name=span.name,
        kind=span.kind and _KIND.get(span.kind, span.kind),
        startTimeUnixNano=_text(span.start_time_unix_nano),
        endTimeUnixNano=_text(span.end_time_unix_nano),
        attributes=_attributes_json(span.attributes),
        droppedAttributesCount=span.dropped_attributes_count,
        events=[_event_json(event) for event in span.events],
        droppedEventsCount=span.dropped_events_count,
        links=[_link_json(link) for link in span.links],
        droppedLinksCount=span.dropped_links_count,
    )
    code = status.code and _STATUS_CODE.get(status.code, status.code)
    body["status"] = _with({}, message=status.message, code=code)
    return body


def _event_json(event: trace_pb2.Span.Event) -> Json:
    return _with(
        {},
        timeUnixNano=_text(event.time_unix_nano),
        name=event.name,
        attributes=_attributes_json(event.attributes),
        droppedAttributesCount=event.dropped_attributes_count,
    )


def _link_json(link: trace_pb2.Span.Link) -> Json:
    return _with(
        {},
        traceId=_base64(link.trace_id),
        spanId=_base64(link.span_id),
        traceState=link.trace_state,
        attributes=_attributes_json(link.attributes),
        droppedAttributesCount=link.dropped_attributes_count,
        flags=link.flags,
    )


def _attributes_json(attributes: Any) -> list[Json]:
    """Write a repeated KeyValue; a KeyValue without a value keeps none."""
    rendered = []
    for attribute in attributes:
        body = _with({}, key=attribute.key)
        if attribute.HasField("value"):
            body["value"] = _value_json(attribute.value)
        rendered.append(_with(body, keyStrindex=getattr(attribute, "key_strindex", 0)))
    return rendered


def _value_json(value: Any) -> Json:
    """Write an AnyValue: a member of a oneof is written even when it is zero."""
    member = value.WhichOneof("value")
    if member is None:
        return {}
    content = getattr(value, member)
    if member == "string_value":
        return {"stringValue": content}
    if member == "int_value":
        return {"intValue": str(content)}
    if member == "double_value":
        return {"doubleValue": _double_json(content)}
    if member == "bool_value":
        return {"boolValue": content}
    if member == "bytes_value":
        return {"bytesValue": _base64(content)}
    if member == "array_value":
        return {"arrayValue": _with({}, values=[_value_json(v) for v in content.values])}
    if member == "kvlist_value":
        return {"kvlistValue": _with({}, values=_attributes_json(content.values))}
    return {"stringValueStrindex": content}


def _double_json(value: float) -> float | int | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    whole = value.is_integer() and abs(value) < 1e15 and math.copysign(1.0, value) > 0
    return int(value) if whole else value


def _with(body: Json, **members: Any) -> Json:
    """Add the members that are not zero."""
    for name, value in members.items():
        if value:
            body[name] = value
    return body


def _text(number: int) -> str:
    return str(number) if number else ""


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _dump(body: Json) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()

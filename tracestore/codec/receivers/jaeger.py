"""Jaeger spans -> ExportTraceServiceRequest bytes, whichever way they came in.

The translation is the Collector's. It differs in little: the text ``true`` in an ``error`` tag is
an error too, a kind that is none stays a tag, and a parent that stands in the references alone is
found. Python per span; meant for a pool.

Source: Jaeger's jaeger.thrift and model.proto; Collector, pkg/translator/jaeger; wire contract,
section 6.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from opentelemetry.proto.trace.v1 import trace_pb2

from tracestore.codec.receivers.requests import (
    NO_SCOPE,
    SPAN_KINDS,
    RequestWriter,
    Resource,
    Scope,
    Value,
    add_attributes,
    status_code,
)
from tracestore.errors import InvalidRequestError

Tags = Sequence[tuple[str, Value]]
CHILD_OF, FOLLOWS_FROM = 0, 1
NO_ID = bytes(8)

_NANOSECONDS_MAX = (1 << 63) - 1
_NO_SERVICE = "OTLPResourceNoServiceName"
_REFERENCE_TYPES = {CHILD_OF: "child_of", FOLLOWS_FROM: "follows_from"}


class Process(NamedTuple):
    """Who made spans."""

    service_name: str
    tags: Tags


class Reference(NamedTuple):
    """A span that another one refers to."""

    type: int
    trace_id: bytes
    span_id: bytes


class Log(NamedTuple):
    """Something that happened during a span."""

    time_ns: int
    fields: Tags


class JaegerSpan(NamedTuple):
    """A span as Jaeger has it, with IDs of full length and times in nanoseconds."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    """Zero if it has none, or if only the references tell."""
    name: str
    start_ns: int
    duration_ns: int
    references: Sequence[Reference]
    tags: Tags
    logs: Sequence[Log]
    process: Process | None


def translate_spans(spans: Iterable[JaegerSpan]) -> bytes:
    """Turn spans into a request. Raises: InvalidRequestError with the number of the bad span."""
    writer = RequestWriter()
    process: Process | None = None
    resource: Resource = ()
    for number, span in enumerate(spans):
        try:
            if span.process is not process:  # nearly always one for the whole batch
                process = span.process
                resource = _make_resource(process)
            _add(writer, span, resource)
        except ValueError as error:  # ours, and what protobuf says of numbers and texts
            raise InvalidRequestError(f"jaeger span {number}: {error}") from error
    return writer.finish()


def _make_resource(process: Process | None) -> Resource:
    if process is None or process.service_name == _NO_SERVICE:
        return ()
    attributes: dict[str, Value] = {}
    if process.service_name:
        attributes["service.name"] = process.service_name
    attributes |= process.tags
    if "hostname" in attributes and "host.name" not in attributes:
        attributes["host.name"] = attributes.pop("hostname")
    if "jaeger.version" in attributes and "opencensus.exporterversion" not in attributes:
        version = str(attributes.pop("jaeger.version"))
        attributes["opencensus.exporterversion"] = f"Jaeger-{version}"
    return tuple(attributes.items())


def _add(writer: RequestWriter, span: JaegerSpan, resource: Resource) -> None:
    tags: dict[str, Value] = dict(span.tags)
    target = writer.add_span(resource, _take_scope(tags))
    if not any(span.trace_id):
        raise ValueError("trace id is zero")
    if span.span_id == NO_ID:
        raise ValueError("span id is zero")
    target.trace_id, target.span_id, target.name = span.trace_id, span.span_id, span.name
    parent = _parent(span)
    if parent != NO_ID:
        target.parent_span_id = parent
    target.start_time_unix_nano = check_time(span.start_ns, "start time")
    target.end_time_unix_nano = check_time(span.start_ns + span.duration_ns, "end time")
    kind = SPAN_KINDS.get(str(tags.get("span.kind", "")).lower())
    if kind is not None:
        del tags["span.kind"]
        target.kind = kind
    _take_status(tags, target)
    if "w3c.tracestate" in tags:
        target.trace_state = str(tags.pop("w3c.tracestate"))
    add_attributes(target.attributes, tags.items())
    for log in span.logs:
        _add_event(target, log)
    for reference in span.references:
        if reference.type != CHILD_OF or reference.span_id != parent:
            _add_link(target, reference)


def check_time(time_ns: int, name: str) -> int:
    """Check that a time is one that spans can have. Raises: ValueError."""
    if not 0 <= time_ns <= _NANOSECONDS_MAX:
        raise ValueError(f"{name} is {time_ns}, not 0 to {_NANOSECONDS_MAX} nanoseconds")
    return time_ns


def _parent(span: JaegerSpan) -> bytes:
    """Find the parent: what the span says, else the first reference within its trace."""
    if span.parent_id != NO_ID:
        return span.parent_id
    for wanted in (CHILD_OF, FOLLOWS_FROM):
        for reference in span.references:
            if reference.type == wanted and reference.trace_id == span.trace_id:
                return reference.span_id
    return NO_ID


def _take_scope(tags: dict[str, Value]) -> Scope:
    found = ["", ""]
    for slot, part in enumerate(("name", "version")):
        for prefix in ("otel.library", "otel.scope"):
            if isinstance(tags.get(f"{prefix}.{part}"), str):
                found[slot] = str(tags.pop(f"{prefix}.{part}")) or found[slot]
    return (found[0], found[1]) if any(found) else NO_SCOPE


def _take_status(tags: dict[str, Value], target: trace_pb2.Span) -> None:
    """Set the status from the tags: ``error`` first, then what an SDK wrote, then HTTP's."""
    code = status_code(str(tags.get("otel.status_code", "-")))
    if code is not None:
        del tags["otel.status_code"]
    description = ""
    if tags.get("error") is True or tags.get("error") == "true":
        del tags["error"]
        code = trace_pb2.Status.STATUS_CODE_ERROR
        description = str(tags.get("http.status_message", ""))
    elif code is None and "http.status_code" in tags:
        code = _status_of_http(tags["http.status_code"], target.kind)
        description = str(tags.get("http.status_message", "")) if code else ""
    if code is None:
        return
    description = str(tags.pop("otel.status_description", description))
    if code or description:
        target.status.code = code
        target.status.message = description


def _status_of_http(value: Value, kind: int) -> trace_pb2.Status.StatusCode.ValueType | None:
    """Read an HTTP status: a server's 4xx are its clients' errors, not its own."""
    if not isinstance(value, int | str):
        return None
    try:
        number = int(value)
    except ValueError:
        return None
    highest = 499 if kind == trace_pb2.Span.SPAN_KIND_SERVER else 399
    if 100 <= number <= highest:
        return None
    return trace_pb2.Status.STATUS_CODE_ERROR


def _add_event(target: trace_pb2.Span, log: Log) -> None:
    event = target.events.add()
    event.time_unix_nano = check_time(log.time_ns, "log timestamp")
    fields = dict(log.fields)
    if isinstance(fields.get("event"), str):
        event.name = str(fields.pop("event"))
    add_attributes(event.attributes, fields.items())


def _add_link(target: trace_pb2.Span, reference: Reference) -> None:
    link = target.links.add()
    link.trace_id, link.span_id = reference.trace_id, reference.span_id
    name = _REFERENCE_TYPES.get(reference.type, str(reference.type))
    add_attributes(link.attributes, [("opentracing.ref_type", name)])

"""Zipkin spans (version 2, JSON and protobuf) -> ExportTraceServiceRequest bytes.

The translation is the Collector's, so that tags which an OpenTelemetry exporter wrote are read
back as what they were: kind, status, scope, links, the resource. It differs where the Collector
loses something: spans whose resource tags differ get resources of their own, an ``error`` tag with
a text is an error too, an annotation keeps what stands behind a bar, and a span without a
timestamp begins at its first annotation or when it was received, not in 1970.

Python per span, about 15 us; meant for a pool.
Source: Zipkin API v2; Collector, pkg/translator/zipkin; wire contract, section 6.5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any

import msgspec
from opentelemetry.proto.trace.v1 import trace_pb2

from tracestore.codec.proto import zipkin_pb2
from tracestore.codec.receivers.messages import Body, parse_message, walk_messages
from tracestore.codec.receivers.requests import (
    MICROSECONDS_MAX,
    NO_SCOPE,
    SPAN_KINDS,
    RequestWriter,
    Resource,
    Scope,
    Value,
    add_attributes,
    status_code,
)
from tracestore.codec.receivers.resource_keys import RESOURCE_KEYS
from tracestore.errors import InvalidRequestError

START_ABSENT = "otel.zipkin.absentField.startTime"
"""Attribute of a span that was sent without a timestamp."""

SPAN_BYTES_MAX = 4 << 20
"""Largest span in protobuf: bounds what a message of many empty parts takes in memory."""

_SERVICE_NAME_SOURCE = "otlp.service.name.source"
_NO_SERVICE = "OTLPResourceNoServiceName"
_LINKS_MAX = 128
_LINK = re.compile(r"([0-9a-fA-F]{32})\|([0-9a-fA-F]{16})\|([^|]*)\|(.*)\|([0-9]{1,9})", re.DOTALL)
_EVENT = re.compile(r"([^|]*)\|(\{.*\})\|([0-9]{1,9})", re.DOTALL)
_HEX = re.compile(r"[0-9a-fA-F]+")


class Endpoint(msgspec.Struct, gc=False):
    """A host, as a span names it."""

    serviceName: str | None = None  # noqa: N815 - the name of the format
    ipv4: str | None = None
    ipv6: str | None = None
    port: int | None = None


class Annotation(msgspec.Struct, gc=False):
    """Something that happened, and when in microseconds."""

    timestamp: int | None = None
    value: str | None = None


class ZipkinSpan(msgspec.Struct):
    """A span of version 2; the attributes are the names of the format."""

    traceId: str  # noqa: N815
    id: str
    parentId: str | None = None  # noqa: N815
    name: str | None = None
    kind: str | None = None
    timestamp: int | None = None
    duration: int | None = None
    localEndpoint: Endpoint | None = None  # noqa: N815
    remoteEndpoint: Endpoint | None = None  # noqa: N815
    annotations: list[Annotation | None] | None = None
    tags: dict[str, str | None] | None = None


_DECODER = msgspec.json.Decoder(list[ZipkinSpan | None])


def translate_json(body: Body, *, received_ns: int) -> bytes:
    """Turn a JSON list of spans of version 2 into a request.

    Args:
        received_ns: now; the start of spans that have no time at all.

    Raises: InvalidRequestError saying what is wrong, and with which span.
    """
    try:
        spans = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequestError(f"body is no list of zipkin spans: {error}") from error
    return translate_spans((span for span in spans if span is not None), received_ns=received_ns)


def translate_protobuf(body: Body, *, received_ns: int) -> bytes:
    """Turn a ListOfSpans into a request; arguments and errors as for JSON."""
    return translate_spans(_parse_list(body), received_ns=received_ns)


def translate_spans(spans: Iterable[ZipkinSpan], *, received_ns: int) -> bytes:
    """Turn spans into a request. Raises: InvalidRequestError with the number of the bad span."""
    writer = RequestWriter()
    for number, span in enumerate(spans):
        try:
            _add(writer, span, received_ns)
        except ValueError as error:  # ours, and what protobuf says of numbers and texts
            raise InvalidRequestError(f"zipkin span {number}: {error}") from error
    return writer.finish()


def _add(writer: RequestWriter, span: ZipkinSpan, received_ns: int) -> None:
    tags: dict[str, str] = {}
    if span.tags:
        tags = {key: value or "" for key, value in span.tags.items()}
    target = writer.add_span(_take_resource(span.localEndpoint, tags), _take_scope(tags))
    target.trace_id = parse_id(span.traceId, 16, "traceId")
    target.span_id = parse_id(span.id, 8, "id")
    if span.parentId and span.parentId.strip("0"):
        parent = parse_id(span.parentId, 8, "parentId")
        if parent != target.span_id:
            target.parent_span_id = parent
    target.name = span.name or ""
    target.kind = _take_kind(span.kind, tags)
    target.trace_state = tags.pop("w3c.tracestate", "")
    _take_status(tags, target)
    if "otlp.link.0" in tags:
        _take_links(tags, target)
    attributes: dict[str, Value] = {**tags, **_endpoint_attributes(span)}
    if not span.timestamp:
        attributes[START_ABSENT] = True
    _set_times(span, target, received_ns)
    add_attributes(target.attributes, attributes.items())
    for annotation in span.annotations or ():
        if annotation is not None:
            _add_event(target, annotation)


def parse_id(text: str, size: int, name: str) -> bytes:
    """Read an ID, padded on the left to its ``size`` in bytes.

    Raises: ValueError if it is no hex, too long, or zero.
    """
    if len(text) > 2 * size or not _HEX.fullmatch(text):
        raise ValueError(f"{name} is not 1 to {2 * size} hex digits: {text[:64]!r}")
    value = bytes.fromhex(text.rjust(2 * size, "0"))
    if not any(value):
        raise ValueError(f"{name} is zero")
    return value


def _set_times(span: ZipkinSpan, target: trace_pb2.Span, received_ns: int) -> None:
    duration = check_microseconds(span.duration or 0, "duration")
    if span.timestamp:
        start_ns = check_microseconds(span.timestamp, "timestamp") * 1000
    else:
        known = [a.timestamp for a in span.annotations or () if a is not None and a.timestamp]
        first = check_microseconds(min(known, default=0), "annotation timestamp")
        start_ns = first * 1000 or received_ns
    target.start_time_unix_nano = start_ns
    target.end_time_unix_nano = start_ns + duration * 1000


def check_microseconds(value: int, name: str) -> int:
    """Check that a time can be said in nanoseconds. Raises: ValueError."""
    if not 0 <= value <= MICROSECONDS_MAX:
        raise ValueError(f"{name} is {value}, not 0 to {MICROSECONDS_MAX} microseconds")
    return value


def _take_resource(local: Endpoint | None, tags: dict[str, str]) -> Resource:
    """Take the attributes of the resource out of the tags."""
    attributes: dict[str, Value] = {}
    name_key = tags.pop(_SERVICE_NAME_SOURCE, "") or "service.name"
    if local is not None and local.serviceName and local.serviceName != _NO_SERVICE:
        attributes[name_key] = local.serviceName
    for key in RESOURCE_KEYS & tags.keys():
        if attributes.setdefault(key, tags[key]) == tags[key]:
            del tags[key]
    return tuple(sorted(attributes.items()))


def _take_scope(tags: dict[str, str]) -> Scope:
    name = tags.pop("otel.library.name", "")
    version = tags.pop("otel.library.version", "")
    name = tags.pop("otel.scope.name", "") or name
    version = tags.pop("otel.scope.version", "") or version
    return (name, version) if name or version else NO_SCOPE


def _take_kind(kind: str | None, tags: dict[str, str]) -> trace_pb2.Span.SpanKind.ValueType:
    """Read the kind; ``internal``, which Zipkin does not have, may be a tag."""
    if kind:
        known = SPAN_KINDS.get(kind.lower())
        if known is None:
            raise ValueError(f"kind is {kind[:64]!r}, not CLIENT, SERVER, PRODUCER or CONSUMER")
        return known
    known = SPAN_KINDS.get(tags.get("span.kind", ""))
    if known is None:
        return trace_pb2.Span.SPAN_KIND_UNSPECIFIED
    del tags["span.kind"]
    return known


def _take_status(tags: dict[str, str], target: trace_pb2.Span) -> None:
    """Set the status; an ``error`` tag with a text stays an attribute too."""
    code = status_code(tags.get("otel.status_code", "-"))
    message = ""
    if code is not None:
        del tags["otel.status_code"]
        message = tags.pop("otel.status_description", "")
    error = tags.get("error")
    if error is not None and error.lower() != "false":
        code = trace_pb2.Status.STATUS_CODE_ERROR
        if error in ("", "true"):
            del tags["error"]
        else:
            message = message or error
    if code:
        target.status.code = code
        target.status.message = message


def _take_links(tags: dict[str, str], target: trace_pb2.Span) -> None:
    """Read the links that an exporter wrote as tags; a tag that is none stays a tag."""
    for number in range(_LINKS_MAX):
        key = f"otlp.link.{number}"
        if key not in tags:
            return
        found = _LINK.fullmatch(tags[key])
        attributes = None if found is None else _read_attributes(found[4] or "{}")
        if found is None or attributes is None:
            continue
        del tags[key]
        link = target.links.add()
        link.trace_id, link.span_id = bytes.fromhex(found[1]), bytes.fromhex(found[2])
        link.trace_state = found[3]
        link.dropped_attributes_count = int(found[5])
        add_attributes(link.attributes, attributes.items())


def _add_event(target: trace_pb2.Span, annotation: Annotation) -> None:
    event = target.events.add()
    at = check_microseconds(annotation.timestamp or 0, "annotation timestamp")
    event.time_unix_nano = at * 1000
    event.name = value = annotation.value or ""
    if "|" in value and (found := _EVENT.fullmatch(value)):
        attributes = _read_attributes(found[2])
        if attributes is not None:
            event.name = found[1]
            event.dropped_attributes_count = int(found[3])
            add_attributes(event.attributes, attributes.items())
    elif value.startswith('{"') and (named := _read_named_attributes(value)):
        event.name, attributes = named
        add_attributes(event.attributes, attributes.items())


def _read_attributes(text: str) -> Mapping[str, Value] | None:
    """Read a JSON object of plain values; None if it is anything else."""
    values = _read_json(text)
    return values if _are_plain(values) else None


def _read_named_attributes(text: str) -> tuple[str, Mapping[str, Value]] | None:
    """Read ``{name: {key: value}}``, as OpenTelemetry SDKs write an event; None if it is not."""
    named = _read_json(text)
    if not isinstance(named, dict) or len(named) != 1:
        return None
    ((name, values),) = named.items()
    return (name, values) if _are_plain(values) else None


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _are_plain(values: object) -> bool:
    return isinstance(values, dict) and all(map(_is_plain, values.values()))


def _is_plain(value: object) -> bool:
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    return isinstance(value, str | float)


def _endpoint_attributes(span: ZipkinSpan) -> dict[str, Value]:
    attributes: dict[str, Value] = {}
    for prefix, endpoint in (("net.host", span.localEndpoint), ("net.peer", span.remoteEndpoint)):
        if endpoint is None:
            continue
        if endpoint is span.remoteEndpoint and endpoint.serviceName:
            attributes["peer.service"] = endpoint.serviceName
        if address := endpoint.ipv6 or endpoint.ipv4:
            attributes[f"{prefix}.ip"] = address
        if endpoint.ipv4 and endpoint.ipv6:
            attributes[f"{prefix}.ipv4"] = endpoint.ipv4
        if endpoint.port and endpoint.port > 0:
            attributes[f"{prefix}.port"] = endpoint.port
    return attributes


def _parse_list(body: Body) -> Iterator[ZipkinSpan]:
    """Go through the spans of a ListOfSpans. Raises: MalformedError."""
    for field, start, end in walk_messages(body, 0, len(body)):
        if field == zipkin_pb2.ListOfSpans.SPANS_FIELD_NUMBER:
            span = parse_message(
                zipkin_pb2.Span, body, start, end, what="zipkin span", bytes_max=SPAN_BYTES_MAX
            )
            yield _span_of_message(span)


def _span_of_message(span: zipkin_pb2.Span) -> ZipkinSpan:
    return ZipkinSpan(
        traceId=span.trace_id.hex(),
        id=span.id.hex(),
        parentId=span.parent_id.hex(),
        name=span.name,
        kind=_KINDS.get(span.kind),
        timestamp=span.timestamp,
        duration=span.duration,
        localEndpoint=_endpoint_of_message(span.local_endpoint),
        remoteEndpoint=_endpoint_of_message(span.remote_endpoint),
        annotations=[Annotation(a.timestamp, a.value) for a in span.annotations],
        tags=dict(span.tags),
    )


_KINDS = {
    zipkin_pb2.Span.CLIENT: "CLIENT",
    zipkin_pb2.Span.SERVER: "SERVER",
    zipkin_pb2.Span.PRODUCER: "PRODUCER",
    zipkin_pb2.Span.CONSUMER: "CONSUMER",
}


def _endpoint_of_message(endpoint: zipkin_pb2.Endpoint) -> Endpoint:
    return Endpoint(
        serviceName=endpoint.service_name,
        ipv4=_address(endpoint.ipv4, 4),
        ipv6=_address(endpoint.ipv6, 16),
        port=endpoint.port,
    )


def _address(value: bytes, size: int) -> str | None:
    """Render an address; bytes of another length as hex, so that they are not lost."""
    if not value:
        return None
    return str(ip_address(value)) if len(value) == size else value.hex()

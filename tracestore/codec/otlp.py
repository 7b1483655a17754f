"""OTLP/JSON -> OTLP protobuf bytes, so that the kernel sees one format only.

OTLP/JSON is the protobuf JSON mapping with one exception: trace and span IDs are hex, not base64.
They are rewritten, then protobuf's own parser does the rest (camelCase and snake_case names, enums
by name or number, 64-bit integers as text or number, base64 bytes, unknown fields ignored). Where
that parser would make something else of a value in silence, an unknown name of an enum or bytes
that are no base64, the request is refused before.

This is Python per span: JSON is the format of browsers and curl; senders of volume use protobuf.
Source: OTLP specification, "JSON Protobuf Encoding"; wire contract, section 6.2.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tracestore.errors import InvalidRequestError
from tracestore.kernel import LiveTraces, check

_ID_BYTES = {
    "traceId": 16,
    "trace_id": 16,
    "spanId": 8,
    "span_id": 8,
    "parentSpanId": 8,
    "parent_span_id": 8,
}
_KINDS = frozenset(Span.SpanKind.keys())
_STATUS_CODES = frozenset(Status.StatusCode.keys())
_NUMBER = re.compile(r"-?[0-9]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")


def encode_json_request(body: bytes | bytearray) -> bytes:
    """Turn an ExportTraceServiceRequest in OTLP/JSON into its protobuf bytes.

    Raises: InvalidRequestError saying what is wrong with the JSON.
    Cost: about 140 us a span, under the GIL; meant for a pool.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"request is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise InvalidRequestError("request is not a JSON object")
    if b"ytes" in body or b"\0" in body:
        _check_bytes(request)
    for span in _spans(request):
        _rewrite_ids(span)
        _check_name(span, "kind", _KINDS)
        if isinstance(status := span.get("status"), dict):
            _check_name(status, "code", _STATUS_CODES)
        for link in _objects(span, "links"):
            _rewrite_ids(link)
    try:
        message = json_format.ParseDict(
            request, ExportTraceServiceRequest(), ignore_unknown_fields=True
        )
    except (json_format.ParseError, RecursionError) as error:
        raise InvalidRequestError(f"request is not OTLP/JSON: {error}") from error
    content: bytes = message.SerializeToString()
    return content


def _objects(parent: dict[str, Any], *names: str) -> Iterator[dict[str, Any]]:
    """Go through the objects of a repeated field; what is no object is left to the parser."""
    for name in names:
        children = parent.get(name)
        if isinstance(children, list):
            yield from (child for child in children if isinstance(child, dict))


def _spans(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource_spans in _objects(request, "resourceSpans", "resource_spans"):
        for scope_spans in _objects(resource_spans, "scopeSpans", "scope_spans"):
            yield from _objects(scope_spans, "spans")


def _rewrite_ids(parent: dict[str, Any]) -> None:
    """Turn the hex IDs of a span or link into base64, in place."""
    for name, length in _ID_BYTES.items():
        text = parent.get(name)
        if text is None or text == "":
            continue
        try:
            value = bytes.fromhex(text)
        except (TypeError, ValueError) as error:
            raise InvalidRequestError(f"{name} is not hex: {str(text)[:64]!r}") from error
        if len(value) != length or len(text) != 2 * length:
            raise InvalidRequestError(
                f"{name} must have {2 * length} hex digits, received {len(text)}"
            )
        parent[name] = base64.b64encode(value).decode()


def _check_name(parent: dict[str, Any], field: str, names: Collection[str]) -> None:
    """Refuse a text that is no name of the enum and no number."""
    text = parent.get(field)
    if isinstance(text, str) and text not in names and not _NUMBER.fullmatch(text):
        raise InvalidRequestError(f"{field} has no value {text[:64]!r}")


def _check_bytes(request: dict[str, Any]) -> None:
    """Refuse bytes of attributes that are no base64, of either alphabet, padded or not."""
    waiting: list[Any] = [request]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += node.values()
            for name in ("bytesValue", "bytes_value"):
                text = node.get(name)
                if isinstance(text, str) and not _is_base64(text):
                    raise InvalidRequestError(f"{name} is not base64: {text[:64]!r}")


def _is_base64(text: str) -> bool:
    return _BASE64.fullmatch(text) is not None and len(text.rstrip("=")) % 4 != 1


def spans_exceed(otlp: bytes, bytes_max: int) -> bool:
    """Tell whether the spans of one trace have more bytes together, as ingest counts them.

    What wraps them does not count, so a trace that ingest let grow to its limit can be read.
    """
    if len(otlp) <= bytes_max:
        return False
    sizes = LiveTraces(seed=0, idle_s=1, keep_s=1, traces_max=1)
    found = sizes.admit(otlp, check(otlp).spans, 1, traces_max=0, bytes_max=bytes_max)
    return found.trace_too_large > 0

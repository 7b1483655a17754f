"""OTLP/JSON -> OTLP protobuf bytes, so that the kernel sees one format only.

OTLP/JSON is the protobuf JSON mapping with one exception: trace and span IDs are hex, not base64.
They are rewritten, then protobuf's own parser does the rest (camelCase and snake_case names, enums
by name or number, 64-bit integers as text or number, base64 bytes, unknown fields ignored).

This is Python per span: JSON is the format of browsers and curl; senders of volume use protobuf.
Source: OTLP specification, "JSON Protobuf Encoding"; wire contract, section 6.2.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracestore.errors import InvalidRequestError

_ID_BYTES = {
    "traceId": 16,
    "trace_id": 16,
    "spanId": 8,
    "span_id": 8,
    "parentSpanId": 8,
    "parent_span_id": 8,
}


def encode_json_request(body: bytes | bytearray) -> bytes:
    """Turn an ExportTraceServiceRequest in OTLP/JSON into its protobuf bytes.

    Raises: InvalidRequestError saying what is wrong with the JSON.
    Cost: about 50 us a span, under the GIL; meant for a pool.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"request is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise InvalidRequestError("request is not a JSON object")
    for span in _spans(request):
        _rewrite_ids(span)
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

"""A trace for language models: IDs in hex, attributes as plain JSON values.

Source: wire contract, sections 3.4 and 7.6.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from opentelemetry.proto.trace.v1 import trace_pb2

from tracestore.codec.any_value_json import read_attributes
from tracestore.codec.trace_json import TraceAnswer, trace_json
from tracestore.model.ids import format_trace_id
from tracestore.model.times import MILLISECOND_NS

Json = dict[str, Any]


def render_llm_json(answer: TraceAnswer) -> bytes:
    """Write the trace, ``{}`` if there is none."""
    groups = trace_json(answer.trace)
    if not groups:
        return b"{}"
    body: Json = {
        "trace": {"traceId": _trace_id(answer.trace), "services": [_service(g) for g in groups]},
        "metrics": {"inspectedBytes": str(answer.inspected_bytes)},
        "status": "PARTIAL" if answer.partial else "",
        "message": answer.message,
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _trace_id(trace: trace_pb2.TracesData) -> str:
    return format_trace_id(trace.resource_spans[0].scope_spans[0].spans[0].trace_id)


def _service(group: Json) -> Json:
    resource = _plain(group["resource"])
    return {
        "serviceName": str(resource.get("service.name", "")),
        "resource": {key: value for key, value in resource.items() if key != "service.name"},
        "scopes": [
            {
                "name": scope["scope"].get("name", ""),
                "version": scope["scope"].get("version", ""),
                "spans": [_span(span) for span in scope["spans"]],
            }
            for scope in group.get("scopeSpans", ())
        ],
    }


def _span(span: Json) -> Json:
    start_ns, end_ns = (int(span.get(f"{e}TimeUnixNano", 0)) for e in ("start", "end"))
    duration_ms = (end_ns - start_ns) / MILLISECOND_NS
    status = span["status"]
    return {
        "spanId": _hex(span.get("spanId", "")),
        "name": span.get("name", ""),
        "parentSpanId": _hex(span.get("parentSpanId", "")),
        "kind": span.get("kind", "SPAN_KIND_UNSPECIFIED"),
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(end_ns),
        "durationMs": int(duration_ms) if duration_ms.is_integer() else duration_ms,
        "attributes": _plain(span),
        "events": [
            {
                "name": event.get("name", ""),
                "timeUnixNano": event.get("timeUnixNano", "0"),
                "attributes": _plain(event),
            }
            for event in span.get("events", ())
        ],
        "links": [
            {
                "traceId": _hex(link.get("traceId", "")),
                "spanId": _hex(link.get("spanId", "")),
                "attributes": _plain(link),
            }
            for link in span.get("links", ())
        ],
        "status": {"code": "STATUS_CODE_UNSET"} | status,
    }


def _plain(holder: Json) -> Json:
    return dict(read_attributes(holder.get("attributes", ())))


def _hex(text: str) -> str:
    return base64.b64decode(text).hex()

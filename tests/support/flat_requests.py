"""A translated request as plain values: what is compared with what was sent."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tracestore.kernel import check

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")


def read_request(request: bytes) -> list[dict[str, Any]]:
    """Read the spans of a request in order; the kernel has to find it valid."""
    spans = []
    for group in ExportTraceServiceRequest.FromString(request).resource_spans:
        for scope_spans in group.scope_spans:
            for span in scope_spans.spans:
                spans.append(
                    {
                        "resource": attributes_of(group.resource.attributes),
                        "scope": (scope_spans.scope.name, scope_spans.scope.version),
                        "trace": span.trace_id.hex(),
                        "id": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "state": span.trace_state,
                        "name": span.name,
                        "kind": KINDS[span.kind],
                        "start": span.start_time_unix_nano,
                        "end": span.end_time_unix_nano,
                        "status": (STATUSES[span.status.code], span.status.message),
                        "attributes": attributes_of(span.attributes),
                        "events": [
                            (e.time_unix_nano, e.name, attributes_of(e.attributes))
                            for e in span.events
                        ],
                        "links": [
                            (k.trace_id.hex(), k.span_id.hex(), attributes_of(k.attributes))
                            for k in span.links
                        ],
                    }
                )
    assert check(request).spans == len(spans)
    return spans


def attributes_of(pairs: Any) -> dict[str, Any]:
    """Read attributes, each key once, with values that do not equal those of another type."""
    found = {pair.key: _value(pair) for pair in pairs}
    assert len(found) == len(pairs), "a key is there twice"
    return found


def _value(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    value = getattr(pair.value, kind or "")
    if kind == "array_value":
        return [getattr(element, element.WhichOneof("value")) for element in value.values]
    return value if kind in ("string_value", "bytes_value") else (kind, value)


def yes(value: bool) -> Any:
    """A boolean attribute, as ``attributes_of`` gives it."""
    return ("bool_value", value)


def whole(value: int) -> Any:
    """An integer attribute."""
    return ("int_value", value)


def real(value: float) -> Any:
    """A floating-point attribute."""
    return ("double_value", value)

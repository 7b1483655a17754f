"""Cost of translating other formats to OTLP: CPU time in this process, one thread.

The synthetic load of ``bench/load.py`` is written in each format first, as its clients would; then
the bodies are translated, as the receivers do it in their pool. OTLP/JSON stands beside them.

    python bench/senders.py --spans 50000
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

sys.path.insert(0, str(Path(__file__).parent))
from load import requests

from tracestore.codec.otlp import encode_json_request
from tracestore.codec.proto import jaeger_pb2, zipkin_pb2
from tracestore.codec.receivers import jaeger_protobuf, jaeger_thrift, zipkin
from tracestore.kernel import check

KINDS = ("", "", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
Group = tuple[str, list[KeyValue], list[Span]]
"""Service, further attributes of the resource, spans."""


def groups(request: ExportTraceServiceRequest) -> Iterator[Group]:
    """Get the spans of a request by resource."""
    for resource_spans in request.resource_spans:
        pairs = list(resource_spans.resource.attributes)
        (name,) = (p.value.string_value for p in pairs if p.key == "service.name")
        spans = [span for scope in resource_spans.scope_spans for span in scope.spans]
        yield name, [p for p in pairs if p.key != "service.name"], spans


def value_of(pair: KeyValue) -> Any:
    return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")


def text_of(pair: KeyValue) -> str:
    return str(value_of(pair))


def as_zipkin(request: ExportTraceServiceRequest) -> Iterator[dict[str, Any]]:
    for service, resource, spans in groups(request):
        for span in spans:
            yield {
                "traceId": span.trace_id.hex(),
                "id": span.span_id.hex(),
                "parentId": span.parent_span_id.hex() or None,
                "name": span.name,
                "kind": KINDS[span.kind] or None,
                "timestamp": span.start_time_unix_nano // 1000,
                "duration": (span.end_time_unix_nano - span.start_time_unix_nano) // 1000,
                "localEndpoint": {"serviceName": service},
                "tags": {p.key: text_of(p) for p in [*resource, *span.attributes]},
                "annotations": [
                    {"timestamp": e.time_unix_nano // 1000, "value": e.name} for e in span.events
                ],
            }


def zipkin_json(request: ExportTraceServiceRequest) -> bytes:
    return json.dumps(list(as_zipkin(request)), separators=(",", ":")).encode()


def zipkin_protobuf(request: ExportTraceServiceRequest) -> bytes:
    listed = zipkin_pb2.ListOfSpans()
    for span in as_zipkin(request):
        listed.spans.add(
            trace_id=bytes.fromhex(span["traceId"]),
            id=bytes.fromhex(span["id"]),
            parent_id=bytes.fromhex(span["parentId"] or ""),
            name=span["name"],
            kind=zipkin_pb2.Span.Kind.Value(span["kind"] or "SPAN_KIND_UNSPECIFIED"),
            timestamp=span["timestamp"],
            duration=span["duration"],
            local_endpoint=zipkin_pb2.Endpoint(service_name=span["localEndpoint"]["serviceName"]),
            tags=span["tags"],
            annotations=[zipkin_pb2.Annotation(**note) for note in span["annotations"]],
        )
    return listed.SerializeToString()


def jaeger_tag(pair: KeyValue) -> jaeger_pb2.KeyValue:
    value = value_of(pair)
    match value:
        case bool():
            return jaeger_pb2.KeyValue(key=pair.key, v_type=jaeger_pb2.BOOL, v_bool=value)
        case int():
            return jaeger_pb2.KeyValue(key=pair.key, v_type=jaeger_pb2.INT64, v_int64=value)
        case float():
            return jaeger_pb2.KeyValue(key=pair.key, v_type=jaeger_pb2.FLOAT64, v_float64=value)
    return jaeger_pb2.KeyValue(key=pair.key, v_str=text_of(pair))


def jaeger_requests(request: ExportTraceServiceRequest) -> list[jaeger_pb2.PostSpansRequest]:
    """One for each process, as clients send them."""
    return [
        jaeger_pb2.PostSpansRequest(
            batch=jaeger_pb2.Batch(
                process=jaeger_pb2.Process(service_name=name, tags=map(jaeger_tag, resource)),
                spans=map(jaeger_span, spans),
            )
        )
        for name, resource, spans in groups(request)
    ]


def jaeger_span(span: Span) -> jaeger_pb2.Span:
    made = jaeger_pb2.Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        operation_name=span.name,
        tags=map(jaeger_tag, span.attributes),
    )
    made.tags.add(key="span.kind", v_str=KINDS[span.kind].lower() or "internal")
    made.start_time.FromNanoseconds(span.start_time_unix_nano)
    made.duration.FromNanoseconds(span.end_time_unix_nano - span.start_time_unix_nano)
    if span.parent_span_id:
        made.references.add(trace_id=span.trace_id, span_id=span.parent_span_id)
    for event in span.events:
        log = made.logs.add(fields=map(jaeger_tag, event.attributes))
        log.timestamp.FromNanoseconds(event.time_unix_nano)
    return made


def thrift_text(field: int, text: str) -> bytes:
    content = text.encode()
    return struct.pack(">bhi", 11, field, len(content)) + content


def thrift_tag(tag: jaeger_pb2.KeyValue) -> bytes:
    begin = thrift_text(1, tag.key) + b"\x08\0\2"
    match tag.v_type:
        case jaeger_pb2.BOOL:
            return begin + struct.pack(">ibhbb", 2, 2, 5, tag.v_bool, 0)
        case jaeger_pb2.INT64:
            return begin + struct.pack(">ibhqb", 3, 10, 6, tag.v_int64, 0)
        case jaeger_pb2.FLOAT64:
            return begin + struct.pack(">ibhdb", 1, 4, 4, tag.v_float64, 0)
    return begin + struct.pack(">i", 0) + thrift_text(3, tag.v_str) + b"\0"


def thrift_list(field: int, items: list[bytes]) -> bytes:
    return struct.pack(">bhbi", 15, field, 12, len(items)) + b"".join(items)


def thrift_span(span: jaeger_pb2.Span) -> bytes:
    high, low = struct.unpack(">qq", span.trace_id)
    (own,) = struct.unpack(">q", span.span_id)
    (parent,) = struct.unpack(">q", span.references[0].span_id if span.references else bytes(8))
    start = span.start_time.ToMicroseconds(), span.duration.ToMicroseconds()
    logs = [
        struct.pack(">bhq", 10, 1, log.timestamp.ToMicroseconds())
        + thrift_list(2, list(map(thrift_tag, log.fields)))
        + b"\0"
        for log in span.logs
    ]
    return (
        struct.pack(">bhqbhqbhqbhq", 10, 1, low, 10, 2, high, 10, 3, own, 10, 4, parent)
        + thrift_text(5, span.operation_name)
        + struct.pack(">bhibhqbhq", 8, 7, 1, 10, 8, start[0], 10, 9, start[1])
        + thrift_list(10, list(map(thrift_tag, span.tags)))
        + (thrift_list(11, logs) if logs else b"")
        + b"\0"
    )


def thrift_batch(request: jaeger_pb2.PostSpansRequest) -> bytes:
    batch = request.batch
    process = thrift_text(1, batch.process.service_name)
    process += thrift_list(2, list(map(thrift_tag, batch.process.tags))) + b"\0"
    return b"\x0c\0\1" + process + thrift_list(2, list(map(thrift_span, batch.spans))) + b"\0"


def otlp_json(request: ExportTraceServiceRequest) -> bytes:
    body = json_format.MessageToDict(request)
    for resource_spans in body["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for span, made in zip(scope_spans["spans"], spans_in(request), strict=False):
                span["traceId"], span["spanId"] = made.trace_id.hex(), made.span_id.hex()
                for left_out in ("parentSpanId", "links"):  # base64 in them, hex is asked for
                    span.pop(left_out, None)
    return json.dumps(body).encode()


def spans_in(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for _, _, spans in groups(request):
        yield from spans


def measure(
    name: str, bodies: list[bytes], translate: Callable[[bytes], bytes], runs: int
) -> dict[str, Any]:
    """Translate all bodies some times over."""
    spans = sum(check(translate(body)).spans for body in bodies)
    seconds = []
    for _ in range(runs):
        started = time.process_time()
        for body in bodies:
            translate(body)
        seconds.append(time.process_time() - started)
    size = sum(map(len, bodies))
    return {
        "format": name,
        "spans": spans,
        "body_bytes_per_span": round(size / spans),
        "us_per_span": round(median(seconds) / spans * 1e6, 1),
        "spans_per_cpu_s": round(spans / median(seconds)),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--spans", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    load = [ExportTraceServiceRequest.FromString(body) for body in requests(options.spans)]
    jaeger = [made for request in load for made in jaeger_requests(request)]
    received_ns = time.time_ns()
    cases: list[tuple[str, list[bytes], Callable[[bytes], bytes]]] = [
        (
            "zipkin v2 json",
            list(map(zipkin_json, load)),
            lambda body: zipkin.translate_json(body, received_ns=received_ns),
        ),
        (
            "zipkin v2 protobuf",
            list(map(zipkin_protobuf, load)),
            lambda body: zipkin.translate_protobuf(body, received_ns=received_ns),
        ),
        ("jaeger thrift", list(map(thrift_batch, jaeger)), jaeger_thrift.translate_batch),
        (
            "jaeger protobuf",
            [request.SerializeToString() for request in jaeger],
            jaeger_protobuf.translate_request,
        ),
        ("otlp json", list(map(otlp_json, load)), encode_json_request),
    ]
    for case in cases:
        print(json.dumps(measure(*case, options.runs)), flush=True)


if __name__ == "__main__":
    main()

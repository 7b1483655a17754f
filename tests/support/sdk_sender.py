"""Sends one trace with the real OpenTelemetry SDK of Python: ``sdk_sender.py EXPORTER TARGET``.

Runs in a process of its own, since some exporters need older packages than we do. Prints what only
it knows: the IDs that the SDK drew.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

US = 1_700_000_000_000_000


def make_exporter(name: str, target: str) -> Any:
    """Make an exporter; the target is a URL, for gRPC and UDP ``host:port``."""
    if name == "otlp-grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=target, insecure=True)
    if name == "otlp-http":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
            OTLPSpanExporter as HttpSpanExporter,
        )

        return HttpSpanExporter(endpoint=target)
    if name == "zipkin":
        from opentelemetry.exporter.zipkin.json import ZipkinExporter

        return ZipkinExporter(endpoint=target)
    if name == "jaeger-grpc":
        from opentelemetry.exporter.jaeger.proto.grpc import JaegerExporter

        return JaegerExporter(collector_endpoint=target, insecure=True)
    from opentelemetry.exporter.jaeger.thrift import JaegerExporter as ThriftExporter

    if name == "jaeger-thrift":
        return ThriftExporter(collector_endpoint=target)
    host, _, port = target.rpartition(":")
    return ThriftExporter(agent_host_name=host, agent_port=int(port))


def main() -> None:
    """Send the trace."""
    provider = TracerProvider(resource=Resource({"service.name": "shop", "host.name": "py-1"}))
    provider.add_span_processor(SimpleSpanProcessor(make_exporter(*sys.argv[1:])))
    tracer = provider.get_tracer("checkout", "1.2.3")
    other = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True, TraceFlags(1))
    root = tracer.start_span(
        "GET /cart",
        kind=SpanKind.SERVER,
        attributes={"text": "käse", "whole": 42, "real": 0.5, "yes": True},
        links=[Link(other, {"why": "retry"})],
        start_time=(US + 1) * 1000,
    )
    child = tracer.start_span(
        "SELECT",
        context=set_span_in_context(root),
        kind=SpanKind.CLIENT,
        start_time=(US + 2) * 1000,
    )
    child.add_event("cache miss", {"key": "k", "size": 7}, timestamp=(US + 3) * 1000)
    child.set_status(Status(StatusCode.ERROR, "no rows"))
    child.end((US + 5) * 1000)
    root.end((US + 9) * 1000)
    provider.shutdown()
    contexts = [span.get_span_context() for span in (root, child)]
    ids = [f"{context.span_id:016x}" for context in contexts]
    print(json.dumps({"trace": f"{contexts[0].trace_id:032x}", "ids": ids}))  # noqa: T201


if __name__ == "__main__":
    main()

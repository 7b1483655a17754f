"""A trace by ID comes back whole, each span once, wherever its parts are."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.naive_tables import naive_tables
from support.otlp import request, span, trace_id
from support.query import control

from tracestore.query.tables_source import TablesSource
from tracestore.query.trace_by_id import TraceFound, find_trace

ROOT = span(trace=1, id=1, name="root", start_ms=0)
CHILD = span(trace=1, id=2, parent=1, name="child", start_ms=5, attributes={"a": [1, "x"]})
OTHER = span(trace=2, id=1, name="other")


def source_of(name: str, *spans: object) -> TablesSource:
    return TablesSource(naive_tables([request(spans=spans)]), name)  # type: ignore[arg-type]


def names_of(found: TraceFound | None) -> list[str]:
    assert found is not None
    message = ExportTraceServiceRequest.FromString(found.otlp)
    return [s.name for r in message.resource_spans for c in r.scope_spans for s in c.spans]


def test_one_part_comes_back_as_it_is() -> None:
    found = find_trace([source_of("a", OTHER, ROOT, CHILD)], trace_id(1), control())

    assert names_of(found) == ["root", "child"]
    assert found is not None
    assert found.spans == 2
    assert found.inspected_bytes > 0


def test_parts_are_put_together_and_each_span_is_there_once() -> None:
    sources = [source_of("a", CHILD), source_of("b", ROOT, CHILD), source_of("c", OTHER)]

    found = find_trace(sources, trace_id(1), control())

    assert names_of(found) == ["root", "child"]


def test_what_is_nowhere_is_not_found() -> None:
    assert find_trace([source_of("a", OTHER)], trace_id(3), control()) is None
    assert find_trace([], trace_id(3), control()) is None

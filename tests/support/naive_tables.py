"""OTLP requests -> ``SpanTables``, row by row over opentelemetry-proto messages.

The oracle of the kernel, and what tests of other packages may build their tables with. It follows
``model/tables.py`` to the letter and is slow (about 10 thousand spans a second).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from support.naive_attributes import attribute_arrays, attribute_order, dump
from support.naive_nested import NaivePlace, NaiveSpan, arrange_trace

from tracestore.model.tables import FIXED_SCHEMA, SCOPE_OF_TABLE, TIMESTAMP, SpanTables, Table

STATUS_ERROR = 2
U64 = 1 << 64


@dataclass(frozen=True, slots=True)
class _Arrived:
    span: Span
    resource: int
    scope: int


@dataclass(slots=True)
class _Distinct:
    """Messages by content, numbered by first arrival."""

    numbers: dict[tuple[bytes | None, str], int]
    messages: list[Any]

    def number(self, message: Resource | InstrumentationScope | None, schema_url: str) -> int:
        content = None if message is None else message.SerializeToString(deterministic=True)
        if (content, schema_url) not in self.numbers:
            self.numbers[content, schema_url] = len(self.messages)
            self.messages.append((message, schema_url))
        return self.numbers[content, schema_url]


def naive_tables(requests: Sequence[bytes], *, attribute_columns_max: int = 512) -> SpanTables:
    """Decode valid requests; every span must have a trace ID and a span ID of full length."""
    resources, scopes = _Distinct({}, []), _Distinct({}, [])
    arrived = list(_arrivals(requests, resources, scopes))
    traces: dict[bytes, list[int]] = defaultdict(list)
    for number, one in enumerate(arrived):
        traces[one.span.trace_id].append(number)

    order: list[_Arrived] = []
    places: list[NaivePlace] = []
    trace_rows: list[tuple[Any, ...]] = []
    trace_of: list[int] = []
    for row, trace_id in enumerate(sorted(traces)):
        trace_places = arrange_trace([_naive(arrived[i].span, i) for i in traces[trace_id]])
        spans = [arrived[place.arrival] for place in trace_places]
        trace_rows.append(_trace_row(trace_id, len(order), spans, trace_places, resources))
        order += spans
        places += trace_places
        trace_of += [row] * len(spans)

    events = [(row, event) for row, one in enumerate(order) for event in one.span.events]
    links = [(row, link) for row, one in enumerate(order) for link in one.span.links]
    attributes = {
        Table.SPANS: [one.span.attributes for one in order],
        Table.EVENTS: [event.attributes for _, event in events],
        Table.LINKS: [link.attributes for _, link in links],
        Table.TRACES: [],
        Table.RESOURCES: [() if m is None else m.attributes for m, _ in resources.messages],
        Table.SCOPES: [() if m is None else m.attributes for m, _ in scopes.messages],
    }
    rows: dict[Table, Iterable[tuple[Any, ...]]] = {
        Table.SPANS: map(_span_row, order, places, trace_of),
        Table.EVENTS: (_event_row(row, event) for row, event in events),
        Table.LINKS: (_link_row(row, link) for row, link in links),
        Table.TRACES: trace_rows,
        Table.RESOURCES: (_resource_row(m, url) for m, url in resources.messages),
        Table.SCOPES: (_scope_row(m, url) for m, url in scopes.messages),
    }
    tables = {t.value: _table(t, rows[t], attributes[t], attribute_columns_max) for t in Table}
    return SpanTables(**tables)


def _arrivals(
    requests: Sequence[bytes], resources: _Distinct, scopes: _Distinct
) -> Iterator[_Arrived]:
    for request in requests:
        for group in ExportTraceServiceRequest.FromString(request).resource_spans:
            for scope_group in group.scope_spans:
                for span in scope_group.spans:
                    assert len(span.trace_id) == 16, "span without a trace ID"
                    assert len(span.span_id) == 8, "span without a span ID"
                    yield _Arrived(
                        span,
                        resources.number(_resource(group), group.schema_url),
                        scopes.number(_scope(scope_group), scope_group.schema_url),
                    )


def _resource(group: ResourceSpans) -> Resource | None:
    return group.resource if group.HasField("resource") else None


def _scope(group: ScopeSpans) -> InstrumentationScope | None:
    return group.scope if group.HasField("scope") else None


def _naive(span: Span, arrival: int) -> NaiveSpan:
    return NaiveSpan(
        arrival=arrival,
        span_id=int.from_bytes(span.span_id, "big"),
        parent_id=int.from_bytes(span.parent_span_id, "big"),
        kind=span.kind,
        start_ns=span.start_time_unix_nano,
    )


def _signed(value: int) -> int:
    value %= U64
    return value - U64 if value >= U64 // 2 else value


def _span_row(one: _Arrived, place: NaivePlace, trace: int) -> tuple[Any, ...]:
    span = one.span
    return (
        span.trace_id,
        span.span_id,
        span.parent_span_id or None,
        trace,
        one.resource,
        one.scope,
        span.name,
        span.kind,
        span.status.code if span.HasField("status") else None,
        span.status.message,
        _signed(span.start_time_unix_nano),
        _signed(span.end_time_unix_nano - span.start_time_unix_nano),
        place.left,
        place.right,
        place.parent,
        place.child_count,
        span.trace_state,
        span.flags,
        span.dropped_attributes_count,
        span.dropped_events_count,
        span.dropped_links_count,
        attribute_order(span.attributes),
    )


def _event_row(row: int, event: Span.Event) -> tuple[Any, ...]:
    time = _signed(event.time_unix_nano)
    order = attribute_order(event.attributes)
    return (row, event.name, time, event.dropped_attributes_count, order)


def _link_row(row: int, link: Span.Link) -> tuple[Any, ...]:
    return (
        row,
        link.trace_id,
        link.span_id,
        link.trace_state,
        link.flags,
        link.dropped_attributes_count,
        attribute_order(link.attributes),
    )


def _resource_row(resource: Resource | None, schema_url: str) -> tuple[Any, ...]:
    if resource is None:
        return (schema_url, None, None, None)
    refs = [
        {
            "schemaUrl": ref.schema_url,
            "type": ref.type,
            "idKeys": list(ref.id_keys),
            "descriptionKeys": list(ref.description_keys),
        }
        for ref in resource.entity_refs
    ]
    return (
        schema_url,
        resource.dropped_attributes_count,
        dump(refs) if refs else None,
        attribute_order(resource.attributes),
    )


def _scope_row(scope: InstrumentationScope | None, schema_url: str) -> tuple[Any, ...]:
    if scope is None:
        return (None, None, schema_url, None, None)
    return (
        scope.name,
        scope.version,
        schema_url,
        scope.dropped_attributes_count,
        attribute_order(scope.attributes),
    )


def _trace_row(
    trace_id: bytes,
    first: int,
    spans: Sequence[_Arrived],
    places: Sequence[NaivePlace],
    resources: _Distinct,
) -> tuple[Any, ...]:
    roots = [row for row, place in enumerate(places) if place.parent == -1]
    roots = [row for row in roots if not _is_child_by_link(spans[row].span)]
    root = roots[-1] if roots else None
    service = None
    if root is not None:
        message = resources.messages[spans[root].resource][0]
        pairs = [] if message is None else message.attributes
        named = next((pair for pair in pairs if pair.key == "service.name"), None)
        if named is not None and named.value.WhichOneof("value") == "string_value":
            service = named.value.string_value
    return (
        trace_id,
        first,
        len(spans),
        sum(one.span.status.code == STATUS_ERROR for one in spans),
        _signed(min(one.span.start_time_unix_nano for one in spans)),
        _signed(max(one.span.end_time_unix_nano for one in spans)),
        None if root is None else first + root,
        None if root is None else spans[root].span.name,
        service,
    )


def _is_child_by_link(span: Span) -> bool:
    """Tell whether a link says that the span is no root. Source: TraceQL reference, 4.3."""
    return any(
        pair.key == "opentracing.ref_type" and pair.value.string_value == "child_of"
        for link in span.links
        if link.trace_id == span.trace_id
        for pair in link.attributes
    )


def _table(
    table: Table, rows: Iterable[tuple[Any, ...]], attributes: Sequence[Any], columns_max: int
) -> pa.Table:
    schema = FIXED_SCHEMA[table]
    listed = list(rows)
    columns = (
        [list(column) for column in zip(*listed, strict=True)] if listed else [[]] * len(schema)
    )
    arrays = [_array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    fields = list(schema)
    if table in SCOPE_OF_TABLE:
        for field, array in attribute_arrays(SCOPE_OF_TABLE[table], attributes, columns_max):
            fields.append(field)
            arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == TIMESTAMP:
        return pa.array(values, pa.int64()).view(TIMESTAMP)
    return pa.array(values, kind)

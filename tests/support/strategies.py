"""Hypothesis strategies of OTLP requests: everything that the messages can say, the odd included.

IDs of spans are valid (of full length, not zero), drawn from few, so that spans repeat, share IDs,
form trees, cycles and orphans. Everything else is free.
"""

from __future__ import annotations

import struct

from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    EntityRef,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

KEYS = ["", "a", "b", "service.name", "http.status_code", "ключ", "with space", 'quote"\\', "\0"]
DOUBLES = [0.0, -0.0, 1.0, -1.5, 1e300, 5e-324, float("inf"), float("-inf"), float("nan")]
INT64_EDGES = [0, 1, -1, 2**63 - 1, -(2**63), 2**53 + 1]
UINT64_EDGES = [0, 1, 2**63 - 1, 2**63, 2**64 - 1, 1_700_000_000_000_000_000]
ENUM_EDGES = [0, 1, 2, 3, 4, 5, 6, 99, -1, 2**31 - 1, -(2**31)]

texts = st.sampled_from(["", "x", "GET /", "ошибка", "\0", "\U0001f600", "x" * 130]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=10
)
keys = st.sampled_from(KEYS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
counts = st.sampled_from([0, 0, 0, 1, 127, 128, 2**31, 2**32 - 1])
uint64s = st.sampled_from(UINT64_EDGES) | st.integers(0, 2**64 - 1)
int64s = st.sampled_from(INT64_EDGES) | st.integers(-(2**63), 2**63 - 1)
doubles = st.sampled_from(DOUBLES) | st.floats()
nan_payloads = st.integers(1, 2**51 - 1).map(
    lambda payload: struct.unpack("<d", struct.pack("<Q", 0xFFF8 << 48 | payload))[0]
)

string_values = st.builds(AnyValue, string_value=texts)
int_values = st.builds(AnyValue, int_value=int64s)
double_values = st.builds(AnyValue, double_value=doubles | nan_payloads)
nested_double_values = st.builds(
    AnyValue, double_value=st.sampled_from(DOUBLES) | st.floats(allow_nan=False)
)
bool_values = st.builds(AnyValue, bool_value=st.booleans())
bytes_values = st.builds(AnyValue, bytes_value=st.binary(max_size=8))
strindex_values = st.builds(AnyValue, string_value_strindex=st.integers(-(2**31), 2**31 - 1))
empty_values = st.builds(AnyValue)


def arrays(elements: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[AnyValue]:
    """Arrays of some elements, the empty one too."""
    values = st.builds(ArrayValue, values=st.lists(elements, max_size=4))
    return st.builds(AnyValue, array_value=values)


def pairs(values: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[KeyValue]:
    """KeyValues of some values, also without value and with the index that only profiles use."""
    strindexes = st.sampled_from([0] * 9 + [1, -1, 2**31 - 1])
    return st.builds(KeyValue, key=keys, value=st.none() | values, key_strindex=strindexes)


def mappings(values: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[AnyValue]:
    """Key-value lists, in which keys may repeat."""
    pairs_of_values = st.builds(KeyValueList, values=st.lists(pairs(values), max_size=3))
    return st.builds(AnyValue, kvlist_value=pairs_of_values)


# the payload of a NaN is lost inside of ``any``, whose JSON has no word for it
nested_values = st.recursive(
    string_values
    | int_values
    | nested_double_values
    | bool_values
    | bytes_values
    | strindex_values
    | empty_values,
    lambda inner: arrays(inner) | mappings(inner),
    max_leaves=8,
)
any_values = st.one_of(
    string_values,
    int_values,
    double_values,
    bool_values,
    bytes_values,
    arrays(string_values),
    arrays(int_values),
    arrays(double_values),
    arrays(bool_values),
    empty_values,
    nested_values,
)
attributes = st.lists(pairs(any_values), max_size=4)

trace_ids = st.sampled_from([b"\1" * 16, b"\xff" * 16, b"\0" * 15 + b"\1"])
span_ids = st.sampled_from([bytes([0] * 7 + [n]) for n in range(1, 7)] + [b"\xff" * 8])
parent_ids = st.sampled_from([b"", b"", b"\0" * 8]) | span_ids

events = st.builds(
    Span.Event,
    name=texts,
    time_unix_nano=uint64s,
    attributes=attributes,
    dropped_attributes_count=counts,
)
links = st.builds(
    Span.Link,
    trace_id=st.just(b"") | trace_ids,
    span_id=st.just(b"") | span_ids,
    trace_state=texts,
    attributes=attributes,
    dropped_attributes_count=counts,
    flags=counts,
)
statuses = st.builds(Status, message=texts, code=st.sampled_from(ENUM_EDGES))
spans = st.builds(
    Span,
    trace_id=trace_ids,
    span_id=span_ids,
    parent_span_id=parent_ids,
    trace_state=texts,
    flags=counts,
    name=texts,
    kind=st.sampled_from([1, 2, 3]) | st.sampled_from(ENUM_EDGES),
    start_time_unix_nano=uint64s,
    end_time_unix_nano=uint64s,
    attributes=attributes,
    dropped_attributes_count=counts,
    events=st.lists(events, max_size=2),
    dropped_events_count=counts,
    links=st.lists(links, max_size=2),
    dropped_links_count=counts,
    status=st.none() | statuses,
)
scopes = st.builds(
    InstrumentationScope,
    name=texts,
    version=texts,
    attributes=attributes,
    dropped_attributes_count=counts,
)
entity_refs = st.builds(
    EntityRef,
    schema_url=texts,
    type=texts,
    id_keys=st.lists(texts, max_size=2),
    description_keys=st.lists(texts, max_size=2),
)
resources = st.builds(
    Resource,
    attributes=attributes,
    dropped_attributes_count=counts,
    entity_refs=st.lists(entity_refs, max_size=2),
)
scope_spans = st.builds(
    ScopeSpans,
    scope=st.none() | scopes,
    spans=st.lists(spans, max_size=4),
    schema_url=texts,
)
resource_spans = st.builds(
    ResourceSpans,
    resource=st.none() | resources,
    scope_spans=st.lists(scope_spans, max_size=2),
    schema_url=texts,
)
requests = st.builds(ExportTraceServiceRequest, resource_spans=st.lists(resource_spans, max_size=2))
request_bytes = requests.map(lambda request: request.SerializeToString())

import json

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from opentelemetry.proto.common.v1 import common_pb2

from tracestore.codec.search_json import render_search_json, render_search_protobuf
from tracestore.model.results import (
    QueryStats,
    SearchResult,
    ServiceStats,
    SpanSet,
    SpanSummary,
    TraceSummary,
)

SPAN = SpanSummary(
    span_id=bytes(7) + b"\x01",
    name="",
    start_ns=1_700_000_000_000_000_000,
    duration_ns=120_000_000,
    attributes=(("service.name", "shop"), ("n", -1), ("f", 0.5), ("b", False), ("l", ("a", "b"))),
)
TRACE = TraceSummary(
    trace_id=bytes(14) + b"\xab\x12",
    root_service_name="shop",
    root_name="GET /",
    start_ns=1_700_000_000_000_000_000,
    duration_ns=120_900_000,
    span_sets=(SpanSet(matched=4, spans=(SPAN,)),),
    service_stats={
        "shop": ServiceStats(spans=7, errors=1),
        "db": ServiceStats(spans=2, errors=0),
    },
)
RESULT = SearchResult(
    traces=(TRACE,),
    stats=QueryStats(
        inspected_traces=12,
        inspected_spans=90,
        inspected_bytes=123456,
        total_blocks=3,
        total_block_bytes=999,
        total_jobs=4,
        completed_jobs=4,
    ),
)


def search_response_class() -> type:
    """Build ``tempopb.SearchResponse`` from the field numbers of the contract."""
    text = descriptor_pb2.FieldDescriptorProto
    string, u32, u64, message = text.TYPE_STRING, text.TYPE_UINT32, text.TYPE_UINT64, 11
    fields = {
        "ServiceStats": [("spanCount", u32, 1), ("errorCount", u32, 2)],
        "Span": [
            ("spanID", string, 1),
            ("name", string, 2),
            ("startTimeUnixNano", u64, 3),
            ("durationNanos", u64, 4),
            ("attributes", "*.opentelemetry.proto.common.v1.KeyValue", 5),
        ],
        "SpanSet": [("spans", "*.t.Span", 1), ("matched", u32, 2)],
        "StatsEntry": [("key", string, 1), ("value", ".t.ServiceStats", 2)],
        "Trace": [
            ("traceID", string, 1),
            ("rootServiceName", string, 2),
            ("rootTraceName", string, 3),
            ("startTimeUnixNano", u64, 4),
            ("durationMs", u32, 5),
            ("spanSet", ".t.SpanSet", 6),
            ("spanSets", "*.t.SpanSet", 7),
            ("serviceStats", "*.t.StatsEntry", 8),
        ],
        "Metrics": [
            ("inspectedTraces", u32, 1),
            ("inspectedBytes", u64, 2),
            ("totalBlocks", u32, 3),
            ("completedJobs", u32, 4),
            ("totalJobs", u32, 5),
            ("totalBlockBytes", u64, 6),
            ("inspectedSpans", u64, 7),
        ],
        "SearchResponse": [("traces", "*.t.Trace", 1), ("metrics", ".t.Metrics", 2)],
    }
    file = descriptor_pb2.FileDescriptorProto(
        name="t.proto", package="t", syntax="proto3", dependency=[common_pb2.DESCRIPTOR.name]
    )
    for name, members in fields.items():
        described = file.message_type.add(name=name)
        for member, kind, number in members:
            field = described.field.add(name=member, json_name=member, number=number, label=1)
            if isinstance(kind, str):
                field.label = 3 if kind.startswith("*") else 1
                field.type, field.type_name = message, kind.removeprefix("*")
            else:
                field.type = kind
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.SearchResponse"))


def test_json_has_exactly_the_fields_of_the_contract() -> None:
    attributes = [
        {"key": "service.name", "value": {"stringValue": "shop"}},
        {"key": "n", "value": {"intValue": "-1"}},
        {"key": "f", "value": {"doubleValue": 0.5}},
        {"key": "b", "value": {"boolValue": False}},
        {
            "key": "l",
            "value": {
                "arrayValue": {
                    "values": [
                        {"stringValue": "a"},
                        {"stringValue": "b"},
                    ]
                }
            },
        },
    ]
    span_set = {
        "spans": [
            {
                "spanID": "0000000000000001",
                "startTimeUnixNano": "1700000000000000000",
                "durationNanos": "120000000",
                "attributes": attributes,
            }
        ],
        "matched": 4,
    }

    assert json.loads(render_search_json(RESULT)) == {
        "traces": [
            {
                "traceID": "ab12",
                "rootServiceName": "shop",
                "rootTraceName": "GET /",
                "startTimeUnixNano": "1700000000000000000",
                "durationMs": 120,
                "spanSet": span_set,
                "spanSets": [span_set],
                "serviceStats": {
                    "shop": {"spanCount": 7, "errorCount": 1},
                    "db": {"spanCount": 2},
                },
            }
        ],
        "metrics": {
            "inspectedTraces": 12,
            "inspectedBytes": "123456",
            "totalBlocks": 3,
            "completedJobs": 4,
            "totalJobs": 4,
            "totalBlockBytes": "999",
            "inspectedSpans": "90",
        },
    }


def test_protobuf_says_the_same_as_json() -> None:
    message = search_response_class().FromString(render_search_protobuf(RESULT))  # type: ignore[attr-defined]
    read = json_format.MessageToDict(message)
    for trace in read["traces"]:
        trace["serviceStats"] = {entry["key"]: entry["value"] for entry in trace["serviceStats"]}

    assert read == json.loads(render_search_json(RESULT))


def test_nothing_found_is_an_empty_list() -> None:
    empty = SearchResult(traces=())

    assert render_search_json(empty) == b'{"traces":[],"metrics":{}}'
    assert render_search_protobuf(empty) == b"\x12\x00"


@pytest.mark.parametrize("span_sets", [True, False])
def test_a_trace_without_root_says_that_it_was_not_received(span_sets: bool) -> None:
    trace = TraceSummary(
        trace_id=bytes(16),
        root_service_name="",
        root_name="",
        start_ns=0,
        duration_ns=-5,
        span_sets=(),
        service_stats={},
    )

    body = json.loads(render_search_json(SearchResult(traces=(trace,)), span_sets=span_sets))

    assert body["traces"] == [{"traceID": "0", "rootServiceName": "<root span not yet received>"}]


def test_a_search_without_a_query_says_nothing_of_spans() -> None:
    (trace,) = json.loads(render_search_json(RESULT, span_sets=False))["traces"]

    assert not {"spanSet", "spanSets", "serviceStats"} & trace.keys()

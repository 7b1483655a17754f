"""Requests -> tables, rule by rule of ``model/tables.py``; the whole against the naive decoder."""

import json
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.naive_tables import naive_tables
from support.otlp import event, link, request, request_of, resource_spans, scope_spans, span
from support.recordings import ONLINE_BOUTIQUE, TRAIN_TICKET, read_recording
from support.same_tables import assert_same_tables
from support.wire import message

from tracestore.kernel import build_tables
from tracestore.model.tables import AttributeType, SpanTables, attribute_columns


def decode(*spans: Span, **shared: Any) -> SpanTables:
    """Decode spans, and hold the result against the naive decoder."""
    data = request(spans=spans, **shared)
    tables = build_tables([data])
    assert_same_tables(tables, naive_tables([data]))
    return tables


def with_attributes(*attributes: tuple[str, Any] | KeyValue) -> Span:
    made = span(trace=1, id=1)
    for one in attributes:
        pair = (
            one
            if isinstance(one, KeyValue)
            else span(trace=1, id=1, attributes=[one]).attributes[0]
        )
        made.attributes.append(pair)
    return made


def overflow(tables: SpanTables) -> list[tuple[str, str, str | None]]:
    if "span.*" not in tables.spans.column_names:
        return []
    rows = tables.spans["span.*"].to_pylist()
    return [(e["key"], e["type"], e["value"]) for row in rows for e in row or []]


NESTED = {"b": b"\0\xff\x10", "f": [1.5, float("nan"), -0.0, float("-inf")], "i": -(2**63)}


@pytest.mark.parametrize(
    ("value", "kind", "stored"),
    [
        ("text", AttributeType.STRING, "text"),
        ("", AttributeType.STRING, ""),
        (-(2**63), AttributeType.INT, -(2**63)),
        (True, AttributeType.BOOL, True),
        (1e300, AttributeType.FLOAT, 1e300),
        (b"\0\xff", AttributeType.BYTES, b"\0\xff"),
        (["a", ""], AttributeType.STRING_LIST, ["a", ""]),
        ([1, 2**63 - 1], AttributeType.INT_LIST, [1, 2**63 - 1]),
        ([-0.0], AttributeType.FLOAT_LIST, [-0.0]),
        ([True, False], AttributeType.BOOL_LIST, [True, False]),
        ([], AttributeType.ANY, '{"arrayValue":{"values":[]}}'),
        (
            [1, "a"],
            AttributeType.ANY,
            '{"arrayValue":{"values":[{"intValue":"1"},{"stringValue":"a"}]}}',
        ),
        ([b"x"], AttributeType.ANY, '{"arrayValue":{"values":[{"bytesValue":"eA=="}]}}'),
        (
            {"k": AnyValue(), "q": '"\\\n\x01é'},
            AttributeType.ANY,
            (
                '{"kvlistValue":{"values":[{"key":"k","value":{}},'
                '{"key":"q","value":{"stringValue":"\\"\\\\\\n\\u0001é"}}]}}'
            ),
        ),
        (
            NESTED,
            AttributeType.ANY,
            (
                '{"kvlistValue":{"values":[{"key":"b","value":{"bytesValue":"AP8Q"}},'
                '{"key":"f","value":{"arrayValue":{"values":[{"doubleValue":1.5},'
                '{"doubleValue":"NaN"},{"doubleValue":-0.0},{"doubleValue":"-Infinity"}]}}},'
                '{"key":"i","value":{"intValue":"-9223372036854775808"}}]}}'
            ),
        ),
    ],
)
def test_a_value_has_a_column_of_its_type(value: Any, kind: AttributeType, stored: Any) -> None:
    tables = decode(with_attributes(("key", value)), span(trace=1, id=2))
    [column] = attribute_columns(tables.spans.schema)
    assert (column.name, column.key, column.type) == ("span.key", "key", kind)
    assert repr(tables.spans["span.key"].to_pylist()) == repr([stored, None])


def test_each_type_of_a_key_has_a_column_and_the_most_frequent_the_plain_name() -> None:
    spans = [span(trace=1, id=i + 1, attributes={"code": i}) for i in range(3)]
    spans.append(span(trace=1, id=9, attributes={"code": "x"}))
    tables = decode(*spans)
    assert tables.spans["span.code"].to_pylist() == [0, 1, 2, None]
    assert tables.spans["span.code (string)"].to_pylist() == [None, None, None, "x"]


def test_repeated_keys_go_to_the_overflow_but_the_first() -> None:
    tables = decode(with_attributes(("k", 1), ("a", "x"), ("k", 2.5), ("k", "three"), ("k", b"\4")))
    assert tables.spans["span.k"].to_pylist() == [1]
    assert overflow(tables) == [
        ("k", "float", "2.5"),
        ("k", "string", "three"),
        ("k", "bytes", "BA=="),
    ]
    assert json.loads(tables.spans["attribute_order"][0].as_py()) == ["k", "a", "k", "k", "k"]


def test_a_valueless_first_occurrence_keeps_later_ones_out_of_the_column() -> None:
    tables = decode(with_attributes(KeyValue(key="k"), ("k", 1), ("x", AnyValue()), ("x", 2)))
    assert list(attribute_columns(tables.spans.schema)) == []
    assert overflow(tables) == [
        ("k", "none", None),
        ("k", "int", "1"),
        ("x", "empty", None),
        ("x", "int", "2"),
    ]


def test_overflow_is_in_the_order_sent() -> None:
    pairs = [("a", 1), ("z", 1), ("z", 2), ("a", 2), ("m", 1), KeyValue(key="b"), ("m", [1.5, 2.5])]
    tables = build_tables([request(spans=[with_attributes(*pairs)])], attribute_columns_max=0)
    expected = [("a", "int", "1"), ("z", "int", "1"), ("z", "int", "2"), ("a", "int", "2")]
    expected += [("m", "int", "1"), ("b", "none", None), ("m", "float[]", "[1.5,2.5]")]
    assert overflow(tables) == expected


def test_fields_of_profiles_are_kept_as_json() -> None:
    tables = decode(
        with_attributes(
            KeyValue(key="k", key_strindex=7, value=AnyValue(int_value=1)),
            KeyValue(key="s", value=AnyValue(string_value_strindex=0)),
        )
    )
    assert overflow(tables) == [
        ("k", "keyvalue", '{"key":"k","value":{"intValue":"1"},"keyStrindex":7}')
    ]
    assert tables.spans["span.s"].to_pylist() == ['{"stringValueStrindex":0}']


@pytest.mark.parametrize("count", [1, 7, 8, 9, 10, 40])
def test_a_key_that_becomes_frequent_takes_its_first_values_along(count: int) -> None:
    values = [1, "a", 2.5, True, b"x", ["l", ""], [1], [0.5], [False], {"k": 1}]
    spans = [
        span(trace=1, id=i + 1, attributes=[("k", values[i % len(values)]), ("j", i)])
        for i in range(count)
    ]
    tables = decode(*spans)
    assert sum(column.key == "k" for column in attribute_columns(tables.spans.schema)) == min(
        count, 10
    )


def test_a_key_needs_a_row_in_256() -> None:
    rows = 256 * 9
    spans = [
        span(trace=1, id=i + 1, attributes={f"k{n}": i for n in (8, 9, 10) if i < n})
        for i in range(rows)
    ]
    tables = decode(*spans)
    assert [c.key for c in attribute_columns(tables.spans.schema)] == ["k10", "k9"]
    assert overflow(tables) == [("k8", "int", str(i)) for i in range(8)]


def test_columns_are_limited_to_the_most_frequent() -> None:
    spans = [
        span(trace=1, id=i + 1, attributes={f"k{n}": i for n in range(10) if i < n})
        for i in range(10)
    ]
    data = request(spans=spans)
    for columns_max in (0, 1, 3, 512):
        tables = build_tables([data], attribute_columns_max=columns_max)
        assert_same_tables(tables, naive_tables([data], attribute_columns_max=columns_max))
        assert len(list(attribute_columns(tables.spans.schema))) == min(columns_max, 9)


def test_dense_cells_stay_in_proportion_to_the_values() -> None:
    spans = [span(trace=1, id=i + 1, attributes={f"k{i}": i}) for i in range(200)]
    tables = decode(*spans)
    assert len(list(attribute_columns(tables.spans.schema))) == 16 + 32
    assert len(overflow(tables)) == 200 - 48


def test_what_no_library_would_write_is_decoded_like_protobuf_does() -> None:
    group = message(2, message(2, message(1, b"t" * 16), message(2, b"s" * 8)), message(3, b"url"))
    parts = [
        message(1, message(1, message(1, key), message(2, message(1, b"v"))))
        for key in (b"a", b"b")
    ]
    data = message(1, parts[0], group, parts[1], message(3, b"schema"))
    tables = build_tables([data])
    assert_same_tables(tables, naive_tables([data]))
    assert tables.resources["resource.a"].to_pylist() == tables.resources["resource.b"].to_pylist()
    assert tables.resources["schema_url"].to_pylist() == ["schema"]


def test_resources_and_scopes_are_stored_once_and_missing_ones_are_null() -> None:
    shared = {"resource": {"service.name": "shop"}, "schema_url": "u"}
    groups = [
        resource_spans([scope_spans([span(trace=1, id=1)], scope="a", version="1")], **shared),
        resource_spans([scope_spans([span(trace=1, id=2)], scope="a", version="1")], **shared),
        resource_spans([scope_spans([span(trace=1, id=3)], scope=None)], resource=None),
        resource_spans([scope_spans([])], resource={"unused": 1}),
        resource_spans([scope_spans([span(trace=1, id=4)], scope="")], resource={}),
    ]
    data = request_of(groups)
    tables = build_tables([data, data])
    assert_same_tables(tables, naive_tables([data, data]))
    assert tables.resources["dropped_attributes_count"].to_pylist() == [0, None, 0]
    assert tables.scopes["name"].to_pylist() == ["a", None, ""]


def test_entities_of_a_resource_are_json() -> None:
    resource = Resource(dropped_attributes_count=3)
    resource.entity_refs.add(type="host", id_keys=["host.id", "host.name"])
    tables = decode(span(trace=1, id=1), resource=resource)
    [text] = tables.resources["entity_refs"].to_pylist()
    assert json.loads(text)[0]["idKeys"] == ["host.id", "host.name"]


def test_absent_is_not_zero() -> None:
    tables = decode(
        span(trace=1, id=1, start_ms=0),
        span(trace=1, id=2, start_ms=1, parent=0, status=0),
        span(trace=1, id=3, start_ms=2, parent=1, status="error", status_message="bad"),
    )
    ids = tables.spans["span_id"].to_pylist()
    parents = dict(zip(ids, tables.spans["parent_span_id"].to_pylist(), strict=True))
    codes = dict(zip(ids, tables.spans["status_code"].to_pylist(), strict=True))
    one, two, three = (i.to_bytes(8, "big") for i in (1, 2, 3))
    assert parents == {one: None, two: bytes(8), three: one}
    assert codes == {one: None, two: 0, three: 2}


def test_events_and_links_follow_their_spans_and_go_with_repeated_ones() -> None:
    repeated = span(
        trace=2,
        id=1,
        events=[event("b", attributes={"n": 1}), event("a")],
        links=[link(9, 9, attributes={"l": "x"}), link(b"", b"")],
    )
    tables = decode(repeated, span(trace=1, id=1, events=[event("c")]), repeated)
    assert tables.events["span"].to_pylist() == [0, 1, 1]
    assert tables.events["name"].to_pylist() == ["c", "b", "a"]
    assert tables.links["span"].to_pylist() == [1, 1]
    assert tables.links["trace_id"].to_pylist() == [(9).to_bytes(16, "big"), b""]


@pytest.mark.parametrize(
    ("links", "root"),
    [
        ([], 1),
        ([link(1, 5, attributes={"opentracing.ref_type": "child_of"})], 0),
        (
            [
                link(
                    1,
                    5,
                    attributes=[("opentracing.ref_type", 1), ("opentracing.ref_type", "child_of")],
                )
            ],
            0,
        ),
        ([link(2, 5, attributes={"opentracing.ref_type": "child_of"})], 1),
        ([link(1, 5, attributes={"opentracing.ref_type": "follows_from"})], 1),
    ],
)
def test_the_root_is_the_last_without_a_parent_unless_a_link_makes_it_a_child(
    links: list[Span.Link], root: int
) -> None:
    tables = decode(
        span(trace=1, id=1, name="first", start_ms=0),
        span(trace=1, id=2, name="second", start_ms=1, status="error", links=links),
        resource={"service.name": "shop"},
    )
    assert tables.traces["root_span"].to_pylist() == [root]
    assert tables.traces["root_name"].to_pylist() == [["first", "second"][root]]
    assert tables.traces["root_service_name"].to_pylist() == ["shop"]
    assert tables.traces["error_count"].to_pylist() == [1]


@pytest.mark.parametrize(
    ("resource", "service"),
    [
        ({}, None),
        ({"service.name": 5}, None),
        ([("service.name", "a"), ("service.name", "b")], "a"),
        ([("service.name", None), ("service.name", "b")], None),
        ({"service.name": ""}, ""),
    ],
)
def test_the_service_of_the_root_is_a_string_or_null(resource: Any, service: str | None) -> None:
    tables = decode(span(trace=1, id=1), resource=resource)
    assert tables.traces["root_service_name"].to_pylist() == [service]


def test_a_trace_without_a_root() -> None:
    tables = decode(span(trace=1, id=1, parent=2), span(trace=1, id=2, parent=1))
    assert tables.traces["root_span"].null_count == 1
    assert tables.spans["nested_left"].to_pylist() == [0, 0]


def test_numbers_are_as_wide_as_protobuf_has_them() -> None:
    far = Span(
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        start_time_unix_nano=2**64 - 1,
        end_time_unix_nano=5,
        flags=2**32 - 1,
        dropped_events_count=2**32 - 1,
    )
    far.kind = -(2**31)  # type: ignore[assignment]  # an enum of proto3 is open
    tables = decode(far)
    assert tables.spans["kind"].to_pylist() == [-(2**31)]
    assert tables.spans["duration"].to_pylist() == [6]
    assert tables.spans["start_time"].cast(pa.int64()).to_pylist() == [-1]


def test_no_requests_are_empty_tables_of_the_same_schema() -> None:
    assert_same_tables(build_tables([]), naive_tables([]))


def test_long_arrays_of_every_kind_survive_sorting() -> None:
    spans = [
        span(trace=9 - i, id=i + 1, attributes={"s": ["x" * i] * i, "i": [i] * i, "m": [[i]] * i})
        for i in range(9)
    ]
    decode(*spans)


def test_merged_arrays_are_one() -> None:
    value = AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1)])).SerializeToString()
    pair = message(9, message(1, b"k"), message(2, value), message(2, value))
    data = message(1, message(2, message(2, message(1, b"t" * 16), message(2, b"s" * 8), pair)))
    assert build_tables([data]).spans["span.k"].to_pylist() == [[1, 1]]


@pytest.mark.parametrize("name", [ONLINE_BOUTIQUE, TRAIN_TICKET])
def test_part_of_a_recording_agrees_with_the_naive_decoder(name: str) -> None:
    requests = list(read_recording(name, requests_max=4))
    assert_same_tables(build_tables(requests), naive_tables(requests))


@pytest.mark.parametrize(
    ("name", "spans", "traces"),
    [(ONLINE_BOUTIQUE, 282_709, 6_763), (TRAIN_TICKET, 153_448, 2_150)],
)
def test_a_whole_recording_has_the_spans_and_traces_that_its_readme_says(
    name: str, spans: int, traces: int
) -> None:
    tables = build_tables(list(read_recording(name)))
    assert (tables.spans.num_rows, tables.traces.num_rows) == (spans, traces)

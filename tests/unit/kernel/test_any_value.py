"""OTLP JSON to protobuf against the JSON reader of the protobuf library."""

import json
import math

import pytest
from google.protobuf import json_format
from hypothesis import given
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from support.naive_attributes import any_json, overflow_text
from support.strategies import nested_values

from tracestore.kernel.any_value import encode_any, encode_entity_refs, encode_overflow, varint


@given(nested_values)
def test_any_is_read_as_protobuf_reads_it(value: AnyValue) -> None:
    text = json.dumps(any_json(value))
    assert encode_any(text) == json_format.Parse(text, AnyValue()).SerializeToString()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", ""),
        ("string", "ж"),
        ("int", -(2**63)),
        ("int", 0),
        ("bool", True),
        ("bool", False),
        ("float", -0.0),
        ("float", 5e-324),
        ("float", float("-inf")),
        ("bytes", b"\0\xff"),
        ("string[]", ["a", ""]),
        ("int[]", [1, -1, 2**63 - 1]),
        ("float[]", [0.5, float("inf"), -0.0]),
        ("bool[]", [True, False]),
    ],
)
def test_overflow_entry_of_each_type(kind: str, value: object) -> None:
    pair = KeyValue.FromString(encode_overflow("key", kind, overflow_text(kind, value)))
    member = pair.value.WhichOneof("value")
    assert member is not None
    found = getattr(pair.value, member)
    if isinstance(value, list):
        found = [getattr(one, one.WhichOneof("value")) for one in found.values]
    assert pair.key == "key"
    assert repr(found) == repr(value)


def test_overflow_nan() -> None:
    assert math.isnan(KeyValue.FromString(encode_overflow("k", "float", "NaN")).value.double_value)


def test_overflow_entries_without_a_value() -> None:
    assert encode_overflow("k", "none", None) == KeyValue(key="k").SerializeToString()
    empty = KeyValue(key="k", value=AnyValue()).SerializeToString()
    assert encode_overflow("k", "empty", None) == empty


def test_overflow_of_a_whole_pair() -> None:
    text = '{"key":"","value":{"stringValueStrindex":7},"keyStrindex":-2}'
    pair = KeyValue(value=AnyValue(string_value_strindex=7), key_strindex=-2)
    assert encode_overflow("", "keyvalue", text) == pair.SerializeToString()


def test_entity_refs() -> None:
    text = (
        '[{"schemaUrl":"","type":"host","idKeys":["a","b"],"descriptionKeys":[""]},'
        '{"schemaUrl":"url","type":"","idKeys":[],"descriptionKeys":[]}]'
    )
    expected = json_format.Parse(f'{{"entityRefs":{text}}}', Resource())
    assert encode_entity_refs(text) == expected.SerializeToString()


def test_negative_varint_takes_ten_bytes() -> None:
    assert varint(-1) == b"\xff" * 9 + b"\x01"

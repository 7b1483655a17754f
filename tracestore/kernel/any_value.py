"""OTLP JSON texts -> protobuf bytes, for values that are too rare or too odd for a typed column.

Plain Python on purpose: each distinct text of a table goes through here once. The other way round
is compiled, since it is taken while untrusted bytes are read.

Source: OTLP specification, "JSON Protobuf Encoding"; proto3 language guide, "JSON Mapping".
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterable
from typing import Any

from tracestore.model.tables import AttributeType

VARINT, FIXED64, LENGTH = 0, 1, 2
U64_MASK = (1 << 64) - 1


def varint(value: int) -> bytes:
    """Write an integer; a negative one takes ten bytes, as protobuf has it."""
    value &= U64_MASK
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def delimited(field: int, content: bytes) -> bytes:
    """Write a length-delimited field."""
    return varint(field << 3 | LENGTH) + varint(len(content)) + content


def _array(values: Iterable[bytes]) -> bytes:
    return b"".join(delimited(1, value) for value in values)


def any_string(value: str) -> bytes:
    """Write an AnyValue that is a string."""
    return delimited(1, value.encode())


def any_bool(value: Any) -> bytes:
    """Write an AnyValue that is a bool: a JSON bool or its text."""
    return varint(2 << 3 | VARINT) + varint(value is True or value == "true")


def any_int(value: Any) -> bytes:
    """Write an AnyValue that is an integer: a JSON number or its text."""
    return varint(3 << 3 | VARINT) + varint(int(value))


def any_float(value: Any) -> bytes:
    """Write an AnyValue that is a double: a JSON number or its text (``NaN``, ``-Infinity``)."""
    return varint(4 << 3 | FIXED64) + struct.pack("<d", float(value))


def any_bytes(value: str) -> bytes:
    """Write an AnyValue that is bytes, given as base64."""
    return delimited(7, base64.b64decode(value, validate=True))


def any_json(value: dict[str, Any]) -> bytes:
    """Write an AnyValue given as OTLP JSON object; without a member it is empty."""
    return b"".join(MEMBERS[member](content) for member, content in value.items())


def pair_json(pair: dict[str, Any]) -> bytes:
    """Write a KeyValue given as OTLP JSON object."""
    written = delimited(1, pair["key"].encode()) if pair.get("key") else b""
    if "value" in pair:
        written += delimited(2, any_json(pair["value"]))
    if pair.get("keyStrindex"):
        written += varint(3 << 3 | VARINT) + varint(pair["keyStrindex"])
    return written


MEMBERS: dict[str, Callable[[Any], bytes]] = {
    "stringValue": any_string,
    "boolValue": any_bool,
    "intValue": any_int,
    "doubleValue": any_float,
    "arrayValue": lambda v: delimited(5, _array(any_json(one) for one in v.get("values", ()))),
    "kvlistValue": lambda v: delimited(6, _array(pair_json(one) for one in v.get("values", ()))),
    "bytesValue": any_bytes,
    "stringValueStrindex": lambda v: varint(8 << 3 | VARINT) + varint(v),
}

SCALARS: dict[str, Callable[[Any], bytes]] = {
    AttributeType.STRING: any_string,
    AttributeType.BOOL: any_bool,
    AttributeType.INT: any_int,
    AttributeType.FLOAT: any_float,
    AttributeType.BYTES: any_bytes,
    AttributeType.ANY: lambda text: any_json(json.loads(text)),
}
LISTS: dict[str, Callable[[Any], bytes]] = {
    AttributeType.STRING_LIST: any_string,
    AttributeType.BOOL_LIST: any_bool,
    AttributeType.INT_LIST: any_int,
    AttributeType.FLOAT_LIST: any_float,
}


def encode_any(text: str) -> bytes:
    """Write the AnyValue of a column of type ``any``."""
    return any_json(json.loads(text))


def encode_overflow(key: str, kind: str, value: str | None) -> bytes:
    """Write the KeyValue of one entry of ``<scope>.*``. See ``OVERFLOW`` in ``model/tables.py``."""
    if kind == "keyvalue":
        assert value is not None, f"no value of {key!r}"
        return pair_json(json.loads(value))
    written = delimited(1, key.encode()) if key else b""
    if kind == "none":
        return written
    if kind == "empty":
        return written + delimited(2, b"")
    if kind in LISTS:
        assert value is not None, f"no value of {key!r}"
        elements = _array(LISTS[kind](element) for element in json.loads(value))
        return written + delimited(2, delimited(5, elements))
    return written + delimited(2, SCALARS[kind](value))


def encode_entity_refs(text: str) -> bytes:
    """Write the ``entity_refs`` fields of a Resource message, tags included."""
    return b"".join(delimited(3, _entity_ref(ref)) for ref in json.loads(text))


def _entity_ref(ref: dict[str, Any]) -> bytes:
    written = b""
    for field, name in ((1, "schemaUrl"), (2, "type")):
        if ref.get(name):
            written += delimited(field, ref[name].encode())
    for field, name in ((3, "idKeys"), (4, "descriptionKeys")):
        written += b"".join(delimited(field, key.encode()) for key in ref.get(name, ()))
    return written

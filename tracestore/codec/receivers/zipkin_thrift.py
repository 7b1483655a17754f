"""Zipkin spans of version 1 in Thrift (a list of structs, binary protocol) -> a request.

Source: openzipkin, zipkin-api, thrift/zipkinCore.thrift.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from tracestore.codec.receivers.messages import Body
from tracestore.codec.receivers.thrift import (
    BinaryReader,
    Schema,
    binary,
    i16,
    i32,
    i64,
    text,
)
from tracestore.codec.receivers.zipkin import Endpoint
from tracestore.codec.receivers.zipkin_v1 import (
    BinaryAnnotation,
    V1Annotation,
    V1Span,
    translate_v1_spans,
)
from tracestore.errors import MalformedError

ENDPOINT = Schema(
    "zipkin endpoint", i32(1, "ipv4"), i16(2, "port"), text(3, "service_name"), binary(4, "ipv6")
)
ANNOTATION = Schema(
    "zipkin annotation",
    i64(1, "timestamp", required=True),
    text(2, "value", required=True),
    ENDPOINT.field(3, "host"),
)
BINARY_ANNOTATION = Schema(
    "zipkin binary annotation",
    text(1, "key", required=True),
    binary(2, "value"),
    i32(3, "annotation_type", required=True),
    ENDPOINT.field(4, "host"),
)
SPAN = Schema(
    "zipkin span",
    i64(1, "trace_id", required=True),
    text(3, "name"),
    i64(4, "id", required=True),
    i64(5, "parent_id"),
    ANNOTATION.list_field(6, "annotations"),
    BINARY_ANNOTATION.list_field(8, "binary_annotations"),
    i64(10, "timestamp"),
    i64(11, "duration"),
    i64(12, "trace_id_high"),
)

_BOOL, _BYTES, _STRING = 0, 1, 6
_NUMBERS = {2: struct.Struct(">h"), 3: struct.Struct(">i"), 4: struct.Struct(">q")}
_DOUBLE_TYPE, _DOUBLE = 5, struct.Struct(">d")
_ID_MASK = (1 << 64) - 1


def translate_list(body: Body, *, received_ns: int) -> bytes:
    """Turn a list of spans into a request.

    Args:
        received_ns: now; the start of spans that have no time at all.

    Raises: InvalidRequestError saying what is wrong, and where.
    """
    reader = BinaryReader(body)
    return translate_v1_spans(_spans(SPAN.read_list(reader)), received_ns=received_ns)


def _spans(spans: list[list[Any]]) -> Iterator[V1Span]:
    for low, name, id_, parent, notes, binaries, timestamp, duration, high in spans:
        trace_id = ((high or 0) & _ID_MASK) << 64 | low & _ID_MASK
        yield V1Span(
            traceId=f"{trace_id:x}",
            id=f"{id_ & _ID_MASK:x}",
            parentId=f"{parent & _ID_MASK:x}" if parent else None,
            name=name,
            timestamp=timestamp,
            duration=duration,
            annotations=[
                V1Annotation(timestamp=at, value=value, endpoint=_endpoint(host))
                for at, value, host in notes or ()
            ],
            binaryAnnotations=[
                BinaryAnnotation(key=key, value=_value(type_, value), endpoint=_endpoint(host))
                for key, value, type_, host in binaries or ()
            ],
        )


def _endpoint(host: list[Any] | None) -> Endpoint | None:
    if host is None:
        return None
    ipv4, port, service_name, ipv6 = host
    return Endpoint(
        serviceName=service_name,
        ipv4=str(ip_address(ipv4 & 0xFFFFFFFF)) if ipv4 else None,
        ipv6=_ipv6(ipv6),
        port=port & 0xFFFF if port else None,
    )


def _ipv6(value: bytes | None) -> str | None:
    if not value:
        return None
    return str(ip_address(value)) if len(value) == 16 else value.hex()


def _value(type_: int, value: bytes | None) -> str | bool | int | float:
    """Read the value of a binary annotation; bytes become hex, as a tag is a text."""
    content = value or b""
    if type_ == _BOOL:
        return content != b"\0"
    number = _DOUBLE if type_ == _DOUBLE_TYPE else _NUMBERS.get(type_)
    if number is not None and len(content) == number.size:
        found: int | float = number.unpack(content)[0]
        return found
    if type_ != _STRING:
        return content.hex()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("text of a zipkin binary annotation is not UTF-8", 0) from error

"""Zipkin spans of version 1 in Thrift say what those in JSON say."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flat_requests import read_request
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TType
from thrift.transport.TTransport import TMemoryBuffer

from tracestore.codec.receivers import zipkin_thrift, zipkin_v1
from tracestore.errors import InvalidRequestError
from tracestore.kernel import check

NOW_NS = 1_800_000_000_000_000_000
US = 1_700_000_000_000_000
TYPES = {bool: 0, bytes: 1, int: 4, float: 5, str: 6}


class Writer:
    """Writes spans of the JSON's shape by the Thrift library."""

    def __init__(self) -> None:
        self._buffer = TMemoryBuffer()
        self._out = TBinaryProtocol(self._buffer)

    def spans(self, spans: list[dict[str, Any]]) -> bytes:
        self._list(spans, self._span)
        content: bytes = self._buffer.getvalue()
        return content

    def _list(self, items: list[Any], write: Callable[[Any], None]) -> None:
        self._out.writeListBegin(TType.STRUCT, len(items))
        for item in items:
            write(item)
            self._out.writeFieldStop()

    def _field(self, number: int, wire: int, write: Callable[[], None]) -> None:
        self._out.writeFieldBegin("", wire, number)
        write()

    def _i64(self, number: int, value: int) -> None:
        signed = ((value & (1 << 64) - 1) ^ 1 << 63) - (1 << 63)
        self._field(number, TType.I64, lambda: self._out.writeI64(signed))

    def _text(self, number: int, value: str) -> None:
        self._field(number, TType.STRING, lambda: self._out.writeString(value))

    def _span(self, span: dict[str, Any]) -> None:
        trace = int(span["traceId"], 16)
        self._i64(1, trace)
        self._text(3, span.get("name", ""))
        self._i64(4, int(span["id"], 16))
        if "parentId" in span:
            self._i64(5, int(span["parentId"], 16))
        notes = span.get("annotations", [])
        self._field(6, TType.LIST, lambda: self._list(notes, self._annotation))
        tags = span.get("binaryAnnotations", [])
        self._field(8, TType.LIST, lambda: self._list(tags, self._binary_annotation))
        self._field(9, TType.BOOL, lambda: self._out.writeBool(True))
        for number, name in ((10, "timestamp"), (11, "duration")):
            if name in span:
                self._i64(number, span[name])
        self._i64(12, trace >> 64)

    def _annotation(self, note: dict[str, Any]) -> None:
        self._i64(1, note["timestamp"])
        self._text(2, note["value"])
        self._host(3, note)

    def _binary_annotation(self, tag: dict[str, Any]) -> None:
        value = tag["value"]
        content = {
            bool: lambda: bytes([value]),
            bytes: lambda: value,
            int: lambda: struct.pack(">q", value),
            float: lambda: struct.pack(">d", value),
            str: lambda: str(value).encode(),
        }[type(value)]()
        self._text(1, tag["key"])
        self._field(2, TType.STRING, lambda: self._out.writeBinary(content))
        self._field(3, TType.I32, lambda: self._out.writeI32(TYPES[type(value)]))
        self._host(4, tag)

    def _host(self, number: int, owner: dict[str, Any]) -> None:
        if "endpoint" not in owner:
            return
        host = owner["endpoint"]
        packed = bytes(int(part) for part in host.get("ipv4", "0.0.0.0").split("."))
        port = (host.get("port", 0) ^ 0x8000) - 0x8000
        self._field(number, TType.STRUCT, lambda: None)
        self._field(1, TType.I32, lambda: self._out.writeI32(struct.unpack(">i", packed)[0]))
        self._field(2, TType.I16, lambda: self._out.writeI16(port))
        self._text(3, host.get("serviceName", ""))
        if "ipv6" in host:
            self._field(4, TType.STRING, lambda: self._out.writeBinary(bytes(15) + b"\1"))
        self._out.writeFieldStop()


hosts = st.fixed_dictionaries(
    {},
    optional={
        "serviceName": st.sampled_from(["shop", "bank"]),
        "ipv4": st.sampled_from(["10.0.0.1", "192.168.1.2"]),
        "ipv6": st.just("::1"),
        "port": st.integers(1, 65535),
    },
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
notes = st.fixed_dictionaries(
    {
        "timestamp": st.integers(1, 2**52),
        "value": st.sampled_from(["cs", "cr", "sr", "ss", "ms", "mr"]) | texts,
    },
    optional={"endpoint": hosts},
)
values = (
    texts
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
tags = st.fixed_dictionaries(
    {"key": st.sampled_from(["sa", "ca", "http.path", "error", "lc"]), "value": values},
    optional={"endpoint": hosts},
)
ids = st.integers(1, 2**64 - 1).map(lambda number: f"{number:x}")
spans = st.fixed_dictionaries(
    {"traceId": st.integers(1, 2**128 - 1).map(lambda number: f"{number:x}"), "id": ids},
    optional={
        "parentId": ids,
        "name": texts,
        "annotations": st.lists(notes, max_size=3),
        "binaryAnnotations": st.lists(tags, max_size=3),
        "timestamp": st.integers(1, 2**52),
        "duration": st.integers(0, 2**50),
    },
)


@given(st.lists(spans, max_size=4))
def test_thrift_means_what_json_means(sent: list[dict[str, Any]]) -> None:
    as_json = zipkin_v1.translate_json(json.dumps(sent).encode(), received_ns=NOW_NS)
    as_thrift = zipkin_thrift.translate_list(Writer().spans(sent), received_ns=NOW_NS)

    assert read_request(as_thrift) == read_request(as_json)


@given(
    st.binary(max_size=80) | st.lists(spans, max_size=2).map(lambda s: Writer().spans(s)), st.data()
)
def test_damaged_bytes_are_translated_or_refused(body: bytes, data: st.DataObject) -> None:
    damaged = bytearray(body)
    if damaged:
        damaged[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    for given_body in (damaged, body[: data.draw(st.integers(0, len(body)))]):
        try:
            request = zipkin_thrift.translate_list(bytes(given_body), received_ns=NOW_NS)
        except InvalidRequestError:
            continue
        check(request)


def test_bytes_are_hex() -> None:
    tag = {"key": "raw", "value": b"\xff\0"}
    body = Writer().spans(
        [{"traceId": "1", "id": "1", "timestamp": US, "binaryAnnotations": [tag]}]
    )

    (span,) = read_request(zipkin_thrift.translate_list(body, received_ns=NOW_NS))

    assert span["attributes"] == {"raw": "ff00"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "cut off at byte 0"),
        (struct.pack(">bi", 12, 9), "list of 9 elements is cut off"),
        (struct.pack(">bi", 12, 2) + bytes(2), "zipkin span without trace_id ends"),
        (struct.pack(">bi", 8, 1) + bytes(4), "list of zipkin span holds values of type 8"),
        (Writer().spans([{"traceId": "0", "id": "1"}]), "zipkin span 0: traceId is zero"),
    ],
)
def test_what_is_bad_is_refused_with_the_place(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        zipkin_thrift.translate_list(body, received_ns=NOW_NS)

    assert reason in str(refused.value)

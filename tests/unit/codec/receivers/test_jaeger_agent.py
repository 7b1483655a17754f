"""Datagrams of agents' clients become OTLP, and what is none is refused."""

from __future__ import annotations

import struct

import pytest
from support.flat_requests import read_request
from support.jaeger import thrift_batch, thrift_message
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.Thrift import TMessageType, TType
from thrift.transport.TTransport import TMemoryBuffer

from tracestore.codec.receivers.jaeger_agent import translate_binary, translate_compact
from tracestore.codec.receivers.jaeger_thrift import translate_batch
from tracestore.errors import MalformedError

BATCH = {
    "process": {"service_name": "shop", "tags": {"yes": True, "no": False, "raw": b"\xff"}},
    "spans": [
        {
            "trace": 1 << 100,
            "id": 1 << 63,
            "start_us": 1_700_000_000_000_000,
            "duration_us": 7,
            "tags": {f"key.{n}": n * 0.5 for n in range(20)},
            "references": [(0, 1 << 100, 5)],
        }
    ],
}
COMPACT = thrift_message(BATCH, TCompactProtocol)
BINARY = thrift_message(BATCH, TBinaryProtocol)


def test_both_protocols_say_what_a_batch_over_http_says() -> None:
    wanted = read_request(translate_batch(thrift_batch(BATCH)))

    assert len(wanted) == 1
    assert read_request(translate_compact(COMPACT)) == wanted
    assert read_request(translate_binary(BINARY)) == wanted


def test_the_older_form_without_a_version_is_read() -> None:
    body = BINARY[4:17]  # length and name of the method
    older = body + bytes([TMessageType.ONEWAY]) + BINARY[17:]

    assert translate_binary(older) == translate_binary(BINARY)


def unknown(protocol: type) -> bytes:
    """Write a call whose arguments hold all kinds of unknown values before the batch."""
    buffer = TMemoryBuffer()
    out = protocol(buffer)
    out.writeMessageBegin("emitBatch", TMessageType.CALL, 7)
    out.writeStructBegin("")
    out.writeFieldBegin("", TType.BOOL, 90)
    out.writeBool(True)
    out.writeFieldEnd()
    out.writeFieldBegin("", TType.LIST, 91)
    out.writeListBegin(TType.BOOL, 20)
    for _ in range(20):
        out.writeBool(True)
    out.writeListEnd()
    out.writeFieldEnd()
    out.writeFieldBegin("", TType.MAP, 92)
    out.writeMapBegin(TType.STRING, TType.DOUBLE, 1)
    out.writeString("k")
    out.writeDouble(0.5)
    out.writeMapEnd()
    out.writeFieldEnd()
    out.writeFieldBegin("", TType.MAP, 93)
    out.writeMapBegin(TType.STRING, TType.I32, 0)
    out.writeMapEnd()
    out.writeFieldEnd()
    out.writeFieldBegin("", TType.STRUCT, 94)
    out.writeStructBegin("")
    for wire, write in ((TType.BYTE, out.writeByte), (TType.I16, out.writeI16)):
        out.writeFieldBegin("", wire, 300)
        write(-5)
        out.writeFieldEnd()
    out.writeFieldStop()
    out.writeStructEnd()
    out.writeFieldEnd()
    content: bytes = buffer.getvalue()
    return content


@pytest.mark.parametrize(
    ("protocol", "translate", "known"),
    [(TCompactProtocol, translate_compact, COMPACT), (TBinaryProtocol, translate_binary, BINARY)],
)
def test_unknown_values_are_passed_over(protocol: type, translate, known: bytes) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MalformedError, match="cut off"):
        translate(unknown(protocol))
    start = (
        known.index(b"emitBatch") + len(b"emitBatch") + (4 if protocol is TBinaryProtocol else 0)
    )
    batch = known[start:]
    if protocol is TCompactProtocol:  # its header counts on from the field before
        batch = bytes([0x0C, 2]) + batch[1:]

    assert translate(unknown(protocol) + batch) == translate(known)


HEAD = b"\x82\x81\x01\x09emitBatch"
BAD_COMPACT = {
    "nothing": (b"", "no thrift message in the compact protocol at byte 0"),
    "the other protocol": (BINARY, "no thrift message in the compact protocol at byte 0"),
    "another version": (b"\x82\x82\x01\x00", "version 2 at byte 1"),
    "another method": (b"\x82\x81\x01\x03abc", "calls b'abc' with the type 4"),
    "an answer": (b"\x82\x41\x01\x09emitBatch", "with the type 2"),
    "cut off": (COMPACT[:-1], "cut off at byte"),
    "no batch": (HEAD + b"\0", "jaeger emitBatch without batch ends"),
    "unknown type": (HEAD + b"\x1d", "thrift value has the type 13"),
    "endless number": (HEAD + b"\x05" + b"\xff" * 11, "more than 10 bytes"),
    "a long list": (HEAD + b"\x99\xfc\xff\xff\xff\x0f", "elements is cut off"),
    "a long map": (HEAD + b"\x9b\xff\xff\xff\xff\x0f", "elements is cut off"),
    "a long text": (HEAD + b"\x98\xff\xff\xff\xff\x0f", "value is cut off"),
    "deep": (HEAD + b"\x9c" * 50_000, "nested deeper than 16"),
    "deep lists": (HEAD + b"\x99" + b"\x19" * 50_000, "nested deeper than 16"),
    "many unknown": (HEAD + b"\x99\xfc\xc0\x9a\x0c" + bytes(200_000), "over 65536 unknown values"),
    "a large number": (HEAD + b"\x96" + b"\xff" * 9 + b"\x7f", "more than 64 bits"),
}


@pytest.mark.parametrize("name", BAD_COMPACT)
def test_what_is_no_compact_message_is_refused(name: str) -> None:
    datagram, reason = BAD_COMPACT[name]

    with pytest.raises(MalformedError) as refused:
        translate_compact(datagram)

    assert reason in str(refused.value)


BAD_BINARY = {
    "nothing": (b"", "cut off at byte 0"),
    "a version alone": (b"\x80\x01\x00", "thrift message is cut off"),
    "the other protocol": (COMPACT, "at byte"),
    "another method": (struct.pack(">hbbi3si", -0x7FFF, 0, 4, 3, b"abc", 1), "calls b'abc'"),
    "no batch": (BINARY[: BINARY.index(b"emitBatch") + 13] + b"\0", "without batch ends"),
}


@pytest.mark.parametrize("name", BAD_BINARY)
def test_what_is_no_binary_message_is_refused(name: str) -> None:
    datagram, reason = BAD_BINARY[name]

    with pytest.raises(MalformedError) as refused:
        translate_binary(datagram)

    assert reason in str(refused.value)

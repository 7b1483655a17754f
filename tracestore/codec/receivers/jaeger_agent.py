"""Datagrams to a Jaeger agent -> ExportTraceServiceRequest bytes.

A datagram is one call of ``emitBatch``, in the compact or the binary protocol of Thrift.
Source: jaeger-idl, thrift/agent.thrift; Apache Thrift, "Message" of both protocols.
"""

from __future__ import annotations

import struct

from tracestore.codec.receivers.jaeger_thrift import BATCH, translate_read_batch
from tracestore.codec.receivers.thrift import BYTE, I32, BinaryReader, Reader, Schema
from tracestore.codec.receivers.thrift_compact import CompactReader
from tracestore.errors import MalformedError

_METHOD = b"emitBatch"
_ARGUMENTS = Schema("jaeger emitBatch", BATCH.field(1, "batch", required=True))

_COMPACT_ID = 0x82
_VERSION_MASK, _COMPACT_VERSION = 0x1F, 1
_BINARY_VERSION = struct.pack(">h", -0x7FFF)  # 0x8001
_TYPES = (1, 4)
"""A call, and one without an answer."""


def translate_compact(datagram: bytes) -> bytes:
    """Turn a datagram in the compact protocol into a request.

    Raises: InvalidRequestError saying what is wrong, and where.
    """
    if len(datagram) < 3 or datagram[0] != _COMPACT_ID:
        raise MalformedError("datagram is no thrift message in the compact protocol", 0)
    if datagram[1] & _VERSION_MASK != _COMPACT_VERSION:
        raise MalformedError(f"thrift message has the version {datagram[1] & _VERSION_MASK}", 1)
    reader = CompactReader(datagram, 2)
    reader.integer(I32)  # the number of the call; how its sign is written does not matter
    return _translate(reader, reader.binary(), datagram[1] >> 5)


def translate_binary(datagram: bytes) -> bytes:
    """Turn a datagram in the binary protocol into a request; errors as for the compact one."""
    if datagram[:2] == _BINARY_VERSION:
        reader = BinaryReader(datagram, 4)
        if len(datagram) < 4:
            raise MalformedError("thrift message is cut off", len(datagram))
        type_, method = datagram[3], reader.binary()
    else:  # the older form, without a version
        reader = BinaryReader(datagram)
        method = reader.binary()
        type_ = reader.integer(BYTE)
    reader.integer(I32)
    return _translate(reader, method, type_)


def _translate(reader: Reader, method: bytes, type_: int) -> bytes:
    if method != _METHOD or type_ not in _TYPES:
        raise MalformedError(f"thrift message calls {method[:64]!r} with the type {type_}", 0)
    (batch,) = _ARGUMENTS.read(reader)
    return translate_read_batch(batch)

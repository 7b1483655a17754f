"""Walks the messages of a protobuf body one at a time, without making objects of the whole.

An empty message takes two bytes on the wire and a hundred in memory: what is one too many must be
found before it is an object. Source: Protocol Buffers documentation, "Encoding".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from tracestore.errors import MalformedError

Body = bytes | bytearray
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES_MAX = 10

M = TypeVar("M")


def walk_messages(body: Body, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Go through the length-delimited fields of a message: number, start and end of each.

    Raises: MalformedError with the byte offset.
    """
    at = start
    while at < end:
        field = at
        tag, at = _read_varint(body, at, end)
        number, wire_type = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise MalformedError(f"protobuf field has the number {number}", field)
        if wire_type == _LENGTH:
            size, at = _read_varint(body, at, end)
            if size > end - at:
                raise MalformedError(f"protobuf field of {size} bytes is cut off", field)
            yield number, at, at + size
            at += size
        elif wire_type == _VARINT:
            _, at = _read_varint(body, at, end)
        elif wire_type in (_FIXED64, _FIXED32):
            at += 8 if wire_type == _FIXED64 else 4
        else:
            raise MalformedError(f"protobuf field has the wire type {wire_type}", field)
        if at > end:
            raise MalformedError("protobuf field is cut off", field)


def parse_message(kind: Any, body: Body, start: int, end: int, *, what: str, bytes_max: int) -> Any:
    """Make the object of one message.

    Args:
        kind: generated class.
        what: name of the message, for errors.

    Raises: MalformedError with the byte offset at which the message begins.
    """
    if end - start > bytes_max:
        raise MalformedError(f"{what} has {end - start} bytes, the limit is {bytes_max},", start)
    try:
        return kind.FromString(bytes(body[start:end]))
    except DecodeError as error:
        raise MalformedError(f"{what} is no protobuf message ({error})", start) from error


def _read_varint(body: Body, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * _VARINT_BYTES_MAX, 7):
        if at >= end:
            raise MalformedError("protobuf number is cut off", at)
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise MalformedError("protobuf number has more than 10 bytes", at)

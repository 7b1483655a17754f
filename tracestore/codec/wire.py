"""The few protobuf wire primitives that small hand-written answers need.

Source: Protocol Buffers documentation, "Encoding".
"""

from __future__ import annotations

import struct


def encode_varint(number: int) -> bytes:
    """Write an unsigned number; negative ones as their 64-bit two's complement."""
    number &= (1 << 64) - 1
    content = bytearray()
    while number > 0x7F:
        content.append(number & 0x7F | 0x80)
        number >>= 7
    content.append(number)
    return bytes(content)


def encode_bytes(field: int, content: bytes) -> bytes:
    """Write a length-delimited field, also if it is empty."""
    return encode_varint(field << 3 | 2) + encode_varint(len(content)) + content


def encode_text(field: int, text: str) -> bytes:
    """Write a string field; nothing if it is empty, as proto3 does."""
    return encode_bytes(field, text.encode()) if text else b""


def encode_number(field: int, number: int) -> bytes:
    """Write a varint field; nothing if it is zero."""
    return encode_varint(field << 3) + encode_varint(number) if number else b""


def encode_double(field: int, number: float) -> bytes:
    """Write a double field, also if it is zero (for members of a oneof)."""
    return encode_varint(field << 3 | 1) + struct.pack("<d", number)

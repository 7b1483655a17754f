"""Protobuf wire format by hand, for messages that no library would write."""

from __future__ import annotations

VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 = range(6)


def varint(value: int, *, size: int = 0) -> bytes:
    """Write an integer, with superfluous bytes up to ``size``."""
    written = bytearray()
    while value > 0x7F or len(written) < size - 1:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def tag(number: int, wire_type: int, *, size: int = 0) -> bytes:
    """Write what stands before a field."""
    return varint(number << 3 | wire_type, size=size)


def number(field: int, value: int, *, size: int = 0) -> bytes:
    """Write a varint field."""
    return tag(field, VARINT) + varint(value, size=size)


def fixed64(field: int, value: int) -> bytes:
    """Write a 64-bit field."""
    return tag(field, FIXED64) + value.to_bytes(8, "little")


def fixed32(field: int, value: int) -> bytes:
    """Write a 32-bit field."""
    return tag(field, FIXED32) + value.to_bytes(4, "little")


def message(field: int, *parts: bytes) -> bytes:
    """Write a length-delimited field: a message of these parts, a text or bytes."""
    content = b"".join(parts)
    return tag(field, LENGTH) + varint(len(content)) + content


def group(field: int, *parts: bytes) -> bytes:
    """Write a group, which proto3 does not have but readers must skip."""
    return tag(field, GROUP) + b"".join(parts) + tag(field, GROUP_END)

"""A strict reader of Thrift structs: hostile bytes end in a MalformedError, never in anything else.

A schema says which fields a struct has; the rest is skipped, within a budget. What is required
must be there, so that no list of empty structs can grow far beyond its bytes, and nothing recurses
deeper than the schema or ``DEPTH_MAX``. Library readers bound neither.

Source: Apache Thrift, "Thrift Binary protocol encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tracestore.errors import MalformedError

STOP, BOOL, BYTE, DOUBLE, I16, I32, I64, BINARY, STRUCT, MAP, SET, LIST = (
    *(0, 2, 3, 4, 6, 8, 10),
    *(11, 12, 13, 14, 15),
)
DEPTH_MAX = 16
SKIPS_MAX = 1 << 16
_SIZES = {BOOL: 1, BYTE: 1, DOUBLE: 8, I16: 2, I32: 4, I64: 8}

_I16 = struct.Struct(">h").unpack_from
_I32 = struct.Struct(">i").unpack_from
_I64 = struct.Struct(">q").unpack_from
_DOUBLE = struct.Struct(">d").unpack_from


class Reader(Protocol):
    """One encoding of Thrift. Every method raises MalformedError where the bytes are wrong."""

    @property
    def at(self) -> int:
        """Offset of the next byte."""

    def field(self, previous: int) -> tuple[int, int]:
        """Read what stands before a field: wire type and number; STOP ends a struct.

        Args:
            previous: number of the field before in this struct, 0 if there is none.
        """

    def boolean(self) -> bool: ...
    def integer(self, wire: int) -> int:
        """Read a BYTE, I16, I32 or I64."""

    def double(self) -> float: ...
    def binary(self) -> bytes: ...
    def elements(self) -> tuple[int, int]:
        """Read what stands before a list or set: type and number of its elements."""

    def skip(self, wire: int) -> None:
        """Pass over a value."""


ReadValue = Callable[[Reader], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a struct that is read."""

    number: int
    name: str
    wire: int
    read: ReadValue
    required: bool = False


class Schema:
    """The fields of a struct; a read struct is the list of their values, None where absent."""

    def __init__(self, name: str, *fields: Field) -> None:
        self._name = name
        self._slots = {f.number: (slot, f.wire, f.read) for slot, f in enumerate(fields)}
        self._required = [(slot, f.name) for slot, f in enumerate(fields) if f.required]
        self._empty = [None] * len(fields)

    def read(self, reader: Reader) -> list[Any]:
        """Read a struct. Raises: MalformedError naming what is missing or cut off."""
        values = self._empty.copy()
        slots = self._slots
        number = 0
        while True:
            wire, number = reader.field(number)
            if wire == STOP:
                break
            known = slots.get(number)
            if known is None or known[1] != wire:
                reader.skip(wire)
            else:
                values[known[0]] = known[2](reader)
        for slot, name in self._required:
            if values[slot] is None:
                raise MalformedError(f"{self._name} without {name} ends", reader.at)
        return values

    def read_list(self, reader: Reader) -> list[list[Any]]:
        """Read a list of such structs."""
        wire, count = reader.elements()
        if count and wire != STRUCT:
            raise MalformedError(f"list of {self._name} holds values of type {wire}", reader.at)
        return [self.read(reader) for _ in range(count)]

    def field(self, number: int, name: str, *, required: bool = False) -> Field:
        """Make a field that holds such a struct."""
        return Field(number, name, STRUCT, self.read, required)

    def list_field(self, number: int, name: str, *, required: bool = False) -> Field:
        """Make a field that holds a list of such structs."""
        return Field(number, name, LIST, self.read_list, required)


def i16(number: int, name: str, *, required: bool = False) -> Field:
    """Make a field of a 16-bit number."""
    return Field(number, name, I16, lambda reader: reader.integer(I16), required)


def i32(number: int, name: str, *, required: bool = False) -> Field:
    """Make a field of a 32-bit number."""
    return Field(number, name, I32, lambda reader: reader.integer(I32), required)


def i64(number: int, name: str, *, required: bool = False) -> Field:
    """Make a field of a 64-bit number."""
    return Field(number, name, I64, lambda reader: reader.integer(I64), required)


def double(number: int, name: str) -> Field:
    """Make a field of a floating-point number."""
    return Field(number, name, DOUBLE, lambda reader: reader.double())


def boolean(number: int, name: str) -> Field:
    """Make a field of a truth value."""
    return Field(number, name, BOOL, lambda reader: reader.boolean())


def binary(number: int, name: str) -> Field:
    """Make a field of bytes."""
    return Field(number, name, BINARY, lambda reader: reader.binary())


def text(number: int, name: str, *, required: bool = False) -> Field:
    """Make a field of UTF-8 text."""
    return Field(number, name, BINARY, _read_text, required)


def _read_text(reader: Reader) -> str:
    content = reader.binary()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        start = reader.at - len(content) + error.start
        raise MalformedError("text is not UTF-8", start) from error


class BinaryReader:
    """The binary protocol."""

    def __init__(self, body: bytes | bytearray, at: int = 0) -> None:
        self._body = body
        self._at = at
        self._end = len(body)
        self._skips = 0

    @property
    def at(self) -> int:
        return self._at

    def field(self, previous: int) -> tuple[int, int]:
        at = self._at
        if at >= self._end:
            raise MalformedError("thrift struct is cut off", at)
        wire = self._body[at]
        if wire == STOP:
            self._at = at + 1
            return STOP, 0
        if at + 3 > self._end:
            raise MalformedError("thrift field is cut off", at)
        self._at = at + 3
        number: int = _I16(self._body, at + 1)[0]
        return wire, number

    def boolean(self) -> bool:
        return self._body[self._take(1)] != 0

    def integer(self, wire: int) -> int:
        at = self._take(_SIZES[wire])
        number: int
        if wire == I64:
            number = _I64(self._body, at)[0]
        elif wire == I32:
            number = _I32(self._body, at)[0]
        elif wire == I16:
            number = _I16(self._body, at)[0]
        else:
            number = (self._body[at] ^ 0x80) - 0x80
        return number

    def double(self) -> float:
        number: float = _DOUBLE(self._body, self._take(8))[0]
        return number

    def binary(self) -> bytes:
        size = self.integer(I32)
        if size < 0:
            raise MalformedError(f"thrift text has the length {size}", self._at - 4)
        at = self._take(size)
        return bytes(self._body[at : at + size])

    def elements(self) -> tuple[int, int]:
        wire = self._body[self._take(1)]
        return wire, self._count(_SIZES.get(wire, 1))

    def skip(self, wire: int) -> None:
        self._skip(wire, DEPTH_MAX)

    def _skip(self, wire: int, depth: int) -> None:
        self._skips += 1
        if self._skips > SKIPS_MAX:
            raise MalformedError(f"thrift body has over {SKIPS_MAX} unknown values", self._at)
        if depth == 0:
            raise MalformedError(f"thrift value is nested deeper than {DEPTH_MAX}", self._at)
        if (size := _SIZES.get(wire)) is not None:
            self._take(size)
        elif wire == BINARY:
            self.binary()
        elif wire == STRUCT:
            while (inner := self.field(0)[0]) != STOP:
                self._skip(inner, depth - 1)
        elif wire in (LIST, SET):
            self._skip_elements((self._body[self._take(1)],), depth)
        elif wire == MAP:
            at = self._take(2)
            self._skip_elements((self._body[at], self._body[at + 1]), depth)
        else:
            raise MalformedError(f"thrift value has the type {wire}", self._at)

    def _skip_elements(self, wires: tuple[int, ...], depth: int) -> None:
        sizes = [_SIZES.get(wire) for wire in wires]
        count = self._count(sum(size or 1 for size in sizes))
        if None not in sizes:
            self._take(count * sum(size or 0 for size in sizes))
            return
        for _ in range(count):
            for wire in wires:
                self._skip(wire, depth - 1)

    def _count(self, size_min: int) -> int:
        """Read how many elements follow, each of ``size_min`` bytes or more."""
        count = self.integer(I32)
        if not 0 <= count * size_min <= self._end - self._at:
            raise MalformedError(f"thrift list of {count} elements is cut off", self._at)
        return count

    def _take(self, size: int) -> int:
        """Pass over bytes. Returns: where they begin."""
        at = self._at
        if size > self._end - at:
            raise MalformedError("thrift value is cut off", at)
        self._at = at + size
        return at

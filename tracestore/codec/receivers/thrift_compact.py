"""Thrift's compact protocol, read as strictly as the binary one.

Source: Apache Thrift, "Thrift Compact protocol encoding".
"""

from __future__ import annotations

import struct

from tracestore.codec.receivers import thrift
from tracestore.codec.receivers.thrift import DEPTH_MAX, SKIPS_MAX
from tracestore.errors import MalformedError

_TRUE, _FALSE = 1, 2
_WIRES = (
    *(thrift.STOP, thrift.BOOL, thrift.BOOL, thrift.BYTE, thrift.I16, thrift.I32, thrift.I64),
    *(thrift.DOUBLE, thrift.BINARY, thrift.LIST, thrift.SET, thrift.MAP, thrift.STRUCT),
)
"""Type in the compact protocol -> type in the binary one, which schemas know."""

_VARINT_BYTES_MAX = 10
_DOUBLE = struct.Struct("<d").unpack_from


class CompactReader:
    """The compact protocol."""

    def __init__(self, body: bytes | bytearray, at: int = 0) -> None:
        self._body = body
        self._at = at
        self._end = len(body)
        self._skips = 0
        self._boolean: bool | None = None
        """A truth value that stood in the header of its field."""

    @property
    def at(self) -> int:
        return self._at

    def field(self, previous: int) -> tuple[int, int]:
        head = self._byte()
        if head == thrift.STOP:
            return thrift.STOP, 0
        kind = head & 0x0F
        wire = self._wire(kind)
        if wire == thrift.BOOL:
            self._boolean = kind == _TRUE
        if head >> 4:
            return wire, previous + (head >> 4)
        return wire, self._zigzag()

    def boolean(self) -> bool:
        if self._boolean is None:
            return self._byte() == _TRUE  # an element of a list
        value, self._boolean = self._boolean, None
        return value

    def integer(self, wire: int) -> int:
        if wire == thrift.BYTE:
            return (self._byte() ^ 0x80) - 0x80
        number = self._zigzag()
        if not -(1 << 63) <= number < 1 << 63:
            raise MalformedError("thrift number has more than 64 bits", self._at)
        return number

    def double(self) -> float:
        number: float = _DOUBLE(self._body, self._take(8))[0]
        return number

    def binary(self) -> bytes:
        size = self._varint()
        at = self._take(size)
        return bytes(self._body[at : at + size])

    def elements(self) -> tuple[int, int]:
        head = self._byte()
        count = head >> 4
        if count == 15:
            count = self._varint()
        if count > self._end - self._at:
            raise MalformedError(f"thrift list of {count} elements is cut off", self._at)
        return self._wire(head & 0x0F), count

    def skip(self, wire: int) -> None:
        self._skip(wire, DEPTH_MAX)

    def _skip(self, wire: int, depth: int) -> None:
        self._skips += 1
        if self._skips > SKIPS_MAX:
            raise MalformedError(f"thrift body has over {SKIPS_MAX} unknown values", self._at)
        if depth == 0:
            raise MalformedError(f"thrift value is nested deeper than {DEPTH_MAX}", self._at)
        if wire == thrift.BOOL:
            self.boolean()
        elif wire == thrift.DOUBLE:
            self._take(8)
        elif wire == thrift.BINARY:
            self.binary()
        elif wire == thrift.STRUCT:
            while (inner := self.field(0)[0]) != thrift.STOP:
                self._skip(inner, depth - 1)
        elif wire in (thrift.LIST, thrift.SET):
            element, count = self.elements()
            for _ in range(count):
                self._skip(element, depth - 1)
        elif wire == thrift.MAP:
            self._skip_map(depth)
        else:
            self.integer(wire)

    def _skip_map(self, depth: int) -> None:
        count = self._varint()
        if count > self._end - self._at:
            raise MalformedError(f"thrift map of {count} elements is cut off", self._at)
        if count == 0:
            return
        kinds = self._byte()
        wires = self._wire(kinds >> 4), self._wire(kinds & 0x0F)
        for _ in range(count):
            for wire in wires:
                self._skip(wire, depth - 1)

    def _wire(self, kind: int) -> int:
        if not 0 < kind < len(_WIRES):
            raise MalformedError(f"thrift value has the type {kind}", self._at - 1)
        return _WIRES[kind]

    def _byte(self) -> int:
        return self._body[self._take(1)]

    def _zigzag(self) -> int:
        number = self._varint()
        return number >> 1 ^ -(number & 1)

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 7 * _VARINT_BYTES_MAX, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise MalformedError("thrift number has more than 10 bytes", self._at)

    def _take(self, size: int) -> int:
        """Pass over bytes. Returns: where they begin."""
        at = self._at
        if size > self._end - at:
            raise MalformedError("thrift value is cut off", at)
        self._at = at + size
        return at

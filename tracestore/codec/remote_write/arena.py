"""Pieces of bytes and numbers that are only ever appended to, with room that doubles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tracestore.codec.remote_write import fields
from tracestore.codec.remote_write.fields import Pieces

T = TypeVar("T", bound=np.generic)


class Arena:
    """Pieces by row, appended in bulk."""

    def __init__(self) -> None:
        self._data: fields.Bytes = np.empty(1024, np.uint8)
        self._offsets: fields.Ints = np.zeros(256, np.int64)
        self._count = 0

    def append(self, pieces: Sequence[bytes]) -> None:
        """Add rows. Room grows by doubling; what was handed out keeps the old room."""
        start = int(self._offsets[self._count])
        sizes = np.fromiter(map(len, pieces), np.int64, len(pieces))
        ends = start + np.cumsum(sizes)
        total = int(ends[-1]) if len(ends) else start
        self._data = grown(self._data, total)
        self._offsets = grown(self._offsets, self._count + 1 + len(pieces))
        self._data[start:total] = np.frombuffer(b"".join(pieces), np.uint8)
        self._offsets[self._count + 1 : self._count + 1 + len(pieces)] = ends
        self._count += len(pieces)

    def pieces(self) -> Pieces:
        """Get all rows, without copying."""
        return fields.pieces_of(self._data, self._offsets[: self._count + 1])


def grown(array: npt.NDArray[T], least: int) -> npt.NDArray[T]:
    """Make room for ``least`` elements: the array itself, or a copy twice as long."""
    if least <= len(array):
        return array
    larger = np.empty(max(least, 2 * len(array)), array.dtype)
    larger[: len(array)] = array
    return larger


def varint(value: int) -> bytes:
    """Write one unsigned integer."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)

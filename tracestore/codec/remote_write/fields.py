"""Protobuf fields of many messages at once: arrays in, one piece of bytes for each element out.

A piece is an element of an Arrow binary array whose data lie one behind the other. So pieces that
follow one another are put together by leaving offsets out, and a whole message is a slice of the
data: nothing is done for a single sample.

Source: Protocol Buffers, "Encoding".
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Pieces: TypeAlias = pa.LargeBinaryArray
Bytes: TypeAlias = npt.NDArray[np.uint8]
Ints: TypeAlias = npt.NDArray[np.int64]

_TYPE = pa.large_binary()
_NOTHING = pa.scalar(b"", _TYPE)
_VARINT_BYTES_MAX = 10


def pieces_of(data: Bytes, offsets: Ints) -> Pieces:
    """Cut data at offsets, (n + 1,) ascending from 0."""
    return pa.LargeBinaryArray.from_buffers(
        _TYPE, len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def rows(matrix: Bytes) -> Pieces:
    """Make each row of (n, width) a piece."""
    count, width = matrix.shape
    data = np.ascontiguousarray(matrix).reshape(-1)
    return pieces_of(data, np.arange(count + 1, dtype=np.int64) * width)


def offsets_of(pieces: Pieces) -> Ints:
    """Get where pieces begin and end in their data, (n + 1,)."""
    _, offsets, _ = pieces.buffers()
    whole = np.frombuffer(offsets, np.int64)
    return whole[pieces.offset : pieces.offset + len(pieces) + 1]


def lengths(pieces: Pieces) -> Ints:
    """Get the bytes of each piece."""
    return np.diff(offsets_of(pieces))


def content(pieces: Pieces) -> bytes:
    """Get all pieces as one."""
    if len(pieces) == 0:
        return b""
    offsets = offsets_of(pieces)
    start, end = int(offsets[0]), int(offsets[-1])
    return b"" if start == end else pieces.buffers()[2].slice(start, end - start).to_pybytes()


def grouped(pieces: Pieces, first: Ints) -> Pieces:
    """Put neighbours together: group i is the pieces from ``first[i]`` up to ``first[i + 1]``."""
    assert len(pieces) == first[-1]
    data = pieces.buffers()[2]
    if len(pieces) == 0 or data is None:
        return pieces_of(np.empty(0, np.uint8), np.zeros(len(first), np.int64))
    offsets = np.ascontiguousarray(offsets_of(pieces)[first])
    return pa.LargeBinaryArray.from_buffers(
        _TYPE, len(first) - 1, [None, pa.py_buffer(offsets), data]
    )


def joined(*parts: Pieces | bytes) -> Pieces:
    """Join side by side; ``bytes`` stand in each piece."""
    arrays = [pa.scalar(part, _TYPE) if isinstance(part, bytes) else part for part in parts]
    return pc.binary_join_element_wise(*arrays, _NOTHING)


def varints(values: npt.NDArray[np.integer]) -> Pieces:
    """Write integers; negative ones take ten bytes, as protobuf has it."""
    unsigned = values.astype(np.int64).view(np.uint64)
    top = int(unsigned.max(initial=0))
    if top < 1 << 7:
        return rows(unsigned.astype(np.uint8)[:, None])
    if top < 1 << 21:
        return _short_varints(unsigned.astype(np.uint32), 2 if top < 1 << 14 else 3)
    width = -(-top.bit_length() // 7)
    assert width <= _VARINT_BYTES_MAX
    return _as_varints(unsigned[:, None] >> (7 * np.arange(width, dtype=np.uint64)))


def _short_varints(values: npt.NDArray[np.uint32], width: int) -> Pieces:
    return _as_varints(values[:, None] >> (7 * np.arange(width, dtype=np.uint32)))


def _as_varints(shifted: npt.NDArray[np.unsignedinteger]) -> Pieces:
    """Write numbers given as (n, width): each shifted by 0, 7, 14… bits."""
    matrix = shifted.astype(np.uint8) & np.uint8(0x7F)
    used = shifted != 0
    used[:, 0] = True
    matrix[:, :-1] |= used[:, 1:].view(np.uint8) << 7
    offsets = np.ones(len(matrix) + 1, np.int64)
    offsets[0] = 0
    for column in range(1, matrix.shape[1]):
        offsets[1:] += used[:, column]
    return pieces_of(matrix[used], np.cumsum(offsets))


def zigzag(values: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Turn signed integers into what ``sint32`` and ``sint64`` write."""
    signed = values.astype(np.int64)
    return (signed << 1) ^ (signed >> 63)


def framed(tag: bytes, *parts: Pieces | bytes) -> Pieces:
    """Write length-delimited fields."""
    body = parts[0] if len(parts) == 1 and not isinstance(parts[0], bytes) else joined(*parts)
    return joined(tag, varints(lengths(body)), body)


def framed_if_any(tag: bytes, body: Pieces) -> Pieces:
    """Write length-delimited fields, nothing where there is nothing in it."""
    sizes = lengths(body)
    if sizes.all():
        return framed(tag, body)
    full = framed(tag, body)
    return only(full, sizes > 0)


def only(pieces: Pieces, mask: npt.NDArray[np.bool_]) -> Pieces:
    """Empty the pieces outside the mask."""
    return pc.if_else(pa.array(mask), pieces, _NOTHING)


def doubles(tag: int, values: npt.NDArray[np.float64]) -> Pieces:
    """Write ``double`` fields, zeros too."""
    matrix = np.empty((len(values), 9), np.uint8)
    matrix[:, 0] = tag
    matrix[:, 1:] = little_endian(values)
    return rows(matrix)


def packed_doubles(values: npt.NDArray[np.float64]) -> Pieces:
    """Write elements of a packed field of ``double``."""
    return rows(little_endian(values))


def little_endian(values: npt.NDArray[np.float64]) -> Bytes:
    """Get the bytes of numbers, (n, 8)."""
    return np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(-1, 8)


def samples(tag: int, values: npt.NDArray[np.float64], times_ms: Ints) -> Pieces:
    """Write ``Sample`` messages as fields: value, time."""
    times = varints(times_ms)
    sizes = lengths(times)
    width = int(sizes[0]) if len(sizes) else 0
    if not (sizes == width).all():
        return framed(bytes((tag,)), doubles(0x09, values), b"\x10", times)
    matrix = np.empty((len(values), 12 + width), np.uint8)
    matrix[:, 0] = tag
    matrix[:, 1] = 10 + width
    matrix[:, 2] = 0x09
    matrix[:, 3:11] = little_endian(values)
    matrix[:, 11] = 0x10
    if width:
        matrix[:, 12:] = np.frombuffer(content(times), np.uint8).reshape(-1, width)
    return rows(matrix)

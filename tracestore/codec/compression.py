"""Request bodies out of their Content-Encoding, never past a limit.

A body of 1 MB can say that it is 1 GB: every decoder here stops at the limit instead of at the end.
Source: the Collector's confighttp encodings (wire contract, section 6.2).
"""

from __future__ import annotations

import zlib
from typing import Protocol

import pyarrow as pa

from tracestore.errors import InvalidRequestError, MalformedError, TooLargeError

ENCODINGS = ("identity", "gzip", "zlib", "deflate", "zstd", "snappy", "lz4")
"""Names that ``decompress`` knows; ``snappy`` is the raw block format that the Collector sends."""

_PIECE_BYTES = 1 << 20


class _Reader(Protocol):
    def read(self, nbytes: int) -> bytes: ...


def decompress(body: bytes | bytearray, encoding: str, *, bytes_max: int) -> bytes | bytearray:
    """Undo a Content-Encoding.

    Raises: InvalidRequestError for an unknown encoding, MalformedError for bytes that are not what
    the encoding says, TooLargeError once the output passes ``bytes_max``. Cost: memory of the
    output, at most ``bytes_max`` and a piece.
    """
    if encoding in ("", "identity"):
        return body
    if encoding == "gzip":
        return _inflate(body, 31, bytes_max)
    if encoding in ("zlib", "deflate"):
        return _inflate(body, 15, bytes_max)
    if encoding in ("zstd", "lz4"):
        return _read_stream(body, encoding, bytes_max)
    if encoding == "snappy":
        return _unsnap(body, bytes_max)
    raise InvalidRequestError(f"unsupported Content-Encoding: {encoding}")


def _inflate(body: bytes | bytearray, window_bits: int, bytes_max: int) -> bytearray:
    """Inflate all members of a zlib or gzip stream."""
    content = bytearray()
    rest: bytes | bytearray = body
    while rest:
        inflater = zlib.decompressobj(window_bits)
        while not inflater.eof:
            try:
                piece = inflater.decompress(rest, _PIECE_BYTES)
            except zlib.error as error:
                offset = len(body) - len(rest)
                raise MalformedError(f"compressed body is broken ({error})", offset) from error
            content += piece
            if len(content) > bytes_max:
                raise TooLargeError("http: request body too large")
            rest = inflater.unconsumed_tail
            if not piece and not rest and not inflater.eof:
                raise MalformedError("compressed body is cut off", len(body))
        rest = inflater.unused_data
    return content


def _read_stream(body: bytes | bytearray, encoding: str, bytes_max: int) -> bytearray:
    content = bytearray()
    try:
        reader: _Reader = pa.CompressedInputStream(pa.BufferReader(pa.py_buffer(body)), encoding)
        while piece := reader.read(_PIECE_BYTES):
            content += piece
            if len(content) > bytes_max:
                raise TooLargeError("http: request body too large")
    except (OSError, pa.ArrowException) as error:
        raise MalformedError(f"compressed body is broken ({error})", len(content)) from error
    return content


def _unsnap(body: bytes | bytearray, bytes_max: int) -> bytes:
    """Undo raw snappy, whose first bytes are the size of the output as a varint."""
    size = 0
    for position in range(5):
        if position >= len(body):
            raise MalformedError("compressed body is cut off", position)
        size |= (body[position] & 0x7F) << 7 * position
        if body[position] < 0x80:
            break
    if size > bytes_max:
        raise TooLargeError("http: request body too large")
    try:
        content: bytes = pa.decompress(
            pa.py_buffer(body), decompressed_size=size, codec="snappy", asbytes=True
        )
    except (OSError, pa.ArrowException) as error:
        raise MalformedError(f"compressed body is broken ({error})", 0) from error
    return content

"""Request bodies out of their Content-Encoding, never past a limit.

A body of 1 MB can say that it is 1 GB: every decoder here stops at the limit instead of at the end.
Source: the Collector's confighttp encodings (wire contract, section 6.2).
"""

from __future__ import annotations

import zlib
from typing import Protocol

import google_crc32c
import pyarrow as pa

from tracestore.errors import InvalidRequestError, MalformedError, TooLargeError

ENCODINGS = ("identity", "gzip", "zlib", "deflate", "zstd", "snappy", "lz4")
"""Names that ``decompress`` knows; ``snappy`` is the raw block format that the Collector sends, and
the framed one that it sent before."""

_PIECE_BYTES = 1 << 20
_SNAPPY_MAGIC = b"\xff\x06\x00\x00sNaPpY"
_SNAPPY_FRAME_BYTES_MAX = 65536
"""Content of a frame, as the format has it."""


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
        framed = body.startswith(_SNAPPY_MAGIC)
        return _unsnap_frames(body, bytes_max) if framed else _unsnap(body, bytes_max)
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


def _unsnap_frames(body: bytes | bytearray, bytes_max: int) -> bytearray:
    """Undo framed snappy: chunks of kind (1 B), length (3 B), masked CRC-32C (4 B), content.

    Source: google/snappy, framing_format.txt.
    """
    content = bytearray()
    at = 0
    while at < len(body):
        kind = body[at]
        size = int.from_bytes(body[at + 1 : at + 4], "little")
        chunk = bytes(body[at + 4 : at + 4 + size])
        if len(body) < at + 4 or len(chunk) < size:
            raise MalformedError("compressed body is cut off", len(body))
        if kind <= 1:
            content += _unsnap_frame(chunk, at, compressed=kind == 0)
            if len(content) > bytes_max:
                raise TooLargeError("http: request body too large")
        elif kind < 0x80:
            raise MalformedError(f"compressed body is broken (chunk of kind {kind})", at)
        at += 4 + size
    return content


def _unsnap_frame(chunk: bytes, at: int, *, compressed: bool) -> bytes:
    piece = _unsnap(chunk[4:], _SNAPPY_FRAME_BYTES_MAX) if compressed else chunk[4:]
    crc: int = google_crc32c.value(piece)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    if masked.to_bytes(4, "little") != chunk[:4]:
        raise MalformedError("compressed body is broken (checksum)", at)
    return piece

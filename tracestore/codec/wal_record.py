"""WAL records as bytes, and what can be read of a segment whatever happened to it.

No I/O: a segment is a buffer here. A record has a marker and a header with a CRC of its own, so
that after any damage, in a length too, reading goes on at the next header that is provably one. The
CRC of a header starts from the segment's ID, which no sender knows: bytes of a span can look like a
record, but never pass for one.

Source: docs/formats/wal.md, byte by byte.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import google_crc32c
import pyarrow as pa

from tracestore.errors import CorruptionError, InvalidRequestError, SettingsError

SEGMENT_MAGIC = b"TSWALSEG"
SEGMENT_VERSION = 1
SEGMENT_HEADER = struct.Struct("<8sHHI")
"""Magic, version, zero, CRC-32C of what stands before it."""

MARKER = b"\xf1TWR"
RECORD_FIELDS = struct.Struct("<4sIIQIBBH")
"""Marker, body bytes, CRC-32C of the body, received ns, uncompressed bytes, codec, tenant bytes,
zero."""
RECORD_HEADER_BYTES = RECORD_FIELDS.size + 4
"""The fields and their CRC-32C, which starts from the CRC of the segment's ID."""

PAYLOAD_BYTES_MAX = 1 << 30
"""Larger payloads are refused: lengths are 32 bits, and a replay holds a record in memory."""
SECTOR_BYTES = 512
"""The least that a disk writes whole. A lost sector of a file that grew reads as zeros."""


class WalCodec(enum.IntEnum):
    """How a payload is compressed; the numbers are in the files."""

    NONE = 0
    LZ4 = 1
    """LZ4 frame."""
    ZSTD = 2
    """Zstandard, level 1."""


def codec_of(name: str, *, automatic: WalCodec) -> WalCodec:
    """Return the codec of a setting; ``auto`` is what fits the home of the log.

    Raises: SettingsError.
    """
    if name == "auto":
        return automatic
    try:
        return WalCodec[name.upper()]
    except KeyError as error:
        raise SettingsError(
            f"ingester.wal.compression is {name!r}, not one of auto, lz4, zstd, none"
        ) from error


def _arrow_codec(codec: WalCodec) -> pa.Codec:
    """Make a compressor: one per use, since Arrow does not promise that threads may share one."""
    return pa.Codec("lz4") if codec is WalCodec.LZ4 else pa.Codec("zstd", compression_level=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRecord:
    """A record ready to be written, but for the CRC that depends on the segment."""

    fields: bytes
    tenant: bytes
    payload: pa.Buffer
    """As stored; shares memory with what was given if that does not become smaller."""
    uncompressed_bytes: int

    @property
    def size(self) -> int:
        """Bytes in the segment."""
        payload_bytes: int = self.payload.size
        return RECORD_HEADER_BYTES + len(self.tenant) + payload_bytes

    def seal(self, seed: int) -> tuple[bytes, memoryview]:
        """Return what is written, header with tenant and payload, for the segment of ``seed``."""
        crc: int = google_crc32c.extend(seed, self.fields)
        payload = memoryview(self.payload)
        assert len(payload) == payload.nbytes == self.payload.size
        return self.fields + crc.to_bytes(4, "little") + self.tenant, payload


@dataclass(frozen=True, slots=True, kw_only=True)
class WalRecord:
    """A record whose checksums hold."""

    offset: int
    end: int
    received_ns: int
    tenant: str
    payload: bytes
    """OTLP, decompressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalDamage:
    """A range of a segment that holds no readable record."""

    offset: int
    end: int
    torn: bool
    """True: the end of a write that was cut off, never acknowledged. False: damaged later."""
    reason: str


def segment_seed(segment: str) -> int:
    """Return the CRC that header CRCs of a segment start from."""
    seed: int = google_crc32c.value(segment.encode())
    return seed


def encode_segment_header() -> bytes:
    """Return the first bytes of every segment."""
    head = SEGMENT_HEADER.pack(SEGMENT_MAGIC, SEGMENT_VERSION, 0, 0)[:-4]
    crc: int = google_crc32c.value(head)
    return head + crc.to_bytes(4, "little")


def encode_record(
    payload: bytes | bytearray | memoryview, *, tenant: str, received_ns: int, codec: WalCodec
) -> EncodedRecord:
    """Compress and checksum a payload; without the GIL while it compresses.

    Raises: InvalidRequestError if it is larger than ``PAYLOAD_BYTES_MAX``.
    """
    source = pa.py_buffer(payload)
    if source.size > PAYLOAD_BYTES_MAX:
        raise InvalidRequestError(
            f"a request of {source.size} bytes is larger than the {PAYLOAD_BYTES_MAX} "
            f"that the write-ahead log takes: split it"
        )
    compressed = source
    if codec is not WalCodec.NONE:
        # A slice, because Arrow's buffer, shrunk after compression, still tells a memoryview the
        # length that it had before, and what lies behind its end would be written too.
        compressed = _arrow_codec(codec).compress(source).slice(0)
        if compressed.size >= source.size:
            codec, compressed = WalCodec.NONE, source
    encoded_tenant = tenant.encode()
    fields = RECORD_FIELDS.pack(
        MARKER,
        len(encoded_tenant) + compressed.size,
        google_crc32c.extend(google_crc32c.value(encoded_tenant), compressed),
        received_ns,
        source.size,
        codec,
        len(encoded_tenant),
        0,
    )
    return EncodedRecord(
        fields=fields,
        tenant=encoded_tenant,
        payload=compressed,
        uncompressed_bytes=source.size,
    )


def decode_segment(content: bytes, segment: str) -> Iterator[WalRecord | WalDamage]:
    """Read everything that can be read of a segment, in order, with what lies between.

    Args:
        content: the whole file.
        segment: its ID, without which no record of it is valid.

    Raises: CorruptionError if it is of a version that this program does not know.
    Cost: one record decompressed at a time; damage costs a search for the next marker.
    """
    reader = _SegmentReader(content, segment)
    offset = SEGMENT_HEADER.size
    damage = _check_segment_header(content, segment)
    if damage is not None:
        yield damage
    while offset < len(content):
        item = reader.read_at(offset)
        yield item
        offset = item.end


def _check_segment_header(content: bytes, segment: str) -> WalDamage | None:
    size = SEGMENT_HEADER.size
    if content[:size] == encode_segment_header():
        return None
    if len(content) < size:
        return WalDamage(offset=0, end=len(content), torn=True, reason="cut off in its header")
    magic, version, _, crc = SEGMENT_HEADER.unpack_from(content)
    if magic == SEGMENT_MAGIC and crc == google_crc32c.value(content[: size - 4]):
        raise CorruptionError(
            f"WAL segment is of version {version}, this program knows {SEGMENT_VERSION}",
            key=segment,
        )
    torn = content.count(0) == len(content)
    return WalDamage(offset=0, end=size, torn=torn, reason="segment header is damaged")


@dataclass(frozen=True, slots=True)
class _Header:
    body: int
    """Offset of the body: tenant, then payload."""
    end: int
    body_crc: int
    received_ns: int
    uncompressed_bytes: int
    codec: int
    tenant_bytes: int


class _SegmentReader:
    def __init__(self, content: bytes, segment: str) -> None:
        self._content = content
        self._buffer = pa.py_buffer(content)
        self._seed = segment_seed(segment)

    def read_at(self, offset: int) -> WalRecord | WalDamage:
        """Read the record at ``offset``, or say up to where there is none."""
        header = self._header(offset)
        fault = "its header is damaged" if header is None else self._fault(header)
        if header is not None and fault is None:
            record = self._record(offset, header)
            if record is not None:
                return record
            fault = "its payload cannot be decompressed"
        assert fault is not None
        end = self._next_header(offset + 1)
        if end is not None:
            return WalDamage(offset=offset, end=end, torn=False, reason=fault)
        size = len(self._content)
        return WalDamage(offset=offset, end=size, torn=self._is_torn(offset, header), reason=fault)

    def _header(self, offset: int) -> _Header | None:
        """Return the header at ``offset`` if its checksum proves that it is one."""
        fields = self._content[offset : offset + RECORD_FIELDS.size]
        crc = self._content[offset + RECORD_FIELDS.size : offset + RECORD_HEADER_BYTES]
        if len(crc) < 4 or fields[:4] != MARKER:
            return None
        if int.from_bytes(crc, "little") != google_crc32c.extend(self._seed, fields):
            return None
        _, body_bytes, body_crc, received_ns, uncompressed, codec, tenant_bytes, _ = (
            RECORD_FIELDS.unpack(fields)
        )
        body = offset + RECORD_HEADER_BYTES
        return _Header(
            body=body,
            end=body + body_bytes,
            body_crc=body_crc,
            received_ns=received_ns,
            uncompressed_bytes=uncompressed,
            codec=codec,
            tenant_bytes=tenant_bytes,
        )

    def _fault(self, header: _Header) -> str | None:
        if header.end > len(self._content):
            return "it is cut off"
        body = self._buffer.slice(header.body, header.end - header.body)
        if google_crc32c.value(body) != header.body_crc:
            return "its checksum does not hold"
        return None

    def _record(self, offset: int, header: _Header) -> WalRecord | None:
        """Build the record; None if the writer left a payload that is not what its header says."""
        tenant_end = header.body + header.tenant_bytes
        payload = self._buffer.slice(tenant_end, header.end - tenant_end)
        try:
            if header.codec == WalCodec.NONE:
                content = payload.to_pybytes()
            else:
                codec = _arrow_codec(WalCodec(header.codec))
                content = codec.decompress(payload, header.uncompressed_bytes, asbytes=True)
        except (OSError, ValueError):
            return None
        return WalRecord(
            offset=offset,
            end=header.end,
            received_ns=header.received_ns,
            tenant=self._content[header.body : tenant_end].decode(),
            payload=content,
        )

    def _next_header(self, offset: int) -> int | None:
        """Find the next offset that holds a provable header."""
        while (offset := self._content.find(MARKER, offset)) >= 0:
            if self._header(offset) is not None:
                return offset
            offset += 1
        return None

    def _is_torn(self, offset: int, header: _Header | None) -> bool:
        """Tell a write that was cut off from damage, for a range that ends the segment.

        A write that did not come to its end leaves the file short, or leaves zeros in sectors that
        were never written. A record that has all its bytes and no such hole was written whole and
        perhaps acknowledged: its loss must not pass silently.
        """
        size = len(self._content)
        if header is not None and header.end > size:
            return True
        if size - offset < RECORD_HEADER_BYTES:
            return True
        return _has_zero_sector(self._content, offset, size)


def _has_zero_sector(content: bytes, start: int, end: int) -> bool:
    """Tell whether any sector's share of a range, if of 16 bytes or more, is all zeros."""
    while start < end:
        stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        if stop - start >= 16 and not any(content[start:stop]):
            return True
        start = stop
    return False

"""One file of the queue of metrics: a header, then records with a checksum each.

A record says what it holds without being read, so that what is lost can be counted. A file is
written by one process and never again after that.

Source: docs/formats/remote-write-queue.md.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import google_crc32c

from tracestore.codec.remote_write.outgoing import Counts
from tracestore.errors import CorruptionError

MAGIC = b"TSMQUEUE"
VERSION = 1
_HEADER = struct.Struct("<8sHHQ")
"""Magic, version, zero, generation of the numbers of series."""
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CRC.size
MARKER = b"\xf1MQR"
_RECORD = struct.Struct("<4sB3xIIqIII")
"""Marker, kind, payload bytes, CRC-32C of the payload, time in ms, samples, exemplars,
histograms."""
RECORD_BYTES = _RECORD.size + _CRC.size
"""The fields and their CRC-32C, which starts from that of the header of the file."""
SUFFIX = ".segment"


class RecordKind(IntEnum):
    """What a payload is; the numbers are in the files."""

    SERIES = 1
    """Labels of series that later records of the file name by number."""
    COLLECTION = 2


_KINDS = frozenset(int(kind) for kind in RecordKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where a record is and what it holds."""

    kind: RecordKind
    start: int
    """Offset of the payload."""
    end: int
    crc: int
    time_ms: int
    counts: Counts


@dataclass(slots=True, kw_only=True)
class Segment:
    """A file of the queue, without its payloads."""

    path: Path
    number: int
    """Later files have higher ones."""
    generation: int
    size: int
    entries: list[Entry] = field(default_factory=list)
    series_bytes: int = 0
    """Of the records of labels."""

    def add(self, entry: Entry) -> None:
        """Take a record that was written or found."""
        self.entries.append(entry)
        self.size = max(self.size, entry.end)
        if entry.kind is RecordKind.SERIES:
            self.series_bytes += entry.end - entry.start

    def read(self, entry: Entry) -> bytes:
        """Read a payload. Raises: CorruptionError if it is not what was written; OSError."""
        with self.path.open("rb") as file:
            payload = os.pread(file.fileno(), entry.end - entry.start, entry.start)
        if len(payload) < entry.end - entry.start or google_crc32c.value(payload) != entry.crc:
            raise CorruptionError(
                "a record of the queue has another checksum", key=str(self.path), offset=entry.start
            )
        return payload


def encode_header(generation: int) -> bytes:
    """Write the first bytes of a file."""
    fields = _HEADER.pack(MAGIC, VERSION, 0, generation)
    return fields + _CRC.pack(google_crc32c.value(fields))


def encode_record_header(
    kind: RecordKind, payload: bytes, time_ms: int, counts: Counts, generation: int
) -> tuple[bytes, int]:
    """Write what stands before a payload. Returns: it, and the checksum of the payload."""
    crc: int = google_crc32c.value(payload)
    fields = _RECORD.pack(
        MARKER, kind, len(payload), crc, time_ms,
        counts.samples, counts.exemplars, counts.histograms,
    )  # fmt: skip
    return fields + _CRC.pack(google_crc32c.extend(_seed(generation), fields)), crc


@dataclass(frozen=True, slots=True)
class Damage:
    """A range of a file that holds no record."""

    offset: int
    end: int
    torn: bool
    """Whether a write was cut off: it was the last one, and never counted as queued."""


def scan_segment(path: Path) -> tuple[Segment, list[Damage]]:
    """Find the records of a file; payloads are looked at when they are read.

    Raises: CorruptionError if it is no file of the queue, or of a version not known; OSError.
    """
    content = path.read_bytes()
    generation = _generation(content, path)
    segment = Segment(
        path=path,
        number=int(path.name.removesuffix(SUFFIX)),
        generation=generation,
        size=len(content),
    )
    damages: list[Damage] = []
    for found in _records(content, generation):
        if isinstance(found, Damage):
            damages.append(found)
        else:
            segment.add(found)
    return segment, damages


def _generation(content: bytes, path: Path) -> int:
    fields = content[: _HEADER.size]
    crc = content[_HEADER.size : HEADER_BYTES]
    if len(crc) < 4 or fields[:8] != MAGIC or _CRC.pack(google_crc32c.value(fields)) != crc:
        raise CorruptionError("the header of a file of the queue is damaged", key=str(path))
    _, version, _, generation = _HEADER.unpack(fields)
    if version != VERSION:
        raise CorruptionError(
            f"a file of the queue is of version {version}, this program knows {VERSION}",
            key=str(path),
        )
    return int(generation)


def _records(content: bytes, generation: int) -> Iterator[Entry | Damage]:
    seed, at = _seed(generation), HEADER_BYTES
    while at < len(content):
        entry = _entry_at(content, at, seed)
        if entry is not None and entry.end <= len(content):
            yield entry
            at = entry.end
            continue
        following = at + 1
        while (following := content.find(MARKER, following)) >= 0:
            if _entry_at(content, following, seed) is not None:
                break
            following += 1
        end = len(content) if following < 0 else following
        cut_off = entry is not None or end - at < RECORD_BYTES or not any(content[at:end])
        yield Damage(at, end, torn=following < 0 and cut_off)
        at = end


def _entry_at(content: bytes, at: int, seed: int) -> Entry | None:
    fields = content[at : at + _RECORD.size]
    crc = content[at + _RECORD.size : at + RECORD_BYTES]
    if len(crc) < 4 or _CRC.pack(google_crc32c.extend(seed, fields)) != crc:
        return None
    marker, kind, size, payload_crc, time_ms, samples, exemplars, histograms = _RECORD.unpack(
        fields
    )
    if marker != MARKER or kind not in _KINDS:
        return None
    start = at + RECORD_BYTES
    return Entry(
        kind=RecordKind(kind), start=start, end=start + size, crc=payload_crc, time_ms=time_ms,
        counts=Counts(samples=samples, exemplars=exemplars, histograms=histograms),
    )  # fmt: skip


def _seed(generation: int) -> int:
    seed: int = google_crc32c.value(generation.to_bytes(8, "little"))
    return seed

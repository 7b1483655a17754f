"""The queue of a tenant's metrics: files that are appended to, and a place for each receiver.

All receivers read the same files, each at its own pace; a file goes when all have sent it, or when
the queue is larger than it may be. An append is one write without a sync: what was queued outlives
the process, but after a power failure the last part may be missing, and is then cut off. A file is
synced when it is complete. Thread-safe.

Source: docs/formats/remote-write-queue.md; docs/remote-write.md.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from tracestore.codec.remote_write.fields import Ints
from tracestore.codec.remote_write.outgoing import Counts
from tracestore.errors import CorruptionError
from tracestore.storage.disk import Disk
from tracestore.storage.metrics_queue.segment import (
    SUFFIX,
    Entry,
    RecordKind,
    Segment,
    encode_header,
    encode_record_header,
    scan_segment,
)

log = logging.getLogger(__name__)

OVERFLOW = "queue_overflow"
"""Reason: the queue was larger than ``bytes_max``."""
CORRUPT = "corrupt_queue"
"""Reason: a record of the queue is damaged."""
_CURSORS = "cursors.json"
_SERIES_SHARE = 4
"""A file is not complete before its samples are so many times its labels."""
_SEGMENTS_MIN = 4
"""Files that a full queue has at least, so that what goes at a time is a part of it."""


class QueueMetrics(Protocol):
    """What a queue tells of itself."""

    def lost(self, receiver: str, reason: str, counts: Counts) -> None:
        """Count what a receiver will not get."""

    def damaged(self, torn: bool) -> None:
        """Count a part of a file that holds no record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueBounds:
    """How large a queue may be."""

    bytes_max: int
    segment_bytes: int


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Between two records."""

    segment: int
    index: int
    """Of the record behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A record on its way to a receiver."""

    position: Position
    """Behind it; to be given to ``done``."""
    kind: RecordKind
    time_ms: int
    generation: int
    payload: bytes
    counts: Counts


@dataclass(slots=True)
class _Cursor:
    taken: Position
    done: Position
    pending: Counts = field(default_factory=Counts)


class MetricsQueue:
    """See the module."""

    def __init__(
        self,
        directory: Path,
        receivers: Sequence[str],
        bounds: QueueBounds,
        metrics: QueueMetrics,
        disk: Disk | None = None,
    ) -> None:
        self._directory = directory
        self._bounds = bounds
        self._metrics = metrics
        self._disk = disk or Disk()
        self._lock = threading.Lock()
        self._segments: list[Segment] = []
        self._active: int | None = None
        """Descriptor of the last segment while it is written."""
        self._defined: Ints = np.empty(0, np.int64)
        """Numbers whose labels are in the active segment, sorted."""
        self._cursors = {name: _Cursor(Position(0, 0), Position(0, 0)) for name in receivers}

    def open(self) -> None:
        """Read what another process left. Raises: OSError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        paths = sorted(p for p in self._directory.glob(f"*{SUFFIX}") if p.stem.isdecimal())
        for path in paths:
            self._take_up(path)
        known = self._read_cursors()
        for name, cursor in self._cursors.items():
            cursor.done = cursor.taken = self._from(known.get(name, Position(0, 0)))
            for segment in self._segments:
                for index, entry in enumerate(segment.entries):
                    if Position(segment.number, index) >= cursor.done:
                        _add(cursor.pending, entry.counts, 1)
        with self._lock:
            self._trim()

    def append(
        self,
        generation: int,
        numbers: Ints,
        time_ms: int,
        counts: Counts,
        payload: bytes,
        encode_series: Callable[[Ints], bytes],
    ) -> None:
        """Queue a collection, and before it the labels that its file does not have.

        Args:
            generation: of the numbers of series, 64 bits.
            numbers: of the series in the payload, ascending.
            encode_series: makes the record of labels of some of them.

        Raises: OSError, such as a full disk; then nothing was queued.
        """
        with self._lock:
            segment = self._segment_for(generation)
            missing = np.setdiff1d(numbers, self._defined, assume_unique=True)
            parts = [(RecordKind.COLLECTION, payload, counts)]
            if len(missing):
                parts.insert(0, (RecordKind.SERIES, encode_series(missing), Counts()))
            self._write(segment, parts, time_ms)
            if len(missing):
                self._defined = np.union1d(self._defined, missing)
            for cursor in self._cursors.values():
                _add(cursor.pending, counts, 1)
            self._trim()

    def left_series(self) -> Iterator[tuple[int, bytes]]:
        """Read the labels of the files that another process left, with their generation.

        A receiver's place may be behind them, and what comes after it names them. Damaged ones are
        counted and passed over. Raises: OSError.
        """
        for segment in tuple(self._segments):
            for entry in segment.entries:
                payload = self._read(segment, entry) if entry.kind is RecordKind.SERIES else None
                if payload is not None:
                    yield segment.generation, payload

    def take(self, receiver: str) -> Taken | None:
        """Read the next record for a receiver, the same until it is ``done``; None: it has all.

        Damaged records are counted and passed over. Raises: OSError.
        """
        while True:
            with self._lock:
                cursor = self._cursors[receiver]
                found = self._next(cursor.done)
                if found is None:
                    return None
                segment, entry, cursor.taken = found
                position = cursor.taken
            payload = self._read(segment, entry)
            if payload is not None:
                return Taken(
                    position=position, kind=entry.kind, time_ms=entry.time_ms,
                    generation=segment.generation, payload=payload, counts=entry.counts,
                )  # fmt: skip
            self._metrics.lost(receiver, CORRUPT, entry.counts)
            self.done(receiver, position, entry.counts)

    def done(self, receiver: str, position: Position, counts: Counts) -> None:
        """Note that a record was sent, or given up. Raises: OSError."""
        with self._lock:
            cursor = self._cursors[receiver]
            _add(cursor.pending, counts, -1)
            cursor.done = max(cursor.done, position)
            self._trim()
            self._write_cursors()

    def pending(self, receiver: str) -> Counts:
        """Count what a receiver has not got."""
        with self._lock:
            return self._cursors[receiver].pending + Counts()

    def needed_since_ms(self) -> int | None:
        """Get the time of the oldest record that somebody has not got; None: there is none."""
        with self._lock:
            found = [self._next(cursor.done) for cursor in self._cursors.values()]
        times = [entry.time_ms for each in found if each is not None for entry in (each[1],)]
        return min(times, default=None)

    def generations(self) -> frozenset[int]:
        """Get the generations of the files that are there."""
        with self._lock:
            return frozenset(segment.generation for segment in self._segments)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        with self._lock:
            return sum(segment.size for segment in self._segments)

    def close(self) -> None:
        """Sync and close; files that all have sent go."""
        with self._lock:
            self._seal()
            self._trim()

    def _take_up(self, path: Path) -> None:
        try:
            segment, damages = scan_segment(path)
        except CorruptionError as error:
            self._metrics.damaged(torn=path.stat().st_size < 64)
            log.warning("file of the metrics queue set aside", extra={"error": str(error)})
            path.rename(path.with_suffix(".damaged"))
            return
        for damage in damages:
            self._metrics.damaged(damage.torn)
            log.warning(
                "part of the metrics queue is lost",
                extra={"file": str(path), "offset": damage.offset, "end": damage.end},
            )
        self._segments.append(segment)

    def _read(self, segment: Segment, entry: Entry) -> bytes | None:
        try:
            return segment.read(entry)
        except FileNotFoundError:
            return None  # it was the oldest of a queue that is full
        except CorruptionError as error:
            self._metrics.damaged(torn=False)
            log.warning("record of the metrics queue is lost", extra={"error": str(error)})
            return None

    def _from(self, position: Position) -> Position:
        """Get the position itself, or the first there is if its file has gone."""
        if self._segments and position.segment < self._segments[0].number:
            return Position(self._segments[0].number, 0)
        return position

    def _next(self, position: Position) -> tuple[Segment, Entry, Position] | None:
        for segment in self._segments:
            if segment.number < position.segment:
                continue
            index = position.index if segment.number == position.segment else 0
            if index < len(segment.entries):
                return segment, segment.entries[index], Position(segment.number, index + 1)
        return None

    def _segment_for(self, generation: int) -> Segment:
        last = self._segments[-1] if self._segments else None
        if last is not None and self._active is not None:
            limit = min(self._bounds.segment_bytes, self._bounds.bytes_max // _SEGMENTS_MIN)
            limit = max(limit, last.series_bytes * (1 + _SERIES_SHARE))
            limit = min(limit, max(1, self._bounds.bytes_max // 2))
            if last.generation == generation and last.size < limit:
                return last
            self._seal()
        number = 1 + max([0, *(s.number for s in self._segments), *self._cursor_segments()])
        path = self._directory / f"{number:012d}{SUFFIX}"
        header = encode_header(generation)
        self._active = self._disk.create(str(path))
        fresh = Segment(path=path, number=number, generation=generation, size=len(header))
        self._segments.append(fresh)
        self._defined = np.empty(0, np.int64)
        try:
            self._disk.write(self._active, [header])
        except OSError:
            self._disk.close(self._active)
            self._active = None
            self._segments.pop()
            path.unlink()
            raise
        return fresh

    def _cursor_segments(self) -> list[int]:
        return [cursor.done.segment for cursor in self._cursors.values()]

    def _write(
        self,
        segment: Segment,
        parts: Sequence[tuple[RecordKind, bytes, Counts]],
        time_ms: int,
    ) -> None:
        assert self._active is not None
        buffers: list[bytes | memoryview] = []
        entries = []
        at = segment.size
        for kind, payload, counts in parts:
            header, crc = encode_record_header(kind, payload, time_ms, counts, segment.generation)
            start = at + len(header)
            at = start + len(payload)
            buffers += [header, payload]
            entries.append(
                Entry(kind=kind, start=start, end=at, crc=crc, time_ms=time_ms, counts=counts)
            )
        try:
            self._disk.write(self._active, buffers)
        except OSError:
            self._disk.truncate(self._active, segment.size)
            raise
        for entry in entries:
            segment.add(entry)

    def _seal(self) -> None:
        if self._active is not None:
            descriptor, self._active = self._active, None
            try:
                self._disk.sync(descriptor)
            finally:
                self._disk.close(descriptor)

    def _trim(self) -> None:
        """Let go what all have sent, then the oldest until the rest is small enough."""
        while self._segments and not self._is_active(self._segments[0]):
            oldest = self._segments[0]
            behind = Position(oldest.number, len(oldest.entries))
            total = sum(segment.size for segment in self._segments)
            is_sent = all(cursor.done >= behind for cursor in self._cursors.values())
            if not is_sent and total <= self._bounds.bytes_max:
                return
            for name, cursor in self._cursors.items():
                self._pass_over(name, cursor, oldest)
            self._segments.pop(0)
            oldest.path.unlink(missing_ok=True)

    def _is_active(self, segment: Segment) -> bool:
        return self._active is not None and segment is self._segments[-1]

    def _pass_over(self, name: str, cursor: _Cursor, segment: Segment) -> None:
        """Count what a receiver has not taken of a file that goes."""
        lost = Counts()
        for index, entry in enumerate(segment.entries):
            if Position(segment.number, index) >= cursor.taken:
                _add(lost, entry.counts, 1)
        following = Position(segment.number + 1, 0)
        cursor.taken = max(cursor.taken, following)
        if lost != Counts():
            _add(cursor.pending, lost, -1)
            self._metrics.lost(name, OVERFLOW, lost)

    def _read_cursors(self) -> Mapping[str, Position]:
        path = self._directory / _CURSORS
        try:
            content = json.loads(path.read_bytes())
            return {name: Position(int(at[0]), int(at[1])) for name, at in content.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self._metrics.damaged(torn=False)
            log.warning(
                "places of receivers in the metrics queue are lost; all is sent again",
                extra={"file": str(path), "error": str(error)},
            )
            return {}

    def _write_cursors(self) -> None:
        places = {n: [c.done.segment, c.done.index] for n, c in self._cursors.items()}
        path = self._directory / _CURSORS
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(places), encoding="utf-8")
        os.replace(temporary, path)


def _add(counts: Counts, more: Counts, sign: int) -> None:
    counts.samples += sign * more.samples
    counts.exemplars += sign * more.exemplars
    counts.histograms += sign * more.histograms

"""The write-ahead log of one tenant: group commit, sealing, dropping.

Any number of threads append; compression and checksums happen in theirs. One writer thread takes
all that waits, writes it at once and syncs it once, and only then completes the futures: the more
wait, the more share a sync. Records keep the order in which ``append`` was called.

When the disk refuses, everybody who waits is told so (``UnavailableError``, retryable) and the
segment is cut back to its last good size; the next append simply tries again, so the log works once
there is space, without a restart.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from tracestore.clock import Clock
from tracestore.codec.wal_record import EncodedRecord, WalCodec, codec_of, encode_record
from tracestore.errors import UnavailableError
from tracestore.model.ids import TenantId, new_block_id
from tracestore.model.times import MILLISECOND_NS
from tracestore.settings.wal_tree import MIB, WalSettings
from tracestore.storage.disk import OS_DISK, Disk, prepare_directory, unavailable
from tracestore.storage.wal.metrics import NO_WAL_METRICS, WalMetrics
from tracestore.storage.wal.segment import Segment, list_segments, segment_path

QUEUE_BYTES_MAX = 256 * MIB
"""Records that may wait for the writer; more are refused as retryable."""

log = logging.getLogger("tracestore.wal")


@dataclass(frozen=True, slots=True, kw_only=True)
class WalPosition:
    """Where a record is durable. The segment says which head the record belongs to."""

    segment: str
    offset: int


@dataclass(frozen=True, slots=True)
class _Append:
    record: EncodedRecord
    done: Future[WalPosition]


@dataclass(frozen=True, slots=True)
class _Rotation:
    done: Future[tuple[str, ...]]


class WriteAheadLog:
    """Appends the records of one tenant durably; see the module.

    States: open -> closed. Segments left by an earlier process are never written again: they are
    listed, replayed (``replay.py``) and dropped, while new records go to a new segment.

    Args:
        directory: of this tenant alone, created if needed.
        rng: makes segment IDs, on which the safety of records against forgery rests, so its
            default is the operating system's.

    Raises: SettingsError if the directory cannot be used, UnavailableError if the disk is full.
    """

    def __init__(
        self,
        directory: str | Path,
        settings: WalSettings,
        clock: Clock,
        tenant: TenantId,
        *,
        metrics: WalMetrics = NO_WAL_METRICS,
        disk: Disk = OS_DISK,
        rng: random.Random | None = None,
    ) -> None:
        self._directory = Path(directory)
        self._settings = settings
        self._clock = clock
        self._tenant = tenant
        self._metrics = metrics
        self._disk = disk
        self._rng = rng or random.SystemRandom()
        self._codec = codec_of(settings.compression, automatic=WalCodec.NONE)
        prepare_directory(self._directory, disk, purpose="write-ahead log directory")
        self._changed = threading.Condition()
        """Guards everything below."""
        self._queue: deque[_Append | _Rotation] = deque()
        self._queued_bytes = 0
        self._closing = False
        self._writer: threading.Thread | None = None
        self._sizes = {name: self._size_of(name) for name in list_segments(self._directory)}
        """Bytes of every segment on disk, the open one too."""
        self._last_id = max(self._sizes, default="")
        self._open: Segment | None = None
        """Touched by the writer thread alone."""
        self._sealed: list[str] = []
        """Sealed by size or failure since the last rotation; touched by the writer thread alone."""

    def append(self, payload: bytes | bytearray | memoryview) -> Future[WalPosition]:
        """Queue a payload; the future completes once it is durable.

        The payload must not be changed before that. A future that is cancelled while it waits in
        the queue takes its record with it.

        Raises: InvalidRequestError if it is too large for a record, UnavailableError if the queue
            is full or the log closed. The future's error is UnavailableError: not stored, retry.
        Cost: compression in the calling thread, about 1 ms for 2 MB with LZ4.
        """
        record = encode_record(
            payload, tenant=self._tenant, received_ns=self._clock.now_ns(), codec=self._codec
        )
        done: Future[WalPosition] = Future()
        with self._changed:
            if self._queue and self._queued_bytes + record.size > QUEUE_BYTES_MAX:
                raise UnavailableError(
                    f"the write-ahead log of tenant {self._tenant} has {self._queued_bytes} bytes "
                    f"waiting for the disk"
                )
            self._enqueue(_Append(record, done))
            self._queued_bytes += record.size
        return done

    def request_rotation(self) -> Future[tuple[str, ...]]:
        """Queue a rotation behind the appends made so far; see ``rotate``."""
        done: Future[tuple[str, ...]] = Future()
        with self._changed:
            self._enqueue(_Rotation(done))
        return done

    def rotate(self) -> list[str]:
        """Seal the open segment, if it has records, and wait for that.

        Every record appended before this call is in the segments returned here or by an earlier
        call; every record appended after it is not.

        Returns: IDs of the segments sealed since the last rotation, oldest first.
        Raises: UnavailableError if the log is closed.
        """
        return list(self.request_rotation().result())

    def drop(self, segments: Iterable[str]) -> None:
        """Delete segments whose records are safe elsewhere. Those that are gone are no error.

        Raises: UnavailableError; some may be deleted then, and dropping again is right.
        """
        held = set(self.segments())
        names = [name for name in segments if name in held]
        assert all(name != self._open_id() for name in names), "the open segment was to be dropped"
        try:
            for name in names:
                path = segment_path(self._directory, name)
                if path.exists():
                    self._disk.unlink(str(path))
                with self._changed:
                    self._sizes.pop(name, None)
            if names:
                self._disk.sync_directory(str(self._directory))
        except OSError as error:
            raise unavailable(f"drop WAL segments of tenant {self._tenant}", error) from error

    def segments(self) -> list[str]:
        """Return the IDs of all segments on disk, oldest first, the open one included."""
        with self._changed:
            return sorted(self._sizes)

    @property
    def size(self) -> int:
        """Bytes of all segments on disk."""
        with self._changed:
            return sum(self._sizes.values())

    def close(self) -> None:
        """Write what is queued, then end. Later appends are refused. Harmless if done already."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            writer = self._writer
        if writer is not None:
            writer.join()

    def _enqueue(self, item: _Append | _Rotation) -> None:
        """Hand an item to the writer, which is started by the first. Needs the lock."""
        if self._closing:
            raise UnavailableError(f"the write-ahead log of tenant {self._tenant} is closed")
        self._queue.append(item)
        if self._writer is None:
            self._writer = threading.Thread(
                target=self._run, name=f"wal-{self._tenant}", daemon=True
            )
            self._writer.start()
        self._changed.notify()

    def _run(self) -> None:
        """Write until closed; whatever ends the thread, nobody is left waiting."""
        work: list[_Append] | _Rotation | None = None
        try:
            while (work := self._take()) is not None:
                self._serve(work)
        finally:
            if self._open is not None:
                self._open.seal()
            with self._changed:
                self._closing = True
                waiting = [*(work if isinstance(work, list) else []), *self._queue]
                self._queue.clear()
            for item in waiting:
                done = item.done
                if not done.done() and (done.running() or done.set_running_or_notify_cancel()):
                    done.set_exception(
                        UnavailableError(f"the WAL writer of tenant {self._tenant} has ended")
                    )

    def _take(self) -> list[_Append] | _Rotation | None:
        """Wait for work: the appends that one sync may serve, or a rotation; None at the end."""
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            if not self._queue:
                return None
            batch: list[_Append] = []
            taken_bytes = 0
            while self._queue:
                item = self._queue[0]
                if isinstance(item, _Rotation):
                    if batch:
                        break
                    self._queue.popleft()
                    return item
                taken_bytes += item.record.size
                if batch and taken_bytes > self._settings.commit_bytes_max:
                    break
                self._queue.popleft()
                self._queued_bytes -= item.record.size
                batch.append(item)
            return batch

    def _serve(self, work: list[_Append] | _Rotation) -> None:
        if isinstance(work, _Rotation):
            sealed = self._rotate()
            if work.done.set_running_or_notify_cancel():
                work.done.set_result(sealed)
            else:
                self._sealed = [*sealed, *self._sealed]
            return
        batch = [item for item in work if item.done.set_running_or_notify_cancel()]
        if batch:
            self._commit(batch)

    def _commit(self, batch: list[_Append]) -> None:
        """Write and sync a batch; its futures are complete afterwards, one way or the other."""
        records = [item.record for item in batch]
        started_ns = self._clock.monotonic_ns()
        try:
            segment = self._open or self._create_segment()
            self._open = segment
            offsets = segment.append(records)
        except OSError as error:
            self._refuse(batch, error)
            return
        self._metrics.synced((self._clock.monotonic_ns() - started_ns) / 1e9, len(batch))
        self._metrics.appended(
            len(batch),
            sum(record.size for record in records),
            sum(record.uncompressed_bytes for record in records),
        )
        with self._changed:
            self._sizes[segment.id] = segment.size
        if segment.size >= self._settings.segment_bytes_max:
            self._seal_open()
        for item, offset in zip(batch, offsets, strict=True):
            item.done.set_result(WalPosition(segment=segment.id, offset=offset))

    def _refuse(self, batch: list[_Append], error: OSError) -> None:
        if self._open is not None and self._open.sealed:
            self._seal_open()
        self._metrics.commit_failed(len(batch))
        log.warning(
            "write-ahead log refused records",
            extra={"tenant": self._tenant, "records": len(batch), "error": str(error)},
        )
        for item in batch:
            item.done.set_exception(
                unavailable(f"store a request of tenant {self._tenant} durably", error)
            )

    def _create_segment(self) -> Segment:
        """Start a segment whose ID is greater than all before, whatever the clock says."""
        now_ns = self._clock.now_ns()
        name = new_block_id(now_ns, self._rng)
        while name <= self._last_id:
            now_ns = max(now_ns, _birth_ns(self._last_id)) + MILLISECOND_NS
            name = new_block_id(now_ns, self._rng)
        segment = Segment(self._directory, name, self._disk)
        self._last_id = name
        with self._changed:
            self._sizes[name] = segment.size
        return segment

    def _rotate(self) -> tuple[str, ...]:
        if self._open is not None and self._open.records:
            self._seal_open()
        sealed = tuple(self._sealed)
        self._sealed = []
        return sealed

    def _seal_open(self) -> None:
        assert self._open is not None
        self._open.seal()
        self._sealed.append(self._open.id)
        self._open = None

    def _open_id(self) -> str | None:
        segment = self._open
        return None if segment is None or segment.sealed else segment.id

    def _size_of(self, segment: str) -> int:
        try:
            return segment_path(self._directory, segment).stat().st_size
        except OSError as error:
            raise unavailable(f"read WAL segment {segment}", error) from error


def _birth_ns(segment: str) -> int:
    """Return the time in a segment's ID, 0 if a file was named by someone else."""
    try:
        return int(segment[:13].replace("-", ""), 16) * MILLISECOND_NS
    except ValueError:
        return 0

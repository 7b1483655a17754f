"""The write-ahead log in the bucket: one object a group commit, for all tenants of the process.

Objects are numbered without gaps. A few are put side by side, but a record is acknowledged only
when its object and all before it are stored: so whoever seals the log at the first free number has
every acknowledged record before it. An object whose put failed is put again under its number until
the outcome is known; meanwhile senders are refused.

A record that comes alone is written at once. While several senders wait, objects are a quarter of a
second or 4 MiB apart, for a PUT costs the same whatever is in it; less if all of them wait already.

Source: docs/formats/wal.md.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from tracestore.clock import Clock
from tracestore.codec.wal_record import WalCodec, codec_of, encode_record
from tracestore.errors import TracestoreError, UnavailableError
from tracestore.model.ids import TenantId, WriterId
from tracestore.settings.wal_tree import WalSettings
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.wal.bucket_batch import Append, Batch, Rotation, fail, form_batch
from tracestore.storage.wal.bucket_dropping import Dropping
from tracestore.storage.wal.bucket_put import LogLostError, ObjectPut
from tracestore.storage.wal.bucket_reader import PUTS_IN_FLIGHT_MAX
from tracestore.storage.wal.log import WalPosition
from tracestore.storage.wal.metrics import NO_WAL_METRICS, WalMetrics

SIBLINGS = 4
"""So many records in one object say that several senders wait: then the next one is not hurried."""
QUICK_OBJECTS_MAX = 7
"""After so many objects that did not wait the interval, one does, to learn who sends meanwhile."""
RETRY_S = (0.1, 2.0)
"""First and longest wait between two puts of an object."""
LOOK_S = 0.5
"""How often waiting records are looked at for those that have waited too long."""

log = logging.getLogger("tracestore.wal")


class BucketLog:
    """Appends the records of all tenants durably; see the module. Thread-safe.

    States: open -> closed, or open -> lost (a peer has taken the log over). Nothing is appended in
    the last two, and ``on_lost`` was called once for the last.
    """

    def __init__(
        self,
        store: ObjectStore,
        writer: WriterId,
        settings: WalSettings,
        clock: Clock,
        *,
        is_ours: Callable[[], bool],
        on_lost: Callable[[], None],
        metrics: WalMetrics = NO_WAL_METRICS,
    ) -> None:
        """Args:
        is_ours: see ``ObjectPut``.
        on_lost: called from any thread, once.
        """
        self.writer = writer
        self._settings = settings.bucket
        assert self._settings.puts_in_flight_max <= PUTS_IN_FLIGHT_MAX
        self._clock = clock
        self._metrics = metrics
        self._on_lost = on_lost
        self._codec = codec_of(settings.compression, automatic=WalCodec.LZ4)
        self._put = ObjectPut(store, writer, is_ours, clock)
        self._dropping = Dropping(store, writer)
        self._changed = threading.Condition()
        """Guards everything below."""
        self._queue: deque[Append | Rotation] = deque()
        self._queued_bytes = 0
        self._flying: deque[Batch] = deque()
        """Objects that are not acknowledged, in order."""
        self._rotations: deque[tuple[int, Rotation, tuple[str, ...]]] = deque()
        """Wait until the number is acknowledged."""
        self._next = 1
        self._acknowledged = 0
        self._began_ns = clock.monotonic_ns() - int(self._settings.commit_interval_s * 1e9)
        self._last_records = 0
        self._expected_records = 0
        """What came in a whole interval, when one was last waited for; 0: never."""
        self._quick_objects = 0
        """Objects since then."""
        self._closing = False
        self._ended = threading.Event()
        self._lost = False
        self._committer: threading.Thread | None = None
        self._putters = ThreadPoolExecutor(
            self._settings.puts_in_flight_max, thread_name_prefix="wal-put"
        )

    def tenant(self, tenant: TenantId) -> TenantBucketLog:
        """Get the log as one tenant sees it."""
        return TenantBucketLog(self, tenant)

    @property
    def is_lost(self) -> bool:
        """Whether a peer answers for the log."""
        return self._lost

    @property
    def acknowledged(self) -> int:
        """The last object that is acknowledged; 0: none."""
        return self._acknowledged

    def append(
        self, tenant: TenantId, payload: bytes | bytearray | memoryview
    ) -> Future[WalPosition]:
        """Queue a payload; the future completes once it is durable. See ``WriteAheadLog.append``.

        Raises: InvalidRequestError if it is too large for a record, UnavailableError if the queue
            is full, the bucket does not answer, or the log is closed or lost.
        """
        record = encode_record(
            payload, tenant=tenant, received_ns=self._clock.now_ns(), codec=self._codec
        )
        done: Future[WalPosition] = Future()
        with self._changed:
            if self._is_stalled():
                raise UnavailableError("the bucket does not answer: the write-ahead log waits")
            waiting = self._queued_bytes + sum(batch.size for batch in self._flying)
            if waiting and waiting + record.size > self._settings.queue_bytes_max:
                raise UnavailableError(
                    f"the write-ahead log has {waiting} bytes waiting for the bucket"
                )
            self._enqueue(Append(tenant, record, done, self._clock.monotonic_ns()))
            self._queued_bytes += record.size
        return done

    def request_rotation(self, tenant: TenantId) -> Future[tuple[str, ...]]:
        """Queue a rotation behind the appends of a tenant so far.

        The future gives the range of objects with the tenant's records since its last rotation,
        once they are all acknowledged; no later record of the tenant is in them.

        Raises: UnavailableError if the log is closed or lost.
        """
        done: Future[tuple[str, ...]] = Future()
        with self._changed:
            self._enqueue(Rotation(tenant, done))
        return done

    def drop(self, tenant: TenantId, segments: tuple[str, ...]) -> None:
        """Let go of ranges whose records are in committed blocks; delete what nobody needs.

        Objects go from the oldest on, and the last acknowledged one stays: it tells whoever seals
        the log where it ends.

        Raises: UnavailableError; what was not deleted is deleted by a later call.
        """
        with self._changed:
            if self._lost:
                return
            self._dropping.release(tenant, segments)
            stop = self._dropping.needed(self._acknowledged)
        self._dropping.delete_before(min(stop, self._acknowledged))

    def delete_all(self) -> None:
        """Delete every object; after ``close``, when the writer is no longer in the index.

        Raises: UnavailableError.
        """
        with self._changed:
            assert self._closing
            stop = self._dropping.needed(self._acknowledged + 1)
        self._dropping.delete_before(stop)

    def close(self) -> None:
        """Write what is queued, then end; not longer than a sender would wait. Harmless if done."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            committer = self._committer
            self._changed.wait_for(
                lambda: self._lost or not (self._queue or self._flying),
                timeout=self._settings.answer_wait_s,
            )
        self._ended.set()
        with self._changed:
            failed = self._take_all()
            self._changed.notify_all()
        fail(failed, UnavailableError("the write-ahead log is closed"))
        if committer is not None:
            committer.join()
        self._putters.shutdown(wait=True)

    def _enqueue(self, item: Append | Rotation) -> None:
        """Hand an item to the committer, which is started by the first. Needs the lock."""
        if self._closing or self._lost:
            state = "lost to a peer" if self._lost else "closed"
            raise UnavailableError(f"the write-ahead log {self.writer} is {state}")
        self._queue.append(item)
        if self._committer is None:
            self._committer = threading.Thread(target=self._run, name="wal-commit", daemon=True)
            self._committer.start()
        self._changed.notify_all()

    def _is_stalled(self) -> bool:
        """Tell whether the oldest object has waited longer than a sender may. Needs the lock."""
        if not self._flying:
            return False
        age_ns = self._clock.monotonic_ns() - self._flying[0].began_ns
        return age_ns > self._settings.answer_wait_s * 1e9

    def _run(self) -> None:
        """Form objects and hand them to the putters until closed; nobody is left waiting."""
        try:
            while self._step():
                pass
        finally:
            with self._changed:
                self._closing = True
                failed = self._take_all()
            fail(failed, UnavailableError("the write-ahead log has ended"))

    def _step(self) -> bool:
        """Wait for something to do and do it. Returns: False at the end."""
        with self._changed:
            if self._ended.is_set() or self._lost:
                return False
            wait_s = self._wait_s()
            if wait_s > 0:
                is_idle = not self._queue and not self._flying
                self._changed.wait(None if is_idle else min(wait_s, LOOK_S))
            late = self._take_late()
            batch = self._form() if self._wait_s() <= 0 else None
            finished = self._finished_rotations()
        for rotation, names in finished:
            rotation.finish(names)
        fail(late, UnavailableError("the bucket did not answer: retry later"))
        if batch is not None:
            self._putters.submit(self._store, batch).add_done_callback(_report)
        return True

    def _wait_s(self) -> float:
        """Tell how long the next object may still wait. Needs the lock."""
        if not self._queue:
            return LOOK_S
        if isinstance(self._queue[0], Rotation):
            return 0.0
        if not self._may_fly:
            return LOOK_S
        if self._closing or self._queued_bytes >= self._settings.commit_bytes_max:
            return 0.0
        if not self._flying and (self._last_records < SIBLINGS or self._is_complete):
            return 0.0
        passed_s = (self._clock.monotonic_ns() - self._began_ns) / 1e9
        return self._settings.commit_interval_s - passed_s

    @property
    def _is_complete(self) -> bool:
        """Whether as many wait as come in an interval: senders that wait for their answers send
        nothing more, so waiting on would make them slower and save no object."""
        if not self._expected_records or self._quick_objects >= QUICK_OBJECTS_MAX:
            return False
        return len(self._queue) >= self._expected_records

    @property
    def _may_fly(self) -> bool:
        """Whether another object may be put: how far a log can have holes is part of its format."""
        return len(self._flying) < self._settings.puts_in_flight_max

    def _form(self) -> Batch | None:
        """Take what the next object holds out of the queue. Needs the lock."""
        bytes_max = self._settings.commit_bytes_max if self._may_fly else 0
        items, rotated = form_batch(self._queue, bytes_max=bytes_max)
        for rotation in rotated:
            found = self._dropping.rotate(rotation.tenant)
            last = 0 if found is None else found.last
            names = () if found is None else (str(found),)
            self._rotations.append((last, rotation, names))
        self._queued_bytes -= sum(item.record.size for item in items)
        items = [item for item in items if item.done.set_running_or_notify_cancel()]
        if not items:
            return None
        number = self._next
        self._next += 1
        for tenant in {item.tenant for item in items}:
            self._dropping.wrote(tenant, number)
        began_ns = self._clock.monotonic_ns()
        self._quick_objects += 1
        if began_ns - items[0].since_ns >= self._settings.commit_interval_s * 0.5e9:
            self._expected_records, self._quick_objects = len(items), 0
        self._began_ns = began_ns
        self._last_records = len(items)
        batch = Batch(self.writer, number, items, self._began_ns)
        self._flying.append(batch)
        return batch

    def _store(self, batch: Batch) -> None:
        """Put an object until the outcome is known; runs in a putter."""
        content = batch.encode()
        wait_s, longest_s = RETRY_S
        while not self._ended.is_set() and not self._lost:
            try:
                self._put.attempt(batch.number, content)
            except LogLostError as error:
                self._lose(error)
                return
            except TracestoreError as error:
                self._metrics.commit_failed(len(batch.items))
                log.warning(
                    "write-ahead log object was not stored, and is tried again",
                    extra={"writer": self.writer, "number": batch.number, "error": str(error)},
                )
                self._ended.wait(wait_s)
                wait_s = min(2 * wait_s, longest_s)
            else:
                self._stored(batch, len(content))
                return

    def _stored(self, batch: Batch, size: int) -> None:
        """Acknowledge what is stored up to the first object that is not."""
        acknowledged: list[Batch] = []
        with self._changed:
            batch.stored_bytes = size
            while self._flying and self._flying[0].stored_bytes:
                acknowledged.append(first := self._flying.popleft())
                self._acknowledged = first.number
                for tenant in first.promised_tenants():
                    self._dropping.promised(tenant)
            finished = self._finished_rotations()
            self._changed.notify_all()
        for each in acknowledged:
            seconds = (self._clock.monotonic_ns() - each.began_ns) / 1e9
            self._metrics.synced(seconds, len(each.items))
            payload = sum(item.record.uncompressed_bytes for item in each.items)
            self._metrics.appended(len(each.items), each.stored_bytes, payload)
            each.acknowledge()
        for rotation, names in finished:
            rotation.finish(names)

    def _finished_rotations(self) -> list[tuple[Rotation, tuple[str, ...]]]:
        """Take the rotations whose objects are all acknowledged. Needs the lock."""
        finished = [each for each in self._rotations if each[0] <= self._acknowledged]
        self._rotations = deque(e for e in self._rotations if e[0] > self._acknowledged)
        return [(rotation, names) for _, rotation, names in finished]

    def _take_late(self) -> list[Append | Rotation]:
        """Take who has waited longer than it may. Needs the lock.

        A record that is in an object already may still be stored, as after any time-out.
        """
        limit_ns = self._clock.monotonic_ns() - int(self._settings.answer_wait_s * 1e9)
        late: list[Append | Rotation] = []
        while self._queue and isinstance(first := self._queue[0], Append):
            if first.since_ns > limit_ns:
                break
            self._queue.popleft()
            self._queued_bytes -= first.record.size
            late.append(first)
        for batch in self._flying:
            if batch.began_ns <= limit_ns:
                late += batch.take_unanswered()
        return late

    def _lose(self, error: LogLostError) -> None:
        """End because a peer has sealed the log; what is not acknowledged never will be."""
        with self._changed:
            if self._lost or self._ended.is_set():
                return
            self._lost = True
            failed = self._take_all()
            self._changed.notify_all()
        log.error("write-ahead log was taken over by a peer", extra={"error": str(error)})
        fail(failed, UnavailableError(f"{error}: retry"))
        self._on_lost()

    def lose(self) -> None:
        """End as if a peer had sealed the log: the index says that it was adopted."""
        self._lose(LogLostError(f"write-ahead log {self.writer} was adopted"))

    def _take_all(self) -> list[Append | Rotation]:
        """Take everybody who waits. Needs the lock."""
        waiting: list[Append | Rotation] = [*self._queue]
        waiting += [rotation for _, rotation, _ in self._rotations]
        for batch in self._flying:
            waiting += batch.take_unanswered()
        self._queue.clear()
        self._rotations.clear()
        self._flying.clear()
        self._queued_bytes = 0
        return waiting


def _report(put: Future[None]) -> None:
    """Say that a put ended by a mistake of ours: its records are never acknowledged."""
    if not put.cancelled() and (error := put.exception()) is not None:
        log.error("write-ahead log object is given up", exc_info=error)


class TenantBucketLog:
    """The log in the bucket as one tenant sees it: what ``TenantLive`` needs of a log."""

    def __init__(self, shared: BucketLog, tenant: TenantId) -> None:
        self._shared = shared
        self._tenant = tenant

    def append(self, payload: bytes | bytearray) -> Future[WalPosition]:
        """See ``BucketLog.append``."""
        return self._shared.append(self._tenant, payload)

    def request_rotation(self) -> Future[tuple[str, ...]]:
        """See ``BucketLog.request_rotation``."""
        return self._shared.request_rotation(self._tenant)

    def drop(self, segments: tuple[str, ...]) -> None:
        """See ``BucketLog.drop``."""
        self._shared.drop(self._tenant, segments)

    def close(self) -> None:
        """Nothing: the log is closed once, for all tenants."""

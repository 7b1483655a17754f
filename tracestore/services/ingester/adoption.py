"""Logs in the bucket whose writers are gone: taken over, written as blocks, closed. Exactly once.

Each process looks for writers that nobody answers for: those of its own earlier lives at once,
others after a while. A lease keeps two from doing the same work; what makes it safe is the index:
an adoption is a commit that only one can make, it raises the writer's epoch, and blocks of the log
are committed under that epoch alone. Whoever dies in the middle is followed by the next, which
finds in the block list what is done already.

Source: docs/formats/wal.md, docs/formats/index.md.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tracestore.clock import Clock
from tracestore.codec.wal_tombstone import Tombstone
from tracestore.errors import ConflictError, TracestoreError, UnavailableError
from tracestore.model.ids import TenantId, WriterId
from tracestore.services.blocking import BlockingPool
from tracestore.services.follower import IndexFollower
from tracestore.services.ingester.head import Head
from tracestore.services.ingester.own_writer import OwnWriter
from tracestore.storage.index.writers import Adoption, Fence, WalHome, Writer, WriterChange
from tracestore.storage.leases import Lease, LeaseStore
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import wal_key
from tracestore.storage.wal.bucket_reader import (
    LogDecoder,
    list_numbers,
    read_objects,
    seal_log,
)
from tracestore.storage.wal.metrics import WalMetrics
from tracestore.storage.wal.ranges import HeldOfWriter, WalRange, held_by_blocks

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often the writers of the index are looked at."""
LEASE_S = 30.0
"""Term of the lease; it is renewed four times in it."""
DELETED_AT_ONCE = 500


class Adopting(Protocol):
    """What is needed of the ingester."""

    def new_head(self, fence: Fence) -> Head:
        """Make a head whose block is committed under a fence."""

    def adopt(self, tenant: TenantId, head: Head) -> None:
        """Serve a filled head, and write its block. Synchronous."""

    def is_flushed(self, tenant: TenantId, head: Head) -> bool:
        """Tell whether its block is in the index."""

    @property
    def head_bytes_max(self) -> int:
        """Wire bytes after which a head is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Adopted:
    """A log that this process answers for."""

    fence: Fence
    """The writer, and its epoch under this process."""
    lease: _Kept
    filling: _Filling
    end: int
    """The number of the tombstone."""


class Adopter:
    """Looks for orphans and takes them in. A service of processes with an ingester."""

    name = "adopter"

    def __init__(
        self,
        store: ObjectStore,
        index: IndexFollower,
        leases: LeaseStore,
        own: OwnWriter,
        ingester: Adopting,
        pool: BlockingPool,
        clock: Clock,
        *,
        is_alive: Callable[[WriterId], bool],
        adopt_after_s: float,
        metrics: WalMetrics,
    ) -> None:
        """Args:
        pool: one thread, in which logs are read.
        is_alive: whether the process of a writer answers.
        """
        self._store = store
        self._index = index
        self._leases = leases
        self._own = own
        self._ingester = ingester
        self._pool = pool
        self._clock = clock
        self._is_alive = is_alive
        self._adopt_after_ns = int(adopt_after_s * 1e9)
        self._metrics = metrics
        self._silent_since: dict[WriterId, int] = {}
        self._answered: tuple[WriterId, ...] = ()
        self._stopping = threading.Event()

    @property
    def answered(self) -> tuple[WriterId, ...]:
        """The adopted writers all of whose spans are in the live tables or blocks by now."""
        return self._answered

    async def start(self) -> None:
        """Nothing: earlier lives of this process are looked for at once, but beside the work."""

    async def run(self) -> None:
        """Look again and again, until cancelled. What fails is tried again."""
        while True:
            for writer in self.due():
                try:
                    await self.take_in(writer)
                except TracestoreError as error:
                    extra = {"writer": writer.id, "error": str(error)}
                    log.warning("log of a writer was not adopted, and is tried again", extra=extra)
            await self._clock.sleep(LOOK_S)

    async def drain(self) -> None:
        """Read no further: what is adopted and not written stays in the log, for the next."""
        self._stopping.set()

    def due(self) -> list[Writer]:
        """Find the writers that should be adopted now."""
        writers = self._index.current().writers
        now_ns = self._clock.monotonic_ns()
        found = []
        for writer in writers.values():
            if writer.id == self._own.writer.id or self._is_answered(writer):
                self._silent_since.pop(writer.id, None)
                continue
            since_ns = self._silent_since.setdefault(writer.id, now_ns)
            if writer.wal is not WalHome.BUCKET:
                continue
            is_earlier_life = writer.instance == self._own.writer.instance
            if is_earlier_life or now_ns - since_ns >= self._adopt_after_ns:
                found.append(writer)
        for gone in self._silent_since.keys() - writers.keys():
            del self._silent_since[gone]
        return found

    def _is_answered(self, writer: Writer) -> bool:
        if writer.owner == self._own.writer.id:
            return writer.id in self._answered
        return self._is_alive(writer.owner)

    async def take_in(self, writer: Writer) -> None:
        """Adopt one log, and see it through to its end.

        Raises: UnavailableError; what was not done is done by the next try.
        """
        adopted = await self._pool.run(self._adopt, writer)
        if adopted is None:
            return
        try:
            while not adopted.filling.is_flushed:
                await self._clock.sleep(LOOK_S / 4)
                await self._pool.run(adopted.lease.keep)
            await self._pool.run(self._end, adopted)
        finally:
            self._answered = tuple(id for id in self._answered if id != writer.id)
            await self._pool.run(adopted.lease.release)

    def _adopt(self, writer: Writer) -> _Adopted | None:
        acquired = self._leases.acquire(f"adopt-{writer.id}", LEASE_S)
        if acquired is None:
            return None
        lease = _Kept(acquired, self._clock, self._stopping)
        try:
            epoch = self._commit(writer)
            read = None if epoch is None else self._read(writer, epoch, lease)
        except BaseException:
            lease.release()
            raise
        if read is None:
            lease.release()
            return None
        filling, end = read
        self._answered = (*self._answered, writer.id)
        extra = {"writer": writer.id, "instance": writer.instance, "objects": end - 1}
        log.warning("log of a writer that is gone was adopted", extra=extra)
        fence = Fence(writer=writer.id, epoch=writer.epoch + 1)
        return _Adopted(fence=fence, lease=lease, filling=filling, end=end)

    def _commit(self, writer: Writer) -> int | None:
        """Become the owner. Returns: the new epoch; None if somebody else was first."""
        known = self._index.refresh().writers.get(writer.id)
        if known is None or known != writer:
            return None
        epoch = writer.epoch + 1
        adoption = Adoption(writer=writer.id, owner=self._own.writer.id, epoch=epoch)
        change = self._index.new_change(
            writers=WriterChange(adopt=(adoption,)), fence=self._own.fence
        )
        try:
            self._index.commit(change)
        except ConflictError:
            return None
        return epoch

    def _read(self, writer: Writer, epoch: int, lease: _Kept) -> tuple[_Filling, int]:
        """Seal the log, and fill heads with what no block holds.

        Returns: the heads, and where the tombstone is.
        Cost: memory for one block beside what the ingester holds: a longer log is read when the
            blocks of what was read so far are written.
        """
        held = held_by_blocks(self._index.current(), writer.id)
        tombstone = Tombstone(owner=self._own.writer.id, epoch=epoch)
        extent = seal_log(self._store, writer.id, tombstone, held_last=held.last)
        filling = _Filling(self._ingester, writer.id, Fence(writer=writer.id, epoch=epoch))
        decoder = LogDecoder(self._store, writer.id, self._metrics)
        for number, content in read_objects(self._store, writer.id, extent.numbers):
            if content is not None:
                self._load(filling, decoder, held, number, content)
            elif number > held.last:
                log.error("object of a log is missing", extra={"key": wal_key(writer.id, number)})
                self._metrics.corrupt_record()
            if filling.is_full:
                filling.hand_over(number)
                self._wait_until_flushed(filling, lease)
            lease.keep()
        filling.hand_over(extent.end - 1)
        return filling, extent.end

    def _wait_until_flushed(self, filling: _Filling, lease: _Kept) -> None:
        while not filling.is_flushed:
            self._stopping.wait(LOOK_S / 4)
            lease.keep()

    def _load(
        self,
        filling: _Filling,
        decoder: LogDecoder,
        held: HeldOfWriter,
        number: int,
        content: bytes,
    ) -> None:
        for record in decoder.records(number, content, keep_damage=True):
            tenant = TenantId(record.tenant)
            if number not in held.of(tenant):
                filling.add(tenant, number, record.payload)

    def _end(self, adopted: _Adopted) -> None:
        """Close the writer: blocks hold all of it. Its objects go, the tombstone stays a while."""
        writer = adopted.fence.writer
        change = self._index.new_change(writers=WriterChange(close=(writer,)), fence=adopted.fence)
        self._index.commit(change)
        # objects may lie beyond the tombstone: puts that were under way when the log was sealed
        numbers = [n for n in list_numbers(self._store, writer) if n != adopted.end]
        for first in range(0, len(numbers), DELETED_AT_ONCE):
            part = numbers[first : first + DELETED_AT_ONCE]
            self._store.delete_many([wal_key(writer, number) for number in part])
        self._metrics.adopted()
        log.info("adopted log is written", extra={"writer": writer})


class _Kept:
    """A lease that is renewed in time while its holder works."""

    def __init__(self, lease: Lease, clock: Clock, stopping: threading.Event) -> None:
        self._lease = lease
        self._clock = clock
        self._stopping = stopping
        self._renewed_ns = clock.monotonic_ns()

    def keep(self) -> None:
        """Renew it if it is time. Raises: UnavailableError if it is lost, or the process stops."""
        if self._stopping.is_set():
            raise UnavailableError("the process stops")
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._renewed_ns < LEASE_S * 1e9 / 4:
            return
        if not self._lease.renew():
            raise UnavailableError(f"lease {self._lease.name} was lost")
        self._renewed_ns = now_ns

    def release(self) -> None:
        """Let others have it. Raises: UnavailableError."""
        self._lease.release()


class _Filling:
    """The heads of an adopted log: those that grow, one a tenant, and those handed over."""

    def __init__(self, ingester: Adopting, writer: WriterId, fence: Fence) -> None:
        self._ingester = ingester
        self._writer = writer
        self._fence = fence
        self._growing: dict[TenantId, tuple[Head, int]] = {}
        """Head, and the first object that it stands for."""
        self.handed_over: list[tuple[TenantId, Head]] = []

    def add(self, tenant: TenantId, number: int, payload: bytes) -> None:
        """Decode a record of an object."""
        growing = self._growing.get(tenant)
        if growing is None:
            growing = self._growing[tenant] = self._ingester.new_head(self._fence), number
        growing[0].load(payload)

    @property
    def is_full(self) -> bool:
        """Whether the heads that grow are as large as one block."""
        size = sum(head.wire_bytes for head, _ in self._growing.values())
        return size >= self._ingester.head_bytes_max

    @property
    def is_flushed(self) -> bool:
        """Whether blocks hold what was handed over, or another process answers for it."""
        return all(self._ingester.is_flushed(*each) for each in self.handed_over)

    def hand_over(self, last: int) -> None:
        """Give the heads to the ingester, which writes them.

        Args:
            last: the last object that was read whole.
        """
        for tenant, (head, first) in list(self._growing.items()):
            head.segments = (str(WalRange(self._writer, first, last)),)
            self._ingester.adopt(tenant, head)
            self.handed_over.append((tenant, head))
            del self._growing[tenant]

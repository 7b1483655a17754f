"""The ingester: replay at the start, then log, decode, flush, until it is drained.

Senders are answered when their record is synced; decoding and flushing happen beside them, and hold
them back only when memory would run over.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from tracestore.clock import Clock
from tracestore.errors import CorruptionError, TracestoreError, UnavailableError
from tracestore.kernel import RequestCheck
from tracestore.model.ids import TenantId, new_block_id
from tracestore.services.blocking import BlockingPool
from tracestore.services.ingester.flush import Flusher
from tracestore.services.ingester.head import Head, Request, Tap
from tracestore.services.ingester.live import LiveSource
from tracestore.services.ingester.quarantine import Quarantine
from tracestore.services.ingester.tenant import Judging, Log, RetiredError, TenantLive
from tracestore.services.ingester.tenants import Tenants
from tracestore.services.tenant_labels import TenantLabels
from tracestore.settings.tree import BlockSettings, IngesterSettings
from tracestore.storage.index.writers import Fence
from tracestore.storage.wal.log import WalPosition
from tracestore.telemetry import Metrics

log = logging.getLogger(__name__)

FLUSH_CHECK_S = 0.25
"""How often heads are looked at; bounds how much one may outgrow its size."""
ROOM_CHECK_S = 0.02
SWIFT_DECODE_BYTES = 4 << 20
"""This much is worth decoding at once, before the interval is over."""


class SegmentReplay(Protocol):
    """What ``Replay`` offers."""

    def segments(self) -> Iterator[tuple[str, Iterator[ReplayedRecord]]]:
        """Go through the segments that no block holds, each with its records."""


class ReplayedRecord(Protocol):
    """A record of the log."""

    @property
    def payload(self) -> bytes:
        """An ExportTraceServiceRequest."""

    @property
    def tenant(self) -> str:
        """Whose it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Durables:
    """Where the tenants' logs are: made by the process, faked by tests."""

    open_log: Callable[[TenantId], Log]
    logged: Callable[[], Sequence[TenantId]]
    """Who has segments on disk."""
    replay: Callable[[TenantId], SegmentReplay]
    """Skips, and deletes, the segments that a committed block holds."""
    quarantine: Quarantine
    fence: Callable[[], Fence | None] = lambda: None
    """What commits of blocks depend on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngesterPools:
    """The threads that the ingester works in."""

    decode: BlockingPool
    """One thread: heads are decoded one after another."""
    flush: BlockingPool


class Ingester:
    """Owns the live tables. Appends come from pool threads, the rest from the loop."""

    name = "ingester"

    def __init__(
        self,
        settings: IngesterSettings,
        block_settings: BlockSettings,
        durables: Durables,
        flusher: Flusher,
        pools: IngesterPools,
        metrics: Metrics,
        clock: Clock,
        rng: random.Random,
        *,
        labels: TenantLabels,
        always: tuple[TenantId, ...] = (),
        taps: Callable[[TenantId], Tap] | None = None,
        sampling: Judging | None = None,
    ) -> None:
        """Args:
        sampling: decides which traces are stored; None: all.
        labels: how metrics name tenants.
        taps: makes what sees the spans of a tenant's head as they come.
        always: tenants that have live tables from the start to the end, also without spans.
        """
        self._settings = settings
        self._block_settings = block_settings
        self._durables = durables
        self._flusher = flusher
        self._pools = pools
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._labels = labels
        self._always = frozenset(always)
        self._taps = taps
        self._sampling = sampling
        self._tenants = Tenants(
            lambda tenant: self._make(tenant, [self._own_head(tenant)]),
            tenants_max=settings.tenants_max,
            idle_s=settings.tenant_idle_s,
        )
        self._replayed = False
        self._slots = asyncio.Semaphore(settings.flush_concurrency)
        self._pending = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the logs are replayed: before that, live tables have gaps."""
        return self._replayed

    def has(self, tenant: TenantId) -> bool:
        """Tell whether a tenant has live state."""
        return self._tenants.get(tenant) is not None

    def append(
        self, tenant: TenantId, request: Request, checked: RequestCheck, *, counted: bool = True
    ) -> Future[WalPosition]:
        """Make a valid request durable; see ``distributor.Appender``. Opens the tenant if new."""
        self._check_replayed()
        while True:
            try:
                return self._tenants.open(tenant).append(request, checked, tapped=counted)
            except RetiredError:
                continue  # it is no longer listed, so it is opened anew

    async def wait_for_room(self, tenant: TenantId) -> None:
        """Wait while too much is not yet decoded or flushed. Raises: UnavailableError."""
        self._check_replayed()
        deadline_ns = self._clock.monotonic_ns() + int(self._settings.room_wait_s * 1e9)
        while (pressure := self._pressure(tenant)) is not None:
            stuck = any(live.is_stuck for live in self._tenants.all())
            if stuck or self._clock.monotonic_ns() >= deadline_ns:
                raise UnavailableError(f"{pressure}: retry later")
            await self._clock.sleep(ROOM_CHECK_S)

    def _pressure(self, tenant: TenantId) -> str | None:
        live = self._tenants.get(tenant)
        if live is None:
            return None
        return live.pressure() or self._tenants.pressure(live, self._settings)

    def sources(self, tenant: TenantId) -> list[LiveSource]:
        """Get the live tables of a tenant; for pool threads. Read the block list after it."""
        live = self._tenants.get(tenant)
        return [] if live is None else live.sources()

    def _check_replayed(self) -> None:
        if not self._replayed:
            raise UnavailableError("the server is starting")

    async def start(self) -> None:
        """Replay what the last process left. Raises: UnavailableError, CorruptionError."""
        self._loop = asyncio.get_running_loop()
        self._metrics.pending_bytes.set_function(self._pending_bytes)
        logged = await self._pools.decode.run(self._durables.logged)
        for tenant in sorted({*self._always, *logged}):
            self._tenants.put([await self._pools.decode.run(self._replay, tenant)])
        self._replayed = True

    def _replay(self, tenant: TenantId) -> TenantLive:
        """Fill heads from the segments left; each takes whole segments, the last one goes on."""
        heads = [self._own_head(tenant)]
        segments = records = 0
        for segment, payloads in self._durables.replay(tenant).segments():
            if heads[-1].wire_bytes >= self._settings.max_block_bytes:
                heads.append(self._own_head(tenant))
            segments += 1
            heads[-1].segments += (segment,)
            for record in payloads:
                if record.tenant != tenant:
                    raise CorruptionError(
                        f"the write-ahead log of tenant {tenant} holds a record of tenant "
                        f"{record.tenant}: its directory must not be shared",
                        key=segment,
                    )
                heads[-1].load(record.payload)
                records += 1
        live = self._make(tenant, heads)
        spans = sum(head.spans for head in heads)
        self._metrics.wal_replayed_spans.inc(spans)
        log.info(
            "write-ahead log is replayed",
            extra={"tenant": tenant, "segments": segments, "records": records, "spans": spans},
        )
        return live

    def _make(self, tenant: TenantId, heads: list[Head]) -> TenantLive:
        """Open a tenant; the last head goes on, those before it wait for their blocks."""
        live = TenantLive(
            tenant,
            self._settings,
            self._durables.open_log(tenant),
            self._flusher,
            clock=self._clock,
            new_head=partial(self._own_head, tenant),
            on_pending=self._wake_decoder,
            sampling=self._sampling,
        )
        for head in heads[:-1]:
            live.adopt(head)
        live.grow(heads[-1])
        return live

    def _own_head(self, tenant: TenantId) -> Head:
        tap = None if self._taps is None else self._taps(tenant)
        return self.new_head(self._durables.fence(), tap)

    def new_head(self, fence: Fence | None, tap: Tap | None = None) -> Head:
        """Make a head whose block is committed under a fence. Args: tap: sees its spans."""
        return Head(
            new_block_id(self._clock.now_ns(), self._rng),
            attribute_columns_max=self._block_settings.attribute_columns_max,
            refresh_s=self._settings.decode_interval_s,
            clock=self._clock,
            quarantine=self._durables.quarantine.keep,
            fence=fence,
            tap=tap,
        )

    @property
    def head_bytes_max(self) -> int:
        """Wire bytes after which a head is full."""
        return self._settings.max_block_bytes

    def adopt(self, tenant: TenantId, head: Head) -> None:
        """Serve a head that was filled from the log of another process, and write its block.

        For pool threads. Raises: UnavailableError or SettingsError if the tenant cannot be opened.
        """
        while True:
            try:
                return self._tenants.open(tenant, bounded=False).adopt(head)
            except RetiredError:
                continue  # it is no longer listed, so it is opened anew

    def is_flushed(self, tenant: TenantId, head: Head) -> bool:
        """Tell whether a head is in the index, or another process answers for it."""
        live = self._tenants.get(tenant)
        return live is None or head not in live.heads

    @property
    def holds_spans(self) -> bool:
        """Whether anything was taken that is in no block."""
        return any(not live.is_empty for live in self._tenants.all())

    async def run(self) -> None:
        """Decode and flush until cancelled. A failed flush is tried again, the rest is fatal."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._decode_for_ever())
            tasks.create_task(self._flush_for_ever())

    async def drain(self) -> None:
        """Decode and flush all that is there, then close the logs.

        What cannot be flushed stays in the log, and is replayed by the next start.
        """
        try:
            await self.flush_all()
        except TracestoreError as error:
            log.warning("last flush failed, the log keeps it", extra={"error": str(error)})
        for live in self._tenants.all():
            await self._pools.flush.run(live.close)

    def _wake_decoder(self) -> None:
        """Let the decoder know; called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._pending.set)

    async def _decode_for_ever(self) -> None:
        while True:
            await self._pending.wait()
            await self._linger()
            self._pending.clear()
            await self.decode_once()

    async def _linger(self) -> None:
        """Let more arrive, for large pieces cost less; not longer than the interval."""
        deadline_ns = self._clock.monotonic_ns() + int(self._settings.decode_interval_s * 0.9e9)
        while self._clock.monotonic_ns() < deadline_ns:
            if self._pending_bytes() >= SWIFT_DECODE_BYTES:
                return
            await self._clock.sleep(ROOM_CHECK_S)

    async def decode_once(self) -> None:
        """Decode all that is durable now."""
        started_ns = self._clock.monotonic_ns()
        await self._pools.decode.run(self._decode)
        self._metrics.decode_seconds.inc((self._clock.monotonic_ns() - started_ns) / 1e9)
        self._show_live()

    def _decode(self) -> None:
        for live in self._tenants.all():
            if live.pending_bytes:
                live.decode()

    def _show_live(self) -> None:
        lives = self._tenants.all()
        spans = ((live.tenant, live.live.spans) for live in lives)
        self._labels.show(self._metrics.live_spans, spans)
        size = ((live.tenant, live.live.wire_bytes) for live in lives)
        self._labels.show(self._metrics.live_bytes, size)

    def _pending_bytes(self) -> int:
        return sum(live.pending_bytes for live in self._tenants.all())

    async def _flush_for_ever(self) -> None:
        while True:
            await self._clock.sleep(FLUSH_CHECK_S)
            await self.flush_due()

    async def flush_due(self) -> None:
        """Cut the heads that are old or large enough, and write those whose time has come."""
        now_ns = self._clock.monotonic_ns()
        crowded = self._largest_if_crowded()
        lives = self._tenants.all()
        has_room = self._wire_bytes(lives) < self._settings.live_bytes_max
        waiting = 0
        async with asyncio.TaskGroup() as tasks:
            for live in lives:
                if live is crowded or live.is_due(now_ns):
                    live.cut()
                for head in live.cut_heads:
                    if has_room and live.is_waiting(head, now_ns):
                        waiting += 1
                    elif head.retry_at_ns <= now_ns:
                        tasks.create_task(self._flush_or_retry_later(live, head))
            self._metrics.sampling_waiting.set(waiting)
        closed = await self._pools.flush.run(self._close_idle, now_ns)
        for tenant in closed:
            if self._labels.of(tenant) == tenant:
                self._metrics.live_spans.remove(tenant)
                self._metrics.live_bytes.remove(tenant)

    def _close_idle(self, now_ns: int) -> tuple[TenantId, ...]:
        return self._tenants.close_idle(now_ns, keep=self._always)

    def _largest_if_crowded(self) -> TenantLive | None:
        """Find whose head should go first if all tenants together have too much in memory."""
        lives = self._tenants.all()
        growing = [live for live in lives if not live.cut_heads]
        if len(lives) == 1 or not growing:
            return None
        if self._wire_bytes(lives) < self._settings.live_bytes_max:
            return None
        return max(growing, key=lambda live: live.wire_bytes)

    @staticmethod
    def _wire_bytes(lives: Sequence[TenantLive]) -> int:
        return sum(live.wire_bytes for live in lives)

    async def _flush_or_retry_later(self, live: TenantLive, head: Head) -> None:
        try:
            await self._flush(live, head)
        except TracestoreError as error:
            log.warning(
                "flush failed, the live tables stay",
                extra={"tenant": live.tenant, "block": head.block_id, "error": str(error)},
            )

    async def _flush(self, live: TenantLive, head: Head) -> None:
        async with self._slots:
            try:
                await self._pools.flush.run(live.flush, head)
            except TracestoreError:
                self._metrics.flush_failures.inc()
                retry_ns = int(self._settings.flush_retry_s * 1e9)
                head.retry_at_ns = self._clock.monotonic_ns() + retry_ns
                raise
        self._show_live()

    async def flush_all(self, tenant: TenantId | None = None) -> None:
        """Write everything that is live now, of one tenant or of all, to blocks; failed ones first.

        Raises: UnavailableError; what was not written stays live.
        """
        for live in self._tenants.all():
            if tenant is not None and live.tenant != tenant:
                continue
            for head in live.cut_heads:
                await self._flush(live, head)
            live.cut()
            for head in live.cut_heads:
                await self._flush(live, head)

"""The compactor: looks for work in the index, and does it under leases, a piece at a time."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tracestore.clock import Clock
from tracestore.errors import ConflictError, CorruptionError, TracestoreError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import BlockId, TenantId
from tracestore.services.blocking import BlockingPool
from tracestore.services.compactor.garbage import Garbage
from tracestore.services.compactor.merging import BlockWork, Done
from tracestore.services.compactor.planning import (
    Due,
    Merge,
    applied_s,
    plan_expiry,
    plan_merges,
)
from tracestore.services.compactor.retention import Retention, rules_of
from tracestore.services.follower import IndexFollower
from tracestore.services.tenant_labels import TenantLabels
from tracestore.settings.compactor_tree import CompactorSettings
from tracestore.settings.limits import TenantLimits
from tracestore.storage.leases import Lease
from tracestore.telemetry import Metrics

log = logging.getLogger(__name__)

GARBAGE_LEASE = "garbage"


class Compactor:
    """One of any number: what one does, the others leave alone.

    States: running -> stopping, in which the piece at hand is given up.
    """

    name = "compactor"

    def __init__(
        self,
        settings: CompactorSettings,
        index: IndexFollower,
        work: BlockWork,
        garbage: Garbage,
        pool: BlockingPool,
        metrics: Metrics,
        clock: Clock,
        rng: random.Random,
        *,
        limits: Callable[[TenantId], TenantLimits],
        labels: TenantLabels,
    ) -> None:
        """Args:
        pool: one thread, in which blocks are read and written.
        limits: of a tenant, as they are now.
        """
        self._settings = settings.compaction
        self._disabled = settings.disabled
        self._index = index
        self._work = work
        self._garbage = garbage
        self._pool = pool
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._limits = limits
        self._labels = labels
        self._idle = asyncio.Event()
        self._idle.set()
        self._collected_ns = clock.monotonic_ns()
        self._damaged: set[BlockId] = set()
        """Blocks that cannot be read, or not be worked on; for the former queries say so, too."""
        self._held: dict[BlockId, frozenset[bytes]] = {}
        """Blocks all of whose traces are among these pins."""

    async def start(self) -> None:
        """Nothing to get ready."""

    async def run(self) -> None:
        """Look for work again and again, until cancelled. What fails is tried again."""
        while True:
            # not all processes at once
            await self._clock.sleep(self._settings.compaction_cycle_s * self._rng.uniform(0.5, 1.0))
            if not self._disabled:
                await self.cycle_once()

    async def drain(self) -> None:
        """Wait until the piece at hand is given up."""
        await self._idle.wait()

    async def cycle_once(self) -> None:
        """Do all that is to be done now."""
        self._idle.clear()
        try:
            await self._pool.run(self._cycle)
        finally:
            self._idle.set()

    def _cycle(self) -> None:
        for tenant in sorted(self._index.current().tenants):
            if self._work.is_stopping():
                return
            with self._failing("retention", self._metrics.retention_errors.inc):
                self._expire(tenant)
            with self._failing("compaction", self._metrics.compaction_errors.inc):
                self._merge(tenant)
        with self._failing("garbage", self._metrics.retention_errors.inc):
            self._collect()

    @contextmanager
    def _failing(
        self, what: str, count: Callable[[], None], blocks: Sequence[BlockMeta] = ()
    ) -> Iterator[None]:
        """Let the next cycle try again what failed.

        A damaged block is left alone from then on, and so are blocks that our code fails on.
        """
        try:
            yield
        except CorruptionError as error:
            count()
            damaged = {meta.id for meta in blocks if meta.id in error.key}
            self._damaged |= damaged
            extra = {"work": what, "error": str(error)}
            log.error("a block is damaged, it stays as it is", extra=extra)
        except ConflictError as error:
            log.info("work on blocks was done by another process", extra={"error": str(error)})
        except (TracestoreError, OSError, MemoryError) as error:  # a full disk may be emptied
            if not self._work.is_stopping():
                count()
                extra = {"work": what, "error": str(error) or repr(error)}
                log.warning("work on blocks failed, and is tried again", extra=extra)
        except Exception:
            count()
            self._damaged |= {meta.id for meta in blocks}
            log.exception("work on blocks met an error of ours", extra={"work": what})

    # --- retention ----------------------------------------------------------------------------

    def retention_of(self, tenant: TenantId) -> Retention:
        """Get how long the traces of a tenant stay."""
        limits = self._limits(tenant).compaction
        base_s = limits.block_retention_s or self._settings.block_retention_s
        return Retention(base_s=base_s, rules=rules_of(limits.retention_rules))

    def _expire(self, tenant: TenantId) -> None:
        retention = self.retention_of(tenant)
        blocks = self._index.current().blocks(tenant)
        due = plan_expiry(
            (meta for meta in blocks if meta.id not in self._damaged),
            retention.thresholds_s,
            digest=retention.digest,
            now_ns=self._clock.now_ns(),
        )
        pinned = self._work.pins.all(tenant) if any(one.is_held for one in due) else frozenset()
        for one in due:
            if self._work.is_stopping():
                return
            with self._failing("retention", self._metrics.retention_errors.inc, (one.meta,)):
                if one.is_held and self._is_pinned(one.meta, pinned):
                    continue
                with self._leased(f"expire-{one.meta.id}") as lease:
                    if lease is not None:
                        self._expire_one(tenant, one, retention, lease)

    def _is_pinned(self, meta: BlockMeta, pinned: frozenset[bytes]) -> bool:
        """Tell whether every trace of a block that pins alone keep is still pinned."""
        if self._held.get(meta.id) != pinned:
            if not self._work.trace_ids(meta) <= pinned:
                return False
            self._held[meta.id] = pinned
        return True

    def _expire_one(self, tenant: TenantId, due: Due, retention: Retention, lease: Lease) -> None:
        """Take a block away, or write it anew with the traces that stay."""
        started_ns = self._clock.monotonic_ns()
        if due.is_last and not self._work.pins.all(tenant):
            done = self._work.remove([due.meta])
        else:
            done = self._work.rewrite(
                tenant, [due.meta], retention, lease, applied_s=due.threshold_s
            )
        self._metrics.retention_marked.inc(len(done.removed))
        seconds = (self._clock.monotonic_ns() - started_ns) / 1e9
        self._metrics.retention_seconds.observe(seconds)
        kept = sum(meta.traces for meta in done.added)
        extra = {"tenant": tenant, "block": due.meta.id, "traces": due.meta.traces, "kept": kept}
        log.info("retention was applied to a block", extra=extra)

    # --- compaction ---------------------------------------------------------------------------

    def _merge(self, tenant: TenantId) -> None:
        limits = self._limits(tenant).compaction
        if limits.compaction_disabled:
            return
        window_s = limits.compaction_window_s or self._settings.compaction_window_s
        while True:
            blocks = self._index.current().blocks(tenant)
            merges = plan_merges(
                tenant,
                [meta for meta in blocks if meta.id not in self._damaged],
                self._settings,
                window_s=window_s,
                now_ns=self._clock.now_ns(),
            )
            outstanding = sum(len(merge.inputs) for merge in merges)
            label = self._labels.of(tenant)
            self._metrics.compaction_outstanding.labels(label).set(outstanding)
            done = [self._try_merge(merge) for merge in merges]
            if True not in done:
                return

    def _try_merge(self, merge: Merge) -> bool:
        """Merge some blocks. Returns: False if another process is at it, or it failed."""
        if self._work.is_stopping():
            return False
        done: list[bool] = []
        with self._failing("compaction", self._metrics.compaction_errors.inc, merge.inputs):
            done.append(self._merge_one(merge))
        return done == [True]

    def _merge_one(self, merge: Merge) -> bool:
        """Merge some blocks. Returns: False if another process is at it."""
        with self._leased(merge.lease) as lease:
            if lease is None:
                return False
            current = self._index.refresh()
            known = {meta.id for meta in current.blocks(merge.tenant)}
            if any(meta.id not in known for meta in merge.inputs):
                return True  # somebody was faster: plan again
            retention = self.retention_of(merge.tenant)
            applied = applied_s(merge.inputs, retention.digest)
            done = self._work.rewrite(
                merge.tenant, merge.inputs, retention, lease, applied_s=applied
            )
            self._count(done)
        return True

    def _count(self, done: Done) -> None:
        level = str(max(meta.level for meta in done.removed))
        metrics = self._metrics
        metrics.compaction_blocks.labels(level).inc(len(done.removed))
        metrics.compaction_objects_written.labels(level).inc(sum(m.traces for m in done.added))
        metrics.compaction_bytes_written.labels(level).inc(sum(m.stored_bytes for m in done.added))
        metrics.compaction_objects_combined.labels(level).inc(done.traces_joined)
        extra = {
            "blocks": len(done.removed),
            "spans": sum(meta.spans for meta in done.added),
            "joined_traces": done.traces_joined,
        }
        log.info("blocks were merged", extra=extra)

    # --- garbage ------------------------------------------------------------------------------

    def _collect(self) -> None:
        settings = self._settings
        before_ns = self._clock.now_ns() - int(settings.compacted_block_retention_s * 1e9)
        since_s = (self._clock.monotonic_ns() - self._collected_ns) / 1e9
        lists = since_s >= settings.garbage_interval_s
        if not lists and not self._index.current().removed_before(before_ns):
            return
        with self._leased(GARBAGE_LEASE) as lease:
            if lease is None:
                return
            deleted = self._garbage.delete_removed(settings.compacted_block_retention_s)
            self._metrics.retention_deleted.inc(deleted)
            if lists:
                self._garbage.delete_orphans(settings.orphan_age_s)
                self._garbage.delete_dropped(settings.orphan_age_s)
                self._collected_ns = self._clock.monotonic_ns()

    @contextmanager
    def _leased(self, name: str) -> Iterator[Lease | None]:
        """Have a lease for a while; None: somebody else has it."""
        lease = self._work.lease(name)
        try:
            yield lease
        finally:
            if lease is not None:
                lease.release()

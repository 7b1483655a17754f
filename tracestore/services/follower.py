"""The block list of this process: its own commits at once, those of others by polling."""

from __future__ import annotations

import logging
import threading
import time

from tracestore.clock import Clock
from tracestore.errors import UnavailableError
from tracestore.model.block_meta import BlockMeta
from tracestore.services.blocking import BlockingPool
from tracestore.services.tenant_labels import TenantLabels
from tracestore.storage.index.blocklist import BlockList
from tracestore.storage.index.changes import Change
from tracestore.storage.index.commits import CommitLog
from tracestore.storage.index.writers import Fence
from tracestore.telemetry import Metrics

log = logging.getLogger(__name__)

ASK_AGAIN_S = 0.05


class IndexFollower:
    """Follows the index in the bucket for this process, for as long as it lives.

    States: starting -> ready. After the start a failed poll leaves the last good list in place, and
    only its age grows.
    """

    name = "index"

    def __init__(
        self,
        commits: CommitLog,
        pool: BlockingPool,
        metrics: Metrics,
        clock: Clock,
        *,
        interval_s: float,
        labels: TenantLabels,
    ) -> None:
        self._commits = commits
        self.new_change = commits.new_change
        """Makes a change to be passed to ``commit`` until that succeeds."""
        self._pool = pool
        self._metrics = metrics
        self._clock = clock
        self._interval_s = interval_s
        self._labels = labels
        self._lock = threading.Lock()
        """One showing of the list at a time; guards the next."""
        self._shown = 0

    def current(self) -> BlockList:
        """Get the block list as it is now. Thread-safe."""
        return self._commits.current

    def add_block(self, meta: BlockMeta, fence: Fence | None = None) -> None:
        """Commit a block; it is in the list when this returns. Synchronous, thread-safe.

        Raises: FencedError if another process answers for the writer of the fence;
            OutdatedBlockError if it was written too long ago: write it anew; UnavailableError:
            the outcome is open then, and adding it again is right.
        """
        self.commit(self.new_change(add=(meta,), fence=fence))

    def commit(self, change: Change) -> int:
        """Make a change happen, once; the list shows it when this returns. Thread-safe.

        Returns: a sequence at which it has happened.
        Raises: as ``CommitLog.commit``.
        """
        sequence = self._commits.commit(change)
        self.at_least(sequence)
        self._show_if_new(self.current())
        return sequence

    def at_least(self, sequence: int, timeout_s: float = 0.0) -> BlockList:
        """Get the list once it has a commit that somebody has made: read your writes. Thread-safe.

        Args:
            timeout_s: how long to ask for it again, should the store not show it at once.

        Raises: UnavailableError if the store does not answer, or there is no such commit.
        Cost: no request if the list is as new already.
        """
        until_ns = self._clock.monotonic_ns() + int(timeout_s * 1e9)
        while self.current().sequence < sequence:
            self._catch_up(sequence)
            left_s = (until_ns - self._clock.monotonic_ns()) / 1e9
            if self.current().sequence >= sequence or left_s <= 0:
                break
            time.sleep(min(left_s, self._interval_s, ASK_AGAIN_S))
        current = self.current()
        if current.sequence < sequence:
            raise UnavailableError(
                f"the index is at commit {current.sequence}, commit {sequence} is not there (yet)"
            )
        return current

    def refresh(self) -> BlockList:
        """Get the list as it is in the store now. Thread-safe. Raises: UnavailableError.

        Cost: a request that finds nothing, and one for each commit of others.
        """
        self._catch_up()
        return self.current()

    def fresh(self, age_s: float) -> BlockList:
        """Get the list; one that was not looked after for so long is refreshed. Thread-safe.

        A process that was paused does not know what happened meanwhile. Raises: UnavailableError.
        """
        return self.current() if self._age_s() <= age_s else self.refresh()

    async def start(self) -> None:
        """Read the whole index. Raises: UnavailableError, CorruptionError."""
        await self._pool.run(self._catch_up)
        log.info("index is read", extra={"sequence": self.current().sequence})

    async def run(self) -> None:
        """Poll until cancelled. Any error but UnavailableError ends the process."""
        while True:
            await self._clock.sleep(self._interval_s)
            await self.poll_once()

    async def poll_once(self) -> None:
        """Apply the commits made since the last look; on failure keep the old list."""
        try:
            await self._pool.run(self._catch_up)
        except UnavailableError as error:
            self._metrics.blocklist_poll_errors.labels("").inc()
            for tenant in self.current().tenants:
                self._metrics.index_errors.labels(self._labels.of(tenant)).inc()
            log.warning("index poll failed", extra={"error": str(error)})

    async def drain(self) -> None:
        """Nothing to hand over."""

    def _catch_up(self, at_least: int | None = None) -> None:
        started_ns = self._clock.monotonic_ns()
        blocks = self._commits.catch_up(at_least)
        self._show_if_new(blocks)
        seconds = (self._clock.monotonic_ns() - started_ns) / 1e9
        self._metrics.blocklist_poll_seconds.observe(seconds)

    def _show_if_new(self, blocks: BlockList) -> None:
        with self._lock:
            if blocks.sequence > self._shown:
                self._shown = blocks.sequence
                self._show(blocks)

    def _show(self, blocks: BlockList) -> None:
        metrics, labels = self._metrics, self._labels
        for tenant in blocks.tenants:
            label = labels.of(tenant)
            metrics.index_builder.labels(label).set(1)
            metrics.index_age_seconds.labels(label).set_function(self._age_s)
        every = blocks.tenants.items()
        stored = [(tenant, sum(meta.stored_bytes for meta in metas)) for tenant, metas in every]
        traces = [(tenant, sum(meta.traces for meta in metas)) for tenant, metas in every]
        labels.show(metrics.blocklist_length, ((tenant, len(metas)) for tenant, metas in every))
        labels.show(metrics.blocklist_bytes, stored)
        labels.show(metrics.backend_bytes, stored, "live")
        labels.show(metrics.backend_objects, traces, "live")

    def _age_s(self) -> float:
        return (self._clock.monotonic_ns() - self._commits.read_ns) / 1e9

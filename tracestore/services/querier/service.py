"""Runs queries on a snapshot of everything that tenants have, in a bounded pool, with a deadline.

What a query looks at: ``services/live/snapshot.py``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tracestore.clock import Clock
from tracestore.errors import DeadlineError, LimitExceededError, UnavailableError, UnreachableError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import TenantId
from tracestore.model.results import QueryStats
from tracestore.query.control import QueryControl
from tracestore.query.jobs.operation import QueryKind
from tracestore.query.source import SpanSource
from tracestore.services.blocking import BlockingPool
from tracestore.services.live.snapshot import LocalSnapshots, Snapshots
from tracestore.services.querier.limits import strictest
from tracestore.services.turns import Turns
from tracestore.settings.limits import TenantLimits
from tracestore.settings.tree import QuerySettings
from tracestore.storage.index.blocklist import BlockList, merge_newest_first
from tracestore.telemetry import Metrics
from tracestore.tracing import Tracing

T = TypeVar("T")

UNKNOWN_TENANT = "__unknown__"
"""Stands in metrics for tenants that were asked for and have nothing."""


class LiveTables(Protocol):
    """What the querier needs of an ingester."""

    def sources(self, tenant: TenantId) -> Sequence[SpanSource]:
        """Get the live tables of a tenant. Synchronous, thread-safe."""

    def has(self, tenant: TenantId) -> bool:
        """Tell whether a tenant has live state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Querier:
    """Answers queries; each runs in one pool thread, from the snapshot to the rendered answer."""

    settings: QuerySettings
    live: LiveTables
    blocks: Callable[[], BlockList]
    open_block: Callable[[BlockMeta], SpanSource]
    pool: BlockingPool
    metrics: Metrics
    clock: Clock
    tracing: Tracing
    is_ready: Callable[[], bool]
    """False until the index is read and the log replayed: an answer would leave something out."""

    reading: Callable[[Sequence[SpanSource]], AbstractContextManager[Sequence[SpanSource]]] = (
        nullcontext
    )
    """Enters the blocks of a query: what the query is given instead of them while it runs."""
    limits: Callable[[TenantId], TenantLimits] = lambda _: TenantLimits()
    """Of a tenant, as they are now."""
    turns: Turns | None = None
    """Hands out the pool's threads to the tenants in turn; None: first come, first served."""
    snapshots: Snapshots | None = None
    """Takes what queries look at; None: ``live`` and ``blocks`` of this process alone."""
    name_tenants: Callable[[str], str] = str
    """Bounds how many names of tenants metrics have."""

    def settings_for(self, tenants: tuple[TenantId, ...]) -> QuerySettings:
        """Get the settings of a query of some tenants; of none: those of the process."""
        return strictest(self.settings, (self.limits(tenant) for tenant in tenants))

    async def run(
        self,
        tenants: tuple[TenantId, ...],
        kind: QueryKind,
        evaluate: Callable[[Sequence[SpanSource], QueryControl], T],
        cancelled: threading.Event,
    ) -> T:
        """Run ``evaluate`` on a snapshot, in a pool thread.

        Args:
            tenants: whose spans are looked at, together, as if they were one tenant's.
            cancelled: set by the caller when nobody waits for the answer any more.

        Raises: UnavailableError while starting, LimitExceededError if too many wait, DeadlineError
        when the time is over, and what ``evaluate`` raises.
        """
        started_ns = self.clock.monotonic_ns()
        async with self.counted(tenants, kind, cancelled) as control, self.turn(tenants):
            return await self.pool.run(self._evaluate, tenants, evaluate, control, started_ns)

    @asynccontextmanager
    async def counted(
        self, tenants: tuple[TenantId, ...], kind: QueryKind, cancelled: threading.Event
    ) -> AsyncIterator[QueryControl]:
        """Have a query counted by how it ends; get its bounds.

        Raises: UnavailableError while starting.
        """
        if not self.is_ready():
            raise UnavailableError("the server is starting")
        label = self.label(tenants)
        started_ns = self.clock.monotonic_ns()
        settings = self.settings_for(tenants)
        timeout_ns = int(settings.query_timeout_s * 1e9)
        try:
            yield QueryControl(
                clock=self.clock,
                deadline_ns=started_ns + timeout_ns if timeout_ns else None,
                cancelled=cancelled,
                bytes_max=settings.max_bytes_read,
                answer_bytes_max=settings.max_answer_bytes,
            )
        except LimitExceededError:
            self.metrics.discarded_queries.labels(label).inc()
            raise
        except (DeadlineError, asyncio.CancelledError):
            cancelled.set()
            self.metrics.queries.labels(label, kind.value, "canceled").inc()
            raise
        self.metrics.queries.labels(label, kind.value, "completed").inc()
        seconds = (self.clock.monotonic_ns() - started_ns) / 1e9
        self.metrics.query_seconds.labels(label, kind.value).observe(seconds)

    @asynccontextmanager
    async def turn(self, tenants: tuple[TenantId, ...]) -> AsyncIterator[None]:
        """Have a thread of the pool. Raises: LimitExceededError."""
        if self.turns is None:
            yield
            return
        asker = "|".join(tenants)
        length = self.metrics.queue_length.labels(self.label(tenants))
        length.set(self.turns.waiting(asker) + 1)
        try:
            async with self.turns.turn(asker):
                length.set(self.turns.waiting(asker))
                yield
        finally:
            length.set(self.turns.waiting(asker))

    def label(self, tenants: tuple[TenantId, ...]) -> str:
        """Name tenants in metrics, as ``a|b``; those that have nothing are not named.

        So what callers make up adds no series.
        """
        blocks = self.blocks()
        there = [name for name in tenants if blocks.blocks(name) or self.live.has(name)]
        return self.name_tenants("|".join(there)) if there else UNKNOWN_TENANT

    def count_inspected(
        self, tenants: tuple[TenantId, ...], kind: QueryKind, stats: QueryStats
    ) -> None:
        """Add to the metrics what a query looked at. Any thread may call it."""
        labels = (self.label(tenants), kind.value)
        self.metrics.inspected_bytes.labels(*labels).inc(stats.inspected_bytes)
        self.metrics.inspected_spans.labels(*labels).inc(stats.inspected_spans)
        self.metrics.pruned_blocks.labels(*labels).inc(stats.pruned_blocks)

    def _evaluate(
        self,
        tenants: tuple[TenantId, ...],
        evaluate: Callable[[Sequence[SpanSource], QueryControl], T],
        control: QueryControl,
        asked_ns: int,
    ) -> T:
        waited_s = (self.clock.monotonic_ns() - asked_ns) / 1e9
        self.metrics.queue_seconds.observe(waited_s)
        control.check()
        with self.tracing.step("query") as span:
            attempts = self.settings.live.attempts_max
            for attempt in range(1, attempts + 1):
                with self.snapshot(tenants) as sources:
                    span.set_attributes(
                        {
                            "tracestore.tenant": "|".join(tenants),
                            "tracestore.sources": len(sources),
                            "tracestore.waited_s": waited_s,
                        }
                    )
                    try:
                        return evaluate(sources, control)
                    except UnreachableError:
                        # a process went away under the query: the next snapshot knows of it
                        if attempt == attempts:
                            raise
                control.check()
            raise AssertionError("at least one attempt is made")

    @contextmanager
    def snapshot(self, tenants: tuple[TenantId, ...]) -> Iterator[list[SpanSource]]:
        """Get every source of some tenants: the live ones, then the blocks, newest first."""
        with (
            self.taken(tenants) as (live, metas),
            self.reading([self.open_block(meta) for meta in metas]) as blocks,
        ):
            yield [*live, *blocks]

    @contextmanager
    def taken(
        self, tenants: tuple[TenantId, ...]
    ) -> Iterator[tuple[Sequence[SpanSource], list[BlockMeta]]]:
        """Get the live sources of some tenants, and what is known of their blocks."""
        snapshots = self.snapshots or LocalSnapshots(self.live, self.blocks)
        with snapshots.take(tenants) as taken:
            metas = merge_newest_first(taken.blocks.blocks(tenant) for tenant in tenants)
            yield taken.live, list(metas)

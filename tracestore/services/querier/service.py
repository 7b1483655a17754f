"""Runs queries on a snapshot of everything a tenant has, in a bounded pool, with a deadline.

A snapshot is taken in one order: live heads first, then the block list, and a head whose block is
in the list is left out. A flush publishes in the other order (the list first, then the head goes),
so a snapshot has neither a gap nor a double.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from tracestore.clock import Clock
from tracestore.errors import DeadlineError, LimitExceededError, UnavailableError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import TenantId
from tracestore.model.results import QueryStats
from tracestore.query.control import QueryControl
from tracestore.query.source import SpanSource
from tracestore.services.blocking import BlockingPool
from tracestore.settings.tree import QuerySettings
from tracestore.storage.index.blocklist import BlockList
from tracestore.telemetry import Metrics
from tracestore.tracing import Tracing

T = TypeVar("T")


class Operation(StrEnum):
    """Kinds of query, as metrics call them."""

    TRACES = "traces"
    SEARCH = "search"


class LiveTables(Protocol):
    """What the querier needs of an ingester."""

    def sources(self, tenant: TenantId) -> Sequence[SpanSource]:
        """Get the live tables of a tenant. Synchronous, thread-safe."""


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

    async def run(
        self,
        tenant: TenantId,
        operation: Operation,
        evaluate: Callable[[Sequence[SpanSource], QueryControl], T],
        cancelled: threading.Event,
    ) -> T:
        """Run ``evaluate`` on a snapshot, in a pool thread.

        Args:
            cancelled: set by the caller when nobody waits for the answer any more.

        Raises: UnavailableError while starting, LimitExceededError if too many wait, DeadlineError
        when the time is over, and what ``evaluate`` raises.
        """
        if not self.is_ready():
            raise UnavailableError("the server is starting")
        started_ns = self.clock.monotonic_ns()
        timeout_ns = int(self.settings.query_timeout_s * 1e9)
        control = QueryControl(
            clock=self.clock,
            deadline_ns=started_ns + timeout_ns if timeout_ns else None,
            cancelled=cancelled,
            bytes_max=self.settings.max_bytes_read,
        )
        waiting = max(0, self.pool.outstanding + 1 - self.settings.max_concurrent_queries)
        self.metrics.queue_length.labels(tenant).set(waiting)
        try:
            answer = await self.pool.run(self._evaluate, tenant, evaluate, control)
        except LimitExceededError:
            self.metrics.discarded_queries.labels(tenant).inc()
            raise
        except DeadlineError:
            self.metrics.queries.labels(tenant, operation.value, "canceled").inc()
            raise
        self.metrics.queries.labels(tenant, operation.value, "completed").inc()
        seconds = (self.clock.monotonic_ns() - started_ns) / 1e9
        self.metrics.query_seconds.labels(tenant, operation.value).observe(seconds)
        return answer

    def count_inspected(self, tenant: TenantId, operation: Operation, stats: QueryStats) -> None:
        """Add to the metrics what a query looked at. Any thread may call it."""
        labels = (tenant, operation.value)
        self.metrics.inspected_bytes.labels(*labels).inc(stats.inspected_bytes)
        self.metrics.inspected_spans.labels(*labels).inc(stats.inspected_spans)
        self.metrics.pruned_blocks.labels(*labels).inc(stats.pruned_blocks)

    def _evaluate(
        self,
        tenant: TenantId,
        evaluate: Callable[[Sequence[SpanSource], QueryControl], T],
        control: QueryControl,
    ) -> T:
        control.check()
        with self.tracing.step("query") as span:
            sources = self.snapshot(tenant)
            span.set_attributes({"tracestore.tenant": tenant, "tracestore.sources": len(sources)})
            return evaluate(sources, control)

    def snapshot(self, tenant: TenantId) -> list[SpanSource]:
        """Get every source of a tenant: the live ones, then the blocks, newest first."""
        live = self.live.sources(tenant)
        metas = self.blocks().blocks(tenant)
        in_list = {meta.id for meta in metas}
        sources: list[SpanSource] = [source for source in live if source.id not in in_list]
        sources += [self.open_block(meta) for meta in metas]
        return sources

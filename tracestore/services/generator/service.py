"""The metrics-generator: metrics of spans as they come in, written out at intervals.

It is fed by whoever decodes spans: the live tables of the ingester, or requests that distributors
push where it runs apart. What it cannot count is counted as such; storing goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from tracestore.clock import Clock
from tracestore.kernel import SpanBuilder
from tracestore.model.collection import Collection
from tracestore.model.ids import TenantId
from tracestore.services.blocking import BlockingPool
from tracestore.services.generator.counts import GeneratorCounts
from tracestore.services.generator.tenant import RetiredError, TenantMetrics
from tracestore.services.tenant_labels import TenantLabels
from tracestore.settings.generator_limits import TenantGenerator
from tracestore.settings.generator_tree import GeneratorSettings
from tracestore.telemetry import Metrics

log = logging.getLogger(__name__)

CHECK_S = 0.5
"""How often it is looked whether a collection is due."""
EXPIRE_S = 2.0
"""How often requests are looked for whose other side does not come."""
PRUNE_S = 300.0
"""How often series are looked for that no span touches; sooner if they go stale sooner."""


class HeadTap:
    """Counts the spans of one head as it grows. Used under the head's lock."""

    def __init__(
        self, name: TenantId, tenant: Callable[[TenantId], TenantMetrics], metrics: Metrics
    ) -> None:
        """Args: tenant: gives the metrics of a tenant, which may be new ones by now."""
        self._name = name
        self._tenant = tenant
        self._metrics = metrics
        self._reader = tenant(name).reader()

    def skip(self, builder: SpanBuilder) -> None:
        """Leave out what was appended since the last time."""
        self._reader.rows = builder.spans

    def take(self, builder: SpanBuilder) -> None:
        """Count what was appended since the last time. Never raises: spans are stored anyway."""
        try:
            self._consume(builder)
        except Exception:
            self._metrics.generator_failures.inc()
            log.exception("spans cannot be counted", extra={"tenant": self._name})
            self.skip(builder)

    def _consume(self, builder: SpanBuilder) -> None:
        while True:
            try:
                return self._tenant(self._name).consume(self._reader, builder)
            except RetiredError:
                continue  # it is let go at this moment, so the next one is new


class MetricsGenerator:
    """Owns the metrics of all tenants. Taps are used by any thread, the rest is of the loop."""

    name = "metrics-generator"

    def __init__(
        self,
        settings: GeneratorSettings,
        config: Callable[[TenantId], TenantGenerator],
        sinks: Sequence[Callable[[Collection], None]],
        pool: BlockingPool,
        metrics: Metrics,
        clock: Clock,
        *,
        labels: TenantLabels,
        instance: str,
    ) -> None:
        """Args:
        config: what holds for a tenant now; see ``TenantGenerators``.
        sinks: take each collection, and must not wait; called from the pool.
        pool: where collections are made.
        labels: how our own metrics name tenants.
        instance: names this process in a label of all series.
        """
        self._settings = settings
        self._config = config
        self._sinks = tuple(sinks)
        self._pool = pool
        self._metrics = metrics
        self._clock = clock
        self._labels = labels
        self._instance = instance
        self._tenants: dict[TenantId, TenantMetrics] = {}

    def tap(self, tenant: TenantId) -> HeadTap:
        """Make what counts the spans of a head. Thread-safe."""
        return HeadTap(tenant, self.tenant, self._metrics)

    def tenant(self, tenant: TenantId) -> TenantMetrics:
        """Get the metrics of a tenant, which begin if they are new. Thread-safe."""
        found = self._tenants.get(tenant)
        if found is None:
            made = TenantMetrics(
                tenant,
                self._settings,
                lambda: self._config(tenant),
                self._clock,
                GeneratorCounts(self._metrics, self._labels, tenant),
                instance=self._instance,
            )
            found = self._tenants.setdefault(tenant, made)
        return found

    def latest(self, tenant: TenantId) -> Collection | None:
        """Take the series of a tenant as they are; None if it has none. For pool threads."""
        found = self._tenants.get(tenant)
        return None if found is None else found.latest()

    async def start(self) -> None:
        """Nothing to get ready: what the last process counted is gone with it."""

    async def run(self) -> None:
        """Collect, end waiting and prune when it is time, until cancelled."""
        prune_s = min(PRUNE_S, self._settings.registry.stale_duration_s / 3)
        expired_ns = pruned_ns = self._clock.monotonic_ns()
        while True:
            await self._clock.sleep(CHECK_S)
            now_ns = self._clock.monotonic_ns()
            if now_ns - expired_ns >= EXPIRE_S * 1e9:
                expired_ns = now_ns
                await self._each(TenantMetrics.expire)
            await self.collect_due()
            if now_ns - pruned_ns >= prune_s * 1e9:
                pruned_ns = now_ns
                await self._each(TenantMetrics.prune)
                self._let_go(now_ns)

    async def drain(self) -> None:
        """Write out everything once more."""
        await self.collect_all()

    async def collect_due(self) -> None:
        """Write out the series of the tenants whose time has come."""
        now_ns = self._clock.monotonic_ns()
        for tenant in list(self._tenants.values()):
            if now_ns >= tenant.next_collection_ns:
                await self._pool.run(self._collect, tenant)
                tenant.next_collection_ns = now_ns + int(tenant.interval_s * 1e9)

    async def collect_all(self) -> None:
        """Write out the series of all tenants now."""
        await self._each(self._collect)

    async def _each(self, work: Callable[[TenantMetrics], None]) -> None:
        await asyncio.gather(
            *(self._pool.run(work, tenant) for tenant in list(self._tenants.values()))
        )

    def _collect(self, tenant: TenantMetrics) -> None:
        counts = GeneratorCounts(self._metrics, self._labels, tenant.tenant)
        if not tenant.is_collected:
            return
        try:
            collection = tenant.collect()
            if collection is not None:
                for sink in self._sinks:
                    sink(collection)
        except Exception:
            counts.collected(failed=True)
            log.exception("series cannot be written out", extra={"tenant": tenant.tenant})
            return
        if collection is not None:
            counts.collected()

    def _let_go(self, now_ns: int) -> None:
        """Forget tenants that have no series and send no spans."""
        stale_ns = int(self._settings.registry.stale_duration_s * 1e9)
        for name, tenant in list(self._tenants.items()):
            if tenant.retire(now_ns - stale_ns):
                del self._tenants[name]

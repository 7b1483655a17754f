"""Querier and query-frontend as a part of a process: the query API and its streams."""

from __future__ import annotations

from collections.abc import Callable

from tracestore.api.metrics import MetricsRoutes
from tracestore.api.openapi import add_openapi
from tracestore.api.roles.ground import Ground
from tracestore.api.roles.store import make_reading
from tracestore.api.search import SearchRoutes
from tracestore.api.stream_methods import add_calls
from tracestore.api.tags import TagRoutes
from tracestore.api.tenant import TenantDoor
from tracestore.api.traces import TraceRoutes
from tracestore.errors import SettingsError
from tracestore.model.block_meta import BlockMeta
from tracestore.query.block_source import BlockSource
from tracestore.services.lifecycle import Service, Supervisor
from tracestore.services.live.snapshot import Snapshots
from tracestore.services.querier.runner import HomeRunner
from tracestore.services.querier.service import LiveTables, Querier
from tracestore.services.turns import Turns
from tracestore.storage.block.cache import BlockCache


class QueryRole:
    """Makes the querier, and serves what is asked of it."""

    def __init__(
        self,
        ground: Ground,
        live: LiveTables,
        is_ready: Callable[[], bool],
        snapshots: Snapshots | None,
    ) -> None:
        """Args:
        live: the spans of this process that are in no block yet.
        is_ready: false while an answer would leave something out.
        snapshots: over all processes of a cluster; None: this process is alone.
        """
        self._ground = ground
        self._snapshots = snapshots
        self._cache = cache = BlockCache(ground.settings.storage.cache_bytes)
        metrics = ground.metrics
        metrics.cache_bytes.labels("block").set_function(lambda: cache.bytes)
        metrics.cache_hits.labels("block").set_function(lambda: cache.hits)
        metrics.cache_misses.labels("block").set_function(lambda: cache.misses)
        self.querier = self._make_querier(live, is_ready)

    def _make_querier(self, live: LiveTables, is_ready: Callable[[], bool]) -> Querier:
        ground, cache = self._ground, self._cache
        settings = ground.settings.query

        def open_block(meta: BlockMeta) -> BlockSource:
            return BlockSource(ground.store, meta, cache)

        return Querier(
            settings=settings,
            live=live,
            blocks=ground.follower.current,
            open_block=open_block,
            reading=make_reading(ground.settings.storage),
            pool=ground.pools.query,
            metrics=ground.metrics,
            clock=ground.clock,
            tracing=ground.tracing,
            is_ready=is_ready,
            snapshots=self._snapshots,
            limits=ground.overrides.limits,
            name_tenants=ground.labels.of,
            turns=Turns(
                settings.max_concurrent_queries,
                waiting_max=settings.max_outstanding_queries,
                refusal="job queue full",
            ),
        )

    def services(self) -> list[Service]:
        """Make what runs; its routes are added."""
        return [self._make_mcp()] if self._ground.settings.query.mcp_enabled else []

    def _make_mcp(self) -> Service:
        try:
            from tracestore.api.mcp_server import PATH, McpServer
        except ImportError as error:
            raise SettingsError(
                f"query.mcp_enabled needs the extra mcp: pip install 'tracestore[mcp]' ({error})"
            ) from error
        ground = self._ground
        server = McpServer(ground.routes, ground.prefix, ground.clock)
        ground.routes.mount(ground.prefix + PATH, TenantDoor(tenancy=ground.tenancy, inner=server))
        return server

    def add_routes(self, supervisor: Supervisor) -> None:
        """Serve the query API, and its streams."""
        ground = self._ground
        runner = HomeRunner(querier=self.querier, cache=self._cache)
        routes, prefix, tenancy = ground.routes, ground.prefix, ground.tenancy
        TraceRoutes(runner=runner, tenancy=tenancy).add_to(routes, prefix)
        SearchRoutes(runner=runner, tenancy=tenancy).add_to(routes, prefix)
        TagRoutes(runner=runner, tenancy=tenancy).add_to(routes, prefix)
        add_calls(ground.calls, runner, tenancy, supervisor)
        add_openapi(routes, prefix)
        MetricsRoutes(runner=runner, tenancy=tenancy).add_to(routes, prefix)

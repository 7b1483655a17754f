"""Querier and query-frontend as a part of a process: the query API and its streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracestore.api.metrics import MetricsRoutes
from tracestore.api.openapi import add_openapi
from tracestore.api.prometheus import PrometheusRoutes
from tracestore.api.roles.cluster import ClusterPart
from tracestore.api.roles.ground import Ground
from tracestore.api.roles.snapshots import LiveReads
from tracestore.api.roles.store import make_reading
from tracestore.api.search import SearchRoutes
from tracestore.api.service_graph import ServiceGraphRoute
from tracestore.api.stream_methods import add_calls
from tracestore.api.tags import TagRoutes
from tracestore.api.tenant import TenantDoor
from tracestore.api.traces import TraceRoutes
from tracestore.errors import SettingsError
from tracestore.model.block_meta import BlockMeta
from tracestore.query.block_source import BlockSource
from tracestore.services.frontend.dispatch import SERVICE as JOBS_SERVICE
from tracestore.services.frontend.dispatch import Dispatcher, GrpcCalls
from tracestore.services.frontend.held import HeldSnapshots
from tracestore.services.frontend.runner import FrontendRunner
from tracestore.services.frontend.shipping import Shipping
from tracestore.services.lifecycle import Service, Supervisor
from tracestore.services.members.member import Member, Role
from tracestore.services.members.service import Members
from tracestore.services.querier.jobs import JobSources, QueryJobs
from tracestore.services.querier.prometheus import PromQueries
from tracestore.services.querier.runner import HomeRunner, QueryRunner
from tracestore.services.querier.service import LiveTables, Querier
from tracestore.services.querier.span_series import SpanSeries
from tracestore.services.turns import Turns
from tracestore.storage.block.cache import BlockCache


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryParts:
    """What queries of a process look at."""

    live: LiveTables
    """The spans of this process that are in no block yet."""
    is_ready: Callable[[], bool]
    """False while an answer would leave something out."""
    reads: LiveReads | None
    """Of the other processes of a cluster; None: this process is alone."""


class LivingQueriers:
    """See ``Queriers``."""

    def __init__(self, members: Members) -> None:
        self._members = members

    def living(self) -> Sequence[Member]:
        """Get the queriers that are ready."""
        return self._members.latest.taking(Role.QUERIER)

    def suspect(self, member: Member, reason: str) -> None:
        """Take one out that did not answer."""
        self._members.suspect(member, reason)


class QueryRole:
    """Makes the querier, and serves what is asked of it."""

    def __init__(
        self, ground: Ground, cluster: ClusterPart, roles: frozenset[Role], parts: QueryParts
    ) -> None:
        """Args:
        roles: of the process.
        """
        self._ground = ground
        self._cluster = cluster
        self._roles = roles
        self._parts = parts
        self._cache = cache = BlockCache(ground.settings.storage.cache_bytes)
        metrics = ground.metrics
        metrics.cache_bytes.labels("block").set_function(lambda: cache.bytes)
        metrics.cache_hits.labels("block").set_function(lambda: cache.hits)
        metrics.cache_misses.labels("block").set_function(lambda: cache.misses)
        settings = ground.settings.query
        self._turns = Turns(
            settings.max_concurrent_queries,
            waiting_max=settings.max_outstanding_queries,
            refusal="job queue full",
        )
        self._reading = make_reading(ground.settings.storage)
        self.querier = self._make_querier()
        if parts.reads is not None and Role.QUERIER in roles:
            ground.rpc.add_sending(JOBS_SERVICE, self._make_jobs(parts.reads).methods)

    def _open_block(self, meta: BlockMeta) -> BlockSource:
        return BlockSource(self._ground.store, meta, self._cache)

    def _make_querier(self) -> Querier:
        ground, parts = self._ground, self._parts
        return Querier(
            settings=ground.settings.query,
            live=parts.live,
            blocks=ground.follower.current,
            open_block=self._open_block,
            reading=self._reading,
            pool=ground.pools.query,
            metrics=ground.metrics,
            clock=ground.clock,
            tracing=ground.tracing,
            is_ready=parts.is_ready,
            snapshots=None if parts.reads is None else parts.reads.snapshots,
            limits=ground.overrides.limits,
            name_tenants=ground.labels.of,
            turns=self._turns,
        )

    def _make_jobs(self, reads: LiveReads) -> QueryJobs:
        ground = self._ground
        return QueryJobs(
            sources=JobSources(
                open_block=self._open_block,
                reading=self._reading,
                clients=reads.clients,
                pins=reads.pins,
                own_address=self._cluster.address,
            ),
            pool=ground.pools.query,
            turns=self._turns,
            cache=self._cache,
            clock=ground.clock,
            metrics=ground.metrics,
            tracing=ground.tracing,
            is_ready=self._parts.is_ready,
        )

    def _make_runner(self) -> QueryRunner:
        """Make who answers: this process alone, or with the queriers of the cluster."""
        ground, reads, querier = self._ground, self._parts.reads, self.querier
        is_querier = Role.QUERIER in self._roles
        has_others = ground.settings.members.configured and Role.QUERY_FRONTEND in self._roles
        if reads is None or (is_querier and not has_others):
            return HomeRunner(querier=querier, cache=self._cache)
        settings = ground.settings.query
        queriers = LivingQueriers(self._cluster.members)
        calls = GrpcCalls(self._cluster.peers)
        return FrontendRunner(
            querier=querier,
            snapshots=HeldSnapshots(
                querier=querier, pins=reads.pins, own_address=self._cluster.address
            ),
            shipping=Shipping(
                dispatcher=Dispatcher(
                    settings.frontend, queriers, calls, ground.metrics, ground.clock
                ),
                turns=Turns(
                    settings.frontend.concurrent_jobs,
                    waiting_max=settings.frontend.jobs_max * settings.max_outstanding_queries,
                    refusal="job queue full",
                ),
                pool=ground.pools.query,
                metrics=ground.metrics,
            ),
            queriers=queriers,
            cache=self._cache if is_querier else None,
        )

    def lacking(self) -> str:
        """Say what the process needs of others and has not."""
        if Role.QUERIER in self._roles or self._cluster.members.latest.taking(Role.QUERIER):
            return ""
        return "no querier answers"

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
        runner = self._make_runner()
        routes, prefix, tenancy = ground.routes, ground.prefix, ground.tenancy
        TraceRoutes(runner=runner, tenancy=tenancy).add_to(routes, prefix)
        SearchRoutes(runner=runner, tenancy=tenancy).add_to(routes, prefix)
        TagRoutes(runner=runner, tenancy=tenancy).add_to(routes, prefix)
        add_calls(ground.calls, runner, tenancy, supervisor)
        add_openapi(routes, prefix)
        MetricsRoutes(runner=runner, tenancy=tenancy).add_to(routes, prefix)
        generators = ground.generators
        series = SpanSeries(
            runner=runner, processor_of=lambda tenant: generators.generator(tenant).processor
        )
        ServiceGraphRoute(series=series, tenancy=tenancy).add_to(routes, prefix)
        PrometheusRoutes(queries=PromQueries(series=series), tenancy=tenancy).add_to(routes, prefix)

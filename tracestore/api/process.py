"""One process, wired: settings in, running servers out. Everything is made here and nowhere else.

The API answers first, so that probes see a process that is starting; receivers listen once the log
is replayed. On the way out it goes backwards: refuse, finish, flush, close.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from grpc import aio

from tracestore.api.app import Routes
from tracestore.api.front import Front
from tracestore.api.grpc_native import make_query_server
from tracestore.api.metrics import MetricsRoutes
from tracestore.api.openapi import add_openapi
from tracestore.api.ops import Ops
from tracestore.api.otlp_grpc import TraceReceiver, make_server
from tracestore.api.otlp_http import OtlpHttpReceiver, make_app
from tracestore.api.overrides import OverridesRoutes
from tracestore.api.receivers import OtherReceivers, Parts
from tracestore.api.rim import Rim
from tracestore.api.search import SearchRoutes
from tracestore.api.servers import Door, GrpcServer, HttpServer
from tracestore.api.sockets import Address, bind, bind_grpc, bound_address, parse_address
from tracestore.api.stream_methods import add_calls
from tracestore.api.streaming import StreamingCalls
from tracestore.api.tags import TagRoutes
from tracestore.api.tenant import Intake, Tenancy, TenantDoor
from tracestore.api.traces import TraceRoutes
from tracestore.clock import Clock, SystemClock
from tracestore.errors import SettingsError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, TenantId
from tracestore.query.block_source import BlockSource
from tracestore.services.blocking import BlockingPool
from tracestore.services.distributor.service import Distributor
from tracestore.services.follower import IndexFollower
from tracestore.services.ingester.flush import Flusher
from tracestore.services.ingester.service import Durables, Ingester, IngesterPools
from tracestore.services.ingester.tenant import Quarantine
from tracestore.services.instruments import StoreInstruments, WalInstruments
from tracestore.services.lifecycle import Service, Supervisor
from tracestore.services.overrides import OverridesFollower
from tracestore.services.querier.service import Querier
from tracestore.services.querier.turns import Turns
from tracestore.services.tenant_labels import TenantLabels
from tracestore.services.user_overrides import UserOverridesFollower, UserOverridesStore
from tracestore.settings.load import LoadedSettings, read_overrides
from tracestore.settings.render import render_settings
from tracestore.settings.tree import Settings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.writer import BlockWriter
from tracestore.storage.index.commits import CommitLog
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.local import LocalObjectStore
from tracestore.storage.objects.measured import MeasuredObjectStore
from tracestore.storage.wal.lock import DirectoryLock
from tracestore.storage.wal.log import WriteAheadLog
from tracestore.storage.wal.replay import (
    QUARANTINE,
    Replay,
    check_own_directory,
    list_tenants,
)
from tracestore.telemetry import Metrics
from tracestore.tracing import TraceIdFilter, Tracing
from tracestore.version import package_version

log = logging.getLogger(__name__)

API_PORT_SETTING = "server.http_listen_port"
QUERY_GRPC_SETTING = "server.grpc_listen_port"
GRPC_SETTING = "distributor.receivers.grpc.endpoint"
HTTP_SETTING = "distributor.receivers.http.endpoint"

WAITING_MAX = 1024
"""Functions that may wait for a thread of any pool but that of the queries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where the process answers, from this machine; None where a receiver is switched off."""

    api_url: str
    grpc: str
    """host:port of the streaming API"""
    otlp_grpc: str | None
    """host:port"""
    otlp_http: str | None
    """URL without path"""
    zipkin: str | None
    """URL without path"""
    jaeger_http: str | None
    """URL without path"""
    jaeger_grpc: str | None
    """host:port"""


async def serve(
    loaded: LoadedSettings,
    *,
    on_ready: Callable[[Endpoints], None] | None = None,
    stop: asyncio.Event,
) -> None:
    """Run the process until ``stop`` is set, then drain it.

    Args:
        on_ready: called once when everything answers, with the ports that were taken.

    Raises: SettingsError for what the operator should mend (a port or directory in use, an
    unreadable directory); what made a service fail.
    """
    if loaded.settings.target != "all":
        raise SettingsError(f"target {loaded.settings.target!r} is not there yet, use all")
    directories = {Path(loaded.settings.storage.path), wal_directory(loaded.settings).parent}
    with ExitStack() as held:
        for directory in sorted(directories):
            held.callback(DirectoryLock(directory).release)
        process = Process(loaded, SystemClock(), random.SystemRandom(), held)
        try:
            await process.run(stop, on_ready)
        finally:
            process.close_pools()


def wal_directory(settings: Settings) -> Path:
    """Where the write-ahead logs of the tenants are."""
    return Path(settings.ingester.wal.path or Path(settings.storage.path) / "wal")


class Process:
    """The parts of a process with all roles."""

    def __init__(
        self, loaded: LoadedSettings, clock: Clock, rng: random.Random, held: ExitStack
    ) -> None:
        """Make every part; nothing runs yet, but the ports are taken.

        Args:
            held: closes what was opened if making the rest fails.
        """
        self._loaded = loaded
        self._settings = settings = loaded.settings
        self._clock = clock
        self._rng = rng
        self._metrics = Metrics(version=package_version())
        self._tracing = Tracing(settings.tracing, version=package_version())
        held.callback(self._tracing.close)
        if self._tracing.is_on:
            for handler in logging.getLogger().handlers:
                handler.addFilter(TraceIdFilter())
        self._rim = Rim(metrics=self._metrics, tracing=self._tracing, clock=clock)
        self._api_socket = bind(self._api_address, setting=API_PORT_SETTING)
        held.callback(self._api_socket.close)
        self._otlp_socket = self._bind_otlp_http()
        if self._otlp_socket is not None:
            held.callback(self._otlp_socket.close)
        self._other_receivers = OtherReceivers(settings.distributor.receivers, held)
        self._pools = _make_pools(settings)
        self._store: ObjectStore = MeasuredObjectStore(
            LocalObjectStore(settings.storage.path), StoreInstruments(self._metrics), clock
        )
        self._labels = TenantLabels(settings.distributor.metric_tenants_max)
        self._follower = self._make_follower()
        self._ingester = self._make_ingester()
        self._overrides = OverridesFollower(
            settings.overrides,
            partial(read_overrides, loaded),
            self._pools.index,
            self._metrics,
            clock,
        )
        self._distributor = Distributor(
            settings.distributor,
            self._ingester,
            self._pools.receive,
            self._metrics,
            clock,
            limits=self._overrides.limits,
            labels=self._labels,
        )
        self._tenancy = Tenancy.of(settings)
        self._intake = Intake(tenancy=self._tenancy, distributor=self._distributor)

    @property
    def _api_address(self) -> Address:
        server = self._settings.server
        host = server.http_listen_address.removeprefix("[").removesuffix("]")
        return Address(host, server.http_listen_port)

    def _bind_otlp_http(self) -> socket.socket | None:
        receiver = self._settings.distributor.receivers.http
        if not receiver.enabled:
            return None
        return bind(parse_address(receiver.endpoint, setting=HTTP_SETTING), setting=HTTP_SETTING)

    def _make_follower(self) -> IndexFollower:
        writer = f"{socket.gethostname()}:{os.getpid()}"
        commits = CommitLog(self._store, self._clock, self._rng, writer=writer)
        return IndexFollower(
            commits,
            self._pools.index,
            self._metrics,
            self._clock,
            interval_s=self._settings.storage.blocklist_poll_s,
            labels=self._labels,
        )

    def _make_ingester(self) -> Ingester:
        settings, metrics, clock = self._settings, self._metrics, self._clock
        wal = wal_directory(settings)
        instruments = WalInstruments(metrics)

        def open_log(tenant: TenantId) -> WriteAheadLog:
            opened = WriteAheadLog(
                wal / tenant, settings.ingester.wal, clock, tenant, metrics=instruments
            )
            check_own_directory(wal, tenant)
            return opened

        def replay(tenant: TenantId) -> Replay:
            held_by_blocks = self._follower.current().wal_segments(tenant)
            return Replay(wal / tenant, held_by_blocks, metrics=instruments)

        writer = BlockWriter(self._store, settings.storage.block, clock)
        return Ingester(
            settings.ingester,
            settings.storage.block,
            Durables(
                open_log=open_log,
                logged=lambda: list_tenants(wal),
                replay=replay,
                quarantine=Quarantine(wal / QUARANTINE),
            ),
            Flusher(writer, self._follower.add_block, metrics, clock),
            IngesterPools(decode=self._pools.decode, flush=self._pools.flush),
            metrics,
            clock,
            self._rng,
            labels=self._labels,
            always=() if settings.multitenancy_enabled else (SINGLE_TENANT,),
        )

    async def run(self, stop: asyncio.Event, on_ready: Callable[[Endpoints], None] | None) -> None:
        """Start, live until ``stop``, drain."""
        services: list[Service] = [self._overrides, self._follower, self._ingester]
        grpc_address = None
        drain_s = self._settings.server.drain_timeout_s
        if (receiver := self._settings.distributor.receivers.grpc).enabled:
            server, grpc_address = self._make_grpc(receiver.endpoint)
            services.append(GrpcServer("otlp-grpc", server, drain_timeout_s=drain_s))
        if self._otlp_socket is not None:
            app = self._make_otlp_http()
            services.append(
                HttpServer("otlp-http", app, self._otlp_socket, drain_timeout_s=drain_s)
            )
        if (user_api := self._settings.overrides.user_configurable_overrides).enabled:
            services.append(
                UserOverridesFollower(
                    UserOverridesStore(self._store),
                    self._pools.index,
                    self._metrics,
                    self._clock,
                    interval_s=user_api.poll_interval_s,
                )
            )
        receiver_parts = self._receiver_parts(drain_s)
        services += self._other_receivers.services(receiver_parts)
        services.append(Door(self._distributor))
        services += self._other_receivers.agents(receiver_parts)
        routes = Routes(self._metrics, self._clock, self._tracing)
        calls = StreamingCalls(self._metrics, self._clock, self._tracing)
        front = Front(calls=calls, settings=self._settings, metrics=self._metrics)
        api = HttpServer(
            *("api", routes.app, self._api_socket),
            drain_timeout_s=drain_s,
            head_bytes_max=self._settings.server.http_head_bytes_max,
            front=front,
        )
        query_server, query_address = self._make_query_grpc(calls)
        services[:0] = [api, GrpcServer("grpc", query_server, drain_timeout_s=drain_s)]
        if self._settings.query.mcp_enabled:
            services.append(self._make_mcp(routes))
        supervisor = Supervisor(services)
        self._add_routes(routes, calls, supervisor)
        endpoints = self._endpoints(query_address, grpc_address)

        def started() -> None:
            extra = {
                "api": endpoints.api_url,
                "grpc": endpoints.grpc,
                "otlp_grpc": endpoints.otlp_grpc,
            }
            log.info("ready", extra=extra)
            if on_ready is not None:
                on_ready(endpoints)

        await supervisor.run_until(stop, on_started=started)

    def _make_mcp(self, routes: Routes) -> Service:
        try:
            from tracestore.api.mcp_server import PATH, McpServer
        except ImportError as error:
            raise SettingsError(
                f"query.mcp_enabled needs the extra mcp: pip install 'tracestore[mcp]' ({error})"
            ) from error
        prefix = self._settings.server.http_api_prefix.rstrip("/")
        server = McpServer(routes, prefix, self._clock)
        routes.mount(prefix + PATH, TenantDoor(tenancy=self._tenancy, inner=server))
        return server

    def _make_grpc(self, endpoint: str) -> tuple[aio.Server, Address]:
        address = parse_address(endpoint, setting=GRPC_SETTING)
        limit = self._settings.distributor.receivers.grpc_request_bytes_max
        receiver = TraceReceiver(self._intake, self._rim)
        server = make_server(receiver, request_bytes_max=limit)
        return server, bind_grpc(server, address, setting=GRPC_SETTING)

    def _make_query_grpc(self, calls: StreamingCalls) -> tuple[aio.Server, Address]:
        settings = self._settings.server
        address = Address(settings.grpc_listen_address, settings.grpc_listen_port)
        server = make_query_server(
            calls,
            request_bytes_max=settings.grpc_server_max_recv_msg_size,
            streams_max=settings.grpc_server_max_concurrent_streams,
            stall_timeout_s=settings.http2_stall_timeout_s,
        )
        return server, bind_grpc(server, address, setting=QUERY_GRPC_SETTING)

    def _receiver_parts(self, drain_timeout_s: float) -> Parts:
        return Parts(
            intake=self._intake,
            pool=self._pools.unpack,
            rim=self._rim,
            drain_timeout_s=drain_timeout_s,
        )

    def _make_otlp_http(self) -> FastAPI:
        receivers = self._settings.distributor.receivers
        receiver = OtlpHttpReceiver(
            intake=self._intake,
            pool=self._pools.unpack,
            rim=self._rim,
            request_bytes_max=receivers.http_request_bytes_max,
        )
        return make_app(receiver, path=receivers.http.traces_url_path)

    def _add_routes(self, routes: Routes, calls: StreamingCalls, supervisor: Supervisor) -> None:
        settings = self._settings
        cache = BlockCache(settings.storage.cache_bytes)

        def open_block(meta: BlockMeta) -> BlockSource:
            return BlockSource(self._store, meta, cache)

        querier = Querier(
            settings=settings.query,
            live=self._ingester,
            blocks=self._follower.current,
            open_block=open_block,
            pool=self._pools.query,
            metrics=self._metrics,
            clock=self._clock,
            tracing=self._tracing,
            is_ready=lambda: self._ingester.is_ready,
            limits=self._overrides.limits,
            name_tenants=self._labels.of,
            turns=Turns(
                settings.query.max_concurrent_queries,
                waiting_max=settings.query.max_outstanding_queries,
                refusal="job queue full",
            ),
        )
        self._metrics.cache_bytes.labels("block").set_function(lambda: cache.bytes)
        self._metrics.cache_hits.labels("block").set_function(lambda: cache.hits)
        self._metrics.cache_misses.labels("block").set_function(lambda: cache.misses)
        prefix = settings.server.http_api_prefix.rstrip("/")
        TraceRoutes(querier=querier, tenancy=self._tenancy).add_to(routes, prefix)
        SearchRoutes(querier=querier, tenancy=self._tenancy).add_to(routes, prefix)
        TagRoutes(querier=querier, tenancy=self._tenancy, cache=cache).add_to(routes, prefix)
        add_calls(calls, querier, self._tenancy, cache, supervisor)
        add_openapi(routes, prefix)
        MetricsRoutes(querier=querier, tenancy=self._tenancy).add_to(routes, prefix)
        user_api = settings.overrides.user_configurable_overrides
        OverridesRoutes(
            tenancy=self._tenancy,
            overrides=self._overrides.current,
            store=UserOverridesStore(self._store),
            pool=self._pools.index,
            enabled=user_api.enabled,
            checks_conflicts=user_api.api.check_for_conflicting_runtime_overrides,
        ).add_to(routes, prefix)
        Ops(
            supervisor=supervisor,
            metrics=self._metrics,
            routes=routes,
            flush_all=self._ingester.flush_all,
            render_config=lambda mode: render_settings(self._loaded, mode),
            render_limits=self._overrides.render,
        ).add_to_routes(prefix)

    def _endpoints(self, query_address: Address, grpc_address: Address | None) -> Endpoints:
        api = bound_address(self._api_socket).reachable
        otlp_http = None
        if self._otlp_socket is not None:
            otlp_http = f"http://{bound_address(self._otlp_socket).reachable}"
        return Endpoints(
            api_url=f"http://{api}",
            grpc=str(query_address.reachable),
            otlp_grpc=None if grpc_address is None else str(grpc_address.reachable),
            otlp_http=otlp_http,
            zipkin=self._other_receivers.zipkin,
            jaeger_http=self._other_receivers.jaeger_http,
            jaeger_grpc=self._other_receivers.jaeger_grpc,
        )

    def close_pools(self) -> None:
        """End the threads, once nothing uses them any more."""
        self._pools.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pools:
    """The threads of the process, by purpose."""

    receive: BlockingPool
    unpack: BlockingPool
    decode: BlockingPool
    flush: BlockingPool
    index: BlockingPool
    query: BlockingPool

    def close(self) -> None:
        for field in fields(self):
            getattr(self, field.name).close()


def _make_pools(settings: Settings) -> _Pools:
    cores = os.cpu_count() or 1
    full = "too many requests wait"
    return _Pools(
        receive=BlockingPool(
            "receive", threads=min(4, cores), waiting_max=WAITING_MAX, refusal=full
        ),
        unpack=BlockingPool("unpack", threads=min(4, cores), waiting_max=WAITING_MAX, refusal=full),
        decode=BlockingPool("decode", threads=1, waiting_max=WAITING_MAX, refusal=full),
        flush=BlockingPool(
            "flush",
            threads=settings.ingester.flush_concurrency,
            waiting_max=WAITING_MAX,
            refusal=full,
        ),
        index=BlockingPool("index", threads=1, waiting_max=WAITING_MAX, refusal=full),
        query=BlockingPool(
            "query",
            threads=settings.query.max_concurrent_queries,
            waiting_max=settings.query.max_outstanding_queries,
            refusal="job queue full",
        ),
    )

"""What every process has, whatever its roles: store, index, limits, metrics, the API's two ports.

Roles take what they need from here; they add routes to ``routes``, calls of clients that stream to
``calls``, and calls between processes to ``rpc``, before the servers are started.
"""

from __future__ import annotations

import logging
import os
import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from functools import partial
from types import MappingProxyType

from grpc import aio

from tracestore.api.app import Routes
from tracestore.api.front import Front
from tracestore.api.grpc_native import GrpcBounds, make_query_server
from tracestore.api.ops import Ops
from tracestore.api.overrides import OverridesRoutes
from tracestore.api.rim import Rim
from tracestore.api.roles.pools import make_pools
from tracestore.api.roles.store import open_store
from tracestore.api.servers import GrpcServer, HttpServer
from tracestore.api.sockets import Address, bind, bind_grpc, bound_address
from tracestore.api.streaming import StreamingCalls
from tracestore.api.tenant import Tenancy
from tracestore.clock import Clock
from tracestore.model.ids import TenantId
from tracestore.services.follower import IndexFollower
from tracestore.services.lifecycle import Service, Supervisor
from tracestore.services.overrides import OverridesFollower
from tracestore.services.rpc import WRAPPING_BYTES_MAX, RpcHandler
from tracestore.services.tenant_generators import TenantGenerators, UserBlocks
from tracestore.services.tenant_labels import TenantLabels
from tracestore.services.user_overrides import UserOverridesFollower, UserOverridesStore
from tracestore.settings.load import LoadedSettings, read_overrides
from tracestore.settings.render import render_settings
from tracestore.storage.index.commits import CommitLog
from tracestore.storage.objects.interface import ObjectStore
from tracestore.telemetry import Metrics
from tracestore.tracing import TraceIdFilter, Tracing
from tracestore.version import package_version

API_PORT_SETTING = "server.http_listen_port"
QUERY_GRPC_SETTING = "server.grpc_listen_port"

Flush = Callable[[TenantId | None], Awaitable[None]]
"""Writes what is live, of one tenant or of all, to blocks."""


LOCAL_BACKEND = "local"
_NONE: UserBlocks = MappingProxyType({})


class Ground:
    """The parts that the roles of a process share."""

    def __init__(
        self,
        loaded: LoadedSettings,
        clock: Clock,
        rng: random.Random,
        held: ExitStack,
        *,
        has_store: bool,
    ) -> None:
        """Make every part; nothing runs yet, but the ports of the API are taken.

        Args:
            has_store: whether a role of the process needs the object store and the index.
            held: closes what was opened, when the process ends or if making the rest fails.
        """
        self.loaded = loaded
        self.held = held
        self.settings = settings = loaded.settings
        self.clock = clock
        self.rng = rng
        self.metrics = Metrics(version=package_version())
        self.tracing = Tracing(settings.tracing, version=package_version())
        held.callback(self.tracing.close)
        if self.tracing.is_on:
            for handler in logging.getLogger().handlers:
                handler.addFilter(TraceIdFilter())
        self.rim = Rim(metrics=self.metrics, tracing=self.tracing, clock=clock)
        self._api_socket = bind(self._api_address, setting=API_PORT_SETTING)
        held.callback(self._api_socket.close)
        self.pools = make_pools(settings)
        self.has_store = has_store
        self._store: ObjectStore | None = None
        if has_store or self._shares_overrides:
            self._store = open_store(settings.storage, self.metrics, clock)
        self.labels = TenantLabels(settings.distributor.metric_tenants_max)
        self._follower = self._make_follower() if has_store else None
        self.overrides = OverridesFollower(
            settings.overrides,
            partial(read_overrides, loaded),
            self.pools.index,
            self.metrics,
            clock,
        )
        self._user_overrides = self._make_user_overrides()
        self.generators = TenantGenerators(
            settings.metrics_generator, self.overrides.current, self._own_limits
        )
        self.tenancy = Tenancy.of(settings)
        self.routes = Routes(self.metrics, clock, self.tracing)
        self.calls = StreamingCalls(self.metrics, clock, self.tracing)
        self.rpc = RpcHandler()
        self.grpc_server, self.grpc_address = self._make_grpc()

    @property
    def store(self) -> ObjectStore:
        """What holds blocks, index and leases."""
        assert self._store is not None, "no role of the process needs the store"
        return self._store

    @property
    def is_shared(self) -> bool:
        """Whether other processes write to the same store."""
        return self.has_store and self.settings.storage.backend != LOCAL_BACKEND

    @property
    def _shares_overrides(self) -> bool:
        """Whether what tenants set themselves is in a bucket, where all processes see it."""
        is_on = self.settings.overrides.user_configurable_overrides.enabled
        return is_on and self.settings.storage.backend != LOCAL_BACKEND

    @property
    def follower(self) -> IndexFollower:
        """What knows the blocks."""
        assert self._follower is not None, "no role of the process needs the index"
        return self._follower

    @property
    def drain_timeout_s(self) -> float:
        """How long requests in progress may take once the process is told to stop."""
        return self.settings.server.drain_timeout_s

    @property
    def message_bytes_max(self) -> int:
        """Largest message between processes: the largest request of a sender fits into one."""
        receivers = self.settings.distributor.receivers
        largest = max(
            receivers.request_bytes_max,
            receivers.grpc_request_bytes_max,
            receivers.http_request_bytes_max,
        )
        return largest + WRAPPING_BYTES_MAX

    @property
    def prefix(self) -> str:
        """Prefix of the routes of the API, without a slash at its end."""
        return self.settings.server.http_api_prefix.rstrip("/")

    @property
    def api_url(self) -> str:
        """Where the API answers, from this machine."""
        return f"http://{bound_address(self._api_socket).reachable}"

    @property
    def _api_address(self) -> Address:
        server = self.settings.server
        host = server.http_listen_address.removeprefix("[").removesuffix("]")
        return Address(host, server.http_listen_port)

    def _make_follower(self) -> IndexFollower:
        writer = f"{socket.gethostname()}:{os.getpid()}"
        index = self.settings.storage.index
        commits = CommitLog(self.store, self.clock, self.rng, writer=writer, settings=index)
        return IndexFollower(
            commits,
            self.pools.index,
            self.metrics,
            self.clock,
            interval_s=self.settings.storage.blocklist_poll_s,
            labels=self.labels,
        )

    def _make_user_overrides(self) -> UserOverridesFollower | None:
        user_api = self.settings.overrides.user_configurable_overrides
        if not user_api.enabled or self._store is None:
            return None
        return UserOverridesFollower(
            UserOverridesStore(self.store),
            self.pools.index,
            self.metrics,
            self.clock,
            interval_s=user_api.poll_interval_s,
        )

    def _own_limits(self) -> UserBlocks:
        """Get what tenants have set themselves."""
        return _NONE if self._user_overrides is None else self._user_overrides.current()

    async def _refresh_own_limits(self) -> None:
        if self._user_overrides is not None:
            await self._user_overrides.poll_once()

    def _make_grpc(self) -> tuple[aio.Server, Address]:
        settings = self.settings.server
        address = Address(settings.grpc_listen_address, settings.grpc_listen_port)
        bounds = GrpcBounds(
            request_bytes_max=settings.grpc_server_max_recv_msg_size,
            message_bytes_max=self.message_bytes_max,
            streams_max=settings.grpc_server_max_concurrent_streams,
            stall_timeout_s=settings.http2_stall_timeout_s,
        )
        server = make_query_server(self.calls, bounds)
        server.add_generic_rpc_handlers((self.rpc,))
        return server, bind_grpc(server, address, setting=QUERY_GRPC_SETTING)

    def services(self) -> list[Service]:
        """Make what starts before the roles and drains after them."""
        front = Front(calls=self.calls, settings=self.settings, metrics=self.metrics)
        api = HttpServer(
            *("api", self.routes.app, self._api_socket),
            drain_timeout_s=self.drain_timeout_s,
            head_bytes_max=self.settings.server.http_head_bytes_max,
            front=front,
        )
        grpc = GrpcServer("grpc", self.grpc_server, drain_timeout_s=self.drain_timeout_s)
        services: list[Service] = [api, grpc, self.overrides]
        if self.has_store:
            services.append(self.follower)
        if self._user_overrides is not None:
            services.append(self._user_overrides)
        return services

    def add_routes(
        self,
        supervisor: Supervisor,
        flush: Flush | None,
        pages: Mapping[str, Callable[[], str]],
        lacking: Callable[[], str],
    ) -> None:
        """Serve what operators and probes ask of any process; arguments are those of ``Ops``."""
        if self.has_store:
            self._add_overrides()
        Ops(
            supervisor=supervisor,
            metrics=self.metrics,
            routes=self.routes,
            flush_all=flush,
            render_config=lambda mode: render_settings(self.loaded, mode),
            render_limits=self.overrides.render,
            pages=pages,
            lacking=lacking,
        ).add_to_routes(self.prefix)

    def _add_overrides(self) -> None:
        user_api = self.settings.overrides.user_configurable_overrides
        OverridesRoutes(
            tenancy=self.tenancy,
            overrides=self.overrides.current,
            generators=self.generators,
            refresh=self._refresh_own_limits,
            store=UserOverridesStore(self.store),
            pool=self.pools.index,
            enabled=user_api.enabled,
            checks_conflicts=user_api.api.check_for_conflicting_runtime_overrides,
        ).add_to(self.routes, self.prefix)

"""The streaming API in this process, on both its ports, over sources that a test holds back.

async with streaming_api([source, ...]) as api:
    call = method(api.channel("api"), "Search")(...)
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from grpc import aio
from support.naive_tables import naive_tables
from support.otlp import request, span

from tracestore.api.app import Routes
from tracestore.api.front import Front
from tracestore.api.grpc_native import GrpcBounds, make_query_server
from tracestore.api.search import SearchRoutes
from tracestore.api.servers import GrpcServer, HttpServer
from tracestore.api.sockets import Address, bind, bind_grpc, bound_address
from tracestore.api.stream_methods import add_calls
from tracestore.api.streaming import StreamingCalls
from tracestore.api.tenant import Tenancy
from tracestore.clock import SystemClock
from tracestore.model.ids import TenantId
from tracestore.model.tables import Table
from tracestore.query.source import SpanSource
from tracestore.query.tables_source import TablesSource
from tracestore.services.blocking import BlockingPool
from tracestore.services.lifecycle import Supervisor
from tracestore.services.querier.runner import HomeRunner
from tracestore.services.querier.service import Querier
from tracestore.settings.tree import (
    QuerySettings,
    ServerSettings,
    Settings,
    StreamingSettings,
    TracingSettings,
)
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.index.blocklist import BlockList
from tracestore.telemetry import Metrics
from tracestore.tracing import Tracing

GATE_TIMEOUT_S = 60.0
HOST = "127.0.0.1"


class GatedSource(TablesSource):
    """One-span traces whose spans can be read once the gate is open."""

    def __init__(
        self,
        name: str,
        starts_ms: dict[int, int],
        *,
        is_open: bool = False,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        spans = [
            span(trace=t, id=t, name=f"span {t}", start_ms=ms, attributes=attributes or {})
            for t, ms in starts_ms.items()
        ]
        super().__init__(naive_tables([request(spans=spans)]), name, is_live=False)
        self.gate = threading.Event()
        self.reached = threading.Event()
        """Set when somebody waits at the gate, or has passed it."""
        if is_open:
            self.gate.set()

    def read(self, table: Table, *args: Any) -> Any:
        if table is Table.SPANS:
            self.reached.set()
            assert self.gate.wait(GATE_TIMEOUT_S)
        return super().read(table, *args)


@dataclass
class _Live:
    held: Sequence[SpanSource]

    def has(self, tenant: TenantId) -> bool:
        return bool(self.held)

    def sources(self, tenant: TenantId) -> Sequence[SpanSource]:
        return self.held


@dataclass
class StreamingApi:
    """The API while it runs, and where it answers."""

    pool: BlockingPool
    metrics: Metrics
    own_port: str
    api_port: str
    http: HttpServer
    grpc: GrpcServer
    supervisor: Supervisor
    channels: list[aio.Channel] = field(default_factory=list)

    def channel(self, port: str) -> aio.Channel:
        """Connect to ``own`` or ``api``; the channel is closed with the API."""
        target = self.own_port if port == "own" else self.api_port
        self.channels.append(aio.insecure_channel(target))
        return self.channels[-1]

    @property
    def address(self) -> tuple[str, int]:
        """Host and number of the API's port."""
        host, _, port = self.api_port.rpartition(":")
        return host, int(port)


def eager(**changes: Any) -> QuerySettings:
    """Settings of queries that show something whenever they can."""
    return QuerySettings(streaming=StreamingSettings(interval_s=1e-9, busy_max=1.0, **changes))


@asynccontextmanager
async def streaming_api(
    sources: Sequence[SpanSource],
    *,
    query: QuerySettings | None = None,
    server: ServerSettings | None = None,
    threads: int = 4,
) -> AsyncIterator[StreamingApi]:
    """Serve sources as live tables of the single tenant."""
    query = query or eager()
    settings = Settings(server=server or ServerSettings(), query=query)
    metrics, clock = Metrics(version="0"), SystemClock()
    tracing = Tracing(TracingSettings(), version="0")
    pool = BlockingPool(
        "query",
        threads=threads,
        waiting_max=query.max_outstanding_queries,
        refusal="job queue full",
    )
    querier = Querier(
        settings=query,
        live=_Live(sources),
        blocks=lambda: BlockList(tenants={}),
        open_block=lambda meta: sources[0],
        pool=pool,
        metrics=metrics,
        clock=clock,
        tracing=tracing,
        is_ready=lambda: True,
    )
    calls, routes = StreamingCalls(metrics, clock, tracing), Routes(metrics, clock, tracing)
    tenancy, supervisor = Tenancy(enabled=False), Supervisor([])
    runner = HomeRunner(querier=querier, cache=BlockCache(1 << 20))
    add_calls(calls, runner, tenancy, supervisor)
    SearchRoutes(runner=runner, tenancy=tenancy).add_to(routes, "")
    bounds = GrpcBounds(
        request_bytes_max=settings.server.grpc_server_max_recv_msg_size,
        message_bytes_max=64 << 20,
        streams_max=settings.server.grpc_server_max_concurrent_streams,
        stall_timeout_s=settings.server.http2_stall_timeout_s,
    )
    native = make_query_server(calls, bounds)
    own = bind_grpc(native, Address(HOST, 0), setting="test")
    listening = bind(Address(HOST, 0), setting="test")
    front = Front(calls=calls, settings=settings, metrics=metrics)
    http = HttpServer("api", routes.app, listening, drain_timeout_s=10, front=front)
    grpc = GrpcServer("grpc", native, drain_timeout_s=10)
    api = StreamingApi(
        pool, metrics, str(own), str(bound_address(listening)), http, grpc, supervisor
    )
    await http.start()
    await grpc.start()
    try:
        yield api
    finally:
        for channel in api.channels:
            await channel.close()
        for source in sources:
            if isinstance(source, GatedSource):
                source.gate.set()
        await http.drain()
        await grpc.drain()
        pool.close()


def with_limits(**changes: Any) -> ServerSettings:
    """Settings of the ports."""
    return replace(ServerSettings(), **changes)

"""A query-frontend and two queriers in one process, each behind a real gRPC server of its own.

async with query_cluster(live, store, metas) as cluster:
    answer = await cluster.ask(operation)
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TypeVar

from grpc import aio

from tracestore.clock import SystemClock
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, TenantId
from tracestore.query.block_source import BlockSource
from tracestore.query.jobs.operation import Operation
from tracestore.query.progress import Progress
from tracestore.query.source import SpanSource
from tracestore.services.blocking import BlockingPool
from tracestore.services.frontend.dispatch import SERVICE as JOBS
from tracestore.services.frontend.dispatch import Dispatcher, GrpcCalls
from tracestore.services.frontend.held import HeldSnapshots
from tracestore.services.frontend.runner import FrontendRunner
from tracestore.services.frontend.shipping import Shipping
from tracestore.services.live.pins import SERVICE as LIVE
from tracestore.services.live.pins import LivePins
from tracestore.services.live.remote import LiveClients
from tracestore.services.members.member import Identity, Member
from tracestore.services.querier.jobs import JobSources, QueryJobs
from tracestore.services.querier.runner import Asking
from tracestore.services.querier.service import Querier
from tracestore.services.rpc import Peers, RpcHandler
from tracestore.services.turns import Turns
from tracestore.settings.members_tree import LiveReadSettings
from tracestore.settings.tree import QuerySettings, TracingSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.index.blocklist import BlockList
from tracestore.storage.objects.interface import ObjectStore
from tracestore.telemetry import Metrics
from tracestore.tracing import Tracing

R = TypeVar("R")
TENANTS = (SINGLE_TENANT,)


@dataclass
class Node:
    """One process of them."""

    handler: RpcHandler
    address: str
    pins: LivePins
    pool: BlockingPool
    metrics: Metrics
    jobs: QueryJobs | None = None


@dataclass
class Queriers:
    """Who can be asked."""

    nodes: Sequence[Node]

    def living(self) -> Sequence[Member]:
        """Get all."""
        return [
            Member(
                identity=Identity(
                    process=node.address,
                    instance=f"querier-{place}",
                    address=node.address,
                    roles=frozenset({"querier"}),
                ),
                address=node.address,
            )
            for place, node in enumerate(self.nodes)
        ]

    def suspect(self, member: Member, reason: str) -> None:
        """Nobody is gone here."""
        raise AssertionError(f"{member.address}: {reason}")


@dataclass
class QueryCluster:
    """The processes."""

    runner: FrontendRunner
    frontend: Node
    queriers: Sequence[Node]

    async def ask(
        self,
        operation: Operation[R],
        *,
        cancelled: threading.Event | None = None,
        progress: Progress[R] | None = None,
    ) -> R:
        """Have an operation answered."""
        asking = Asking(tenants=TENANTS, cancelled=cancelled or threading.Event())
        return await self.runner.run(asking, operation, lambda answer: answer, progress)

    def jobs(self) -> int:
        """Count the jobs that queriers have done."""
        name = "tempo_querier_worker_request_executed_total_count"
        pages = [node.metrics.render().decode() for node in self.queriers]
        found = [re.search(rf"^{name} (\S+)$", page, re.MULTILINE) for page in pages]
        return int(sum(float(one[1]) for one in found if one))


@dataclass(frozen=True)
class _Live:
    found: Sequence[SpanSource]

    def sources(self, tenant: TenantId) -> Sequence[SpanSource]:
        return self.found

    def has(self, tenant: TenantId) -> bool:
        return bool(self.found)


@asynccontextmanager
async def query_cluster(
    live: Sequence[SpanSource],
    open_store: Callable[[], ObjectStore],
    metas: Sequence[BlockMeta],
    *,
    job_bytes: int = 1,
) -> AsyncIterator[QueryCluster]:
    """Run them.

    Args:
        live: of the frontend's process, where queriers read them.
        open_store: what holds the blocks, for each querier.
    """
    async with AsyncExitStack() as held:
        frontend = await _serve(held)
        queriers = [await _serve(held) for _ in range(2)]
        for node in queriers:
            node.jobs = _make_jobs(held, node, open_store())
            node.handler.add_sending(JOBS, node.jobs.methods)
        peers = Peers(message_bytes_max=64 << 20)
        held.push_async_callback(peers.close)
        yield QueryCluster(
            _make_runner(frontend, queriers, peers, live, metas, job_bytes), frontend, queriers
        )


async def _serve(held: AsyncExitStack) -> Node:
    handler, pool = RpcHandler(), BlockingPool("live", threads=2, waiting_max=99, refusal="full")
    held.callback(pool.close)
    pins = LivePins(
        LiveReadSettings(),
        lambda _: (),
        pool,
        SystemClock(),
        random.Random(1),
        is_ready=lambda: True,
        writers=tuple,
        index_sequence=lambda: 0,
    )
    handler.add(LIVE, pins.methods)
    handler.add_streams(LIVE, pins.streams)
    server = aio.server()
    server.add_generic_rpc_handlers((handler,))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    held.push_async_callback(server.stop, None)
    queries = BlockingPool("query", threads=2, waiting_max=99, refusal="job queue full")
    held.callback(queries.close)
    return Node(handler, address, pins, queries, Metrics(version="test"))


def _make_jobs(held: AsyncExitStack, node: Node, store: ObjectStore) -> QueryJobs:
    clients, cache = LiveClients(LiveReadSettings()), BlockCache(1 << 24)
    held.callback(clients.close)
    return QueryJobs(
        sources=JobSources(
            open_block=lambda meta: BlockSource(store, meta, cache),
            reading=nullcontext,
            clients=clients,
            pins=node.pins,
            own_address=node.address,
        ),
        pool=node.pool,
        turns=Turns(2, waiting_max=99, refusal="job queue full"),
        cache=cache,
        clock=SystemClock(),
        metrics=node.metrics,
        tracing=Tracing(TracingSettings(), version="test"),
        is_ready=lambda: True,
    )


def _make_runner(
    frontend: Node,
    nodes: Sequence[Node],
    peers: Peers,
    live: Sequence[SpanSource],
    metas: Sequence[BlockMeta],
    job_bytes: int,
) -> FrontendRunner:
    settings = QuerySettings()
    settings = replace(settings, frontend=replace(settings.frontend, job_bytes=job_bytes))

    def refuse(meta: BlockMeta) -> SpanSource:
        raise AssertionError(f"the frontend reads {meta.id}")

    querier = Querier(
        settings=settings,
        live=_Live(live),
        blocks=lambda: BlockList(tenants={SINGLE_TENANT: tuple(metas)}),
        open_block=refuse,
        pool=frontend.pool,
        metrics=frontend.metrics,
        clock=SystemClock(),
        tracing=Tracing(TracingSettings(), version="test"),
        is_ready=lambda: True,
    )
    queriers = Queriers(nodes)
    dispatcher = Dispatcher(
        settings.frontend, queriers, GrpcCalls(peers), frontend.metrics, SystemClock()
    )
    return FrontendRunner(
        querier=querier,
        snapshots=HeldSnapshots(querier=querier, pins=frontend.pins, own_address=frontend.address),
        shipping=Shipping(
            dispatcher=dispatcher,
            turns=Turns(8, waiting_max=999, refusal="job queue full"),
            pool=frontend.pool,
            metrics=frontend.metrics,
        ),
        queriers=queriers,
        cache=None,
    )

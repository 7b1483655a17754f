"""A distributor and metrics-generators around it, over real gRPC, for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow.compute as pc
from grpc import aio
from support.clocks import ManualClock
from support.generator import Counted

from tracestore.clock import SystemClock
from tracestore.errors import UnreachableError
from tracestore.kernel import SpanBuilder
from tracestore.model.ids import TenantId
from tracestore.model.tables import Table
from tracestore.services.blocking import BlockingPool
from tracestore.services.distributor.generators import GeneratorPushes
from tracestore.services.generator.inbox import SERVICE, GeneratorInbox
from tracestore.services.members.member import Identity, Role
from tracestore.services.members.service import Members
from tracestore.services.rpc import Metadata, Peers, RpcHandler
from tracestore.settings.members_tree import GeneratorPushSettings, MembersSettings
from tracestore.telemetry import Metrics

MESSAGE_BYTES_MAX = 8 << 20


class CountedTraces:
    """Counts the spans of each trace, and makes metrics of them."""

    def __init__(self) -> None:
        self.spans: Counter[tuple[TenantId, int]] = Counter()
        """By tenant and trace."""
        self.made = Counted()
        """Metrics of the same spans, whoever their tenant is."""

    def tap(self, tenant: TenantId) -> Tap:
        return Tap(self, tenant)


class Tap:
    """Of one head."""

    def __init__(self, counts: CountedTraces, tenant: TenantId) -> None:
        self._counts = counts
        self._tenant = tenant

    def take(self, builder: SpanBuilder) -> None:
        made = self._counts.made.tenant
        made.consume(made.reader(), builder)
        frozen = builder.freeze(attribute_columns_max=16)
        (column,) = frozen.columns(Table.SPANS, ["trace_id"]).columns
        for trace in pc.cast(column, "binary").to_pylist():
            self._counts.spans[self._tenant, int.from_bytes(trace, "big")] += 1


@dataclass
class GeneratorNode:
    """A generator in a process of its own, as the distributor sees it."""

    name: str
    roles: frozenset[str]
    counts: CountedTraces
    inbox: GeneratorInbox
    server: aio.Server
    address: str
    lives: bool = True
    is_stuck: bool = False

    def identity(self) -> Identity:
        return Identity(
            process=f"life of {self.name}",
            instance=self.name,
            address=self.address,
            roles=self.roles,
            ready=True,
        )

    async def kill(self) -> None:
        """Stop answering at once."""
        self.lives = False
        await self.server.stop(None)


@dataclass
class GeneratorCluster:
    """What sends, and what takes."""

    pushes: GeneratorPushes
    members: Members
    nodes: list[GeneratorNode]
    metrics: Metrics
    pool: BlockingPool
    """Of one thread; cuts requests, and has room for one that waits."""

    @property
    def spans(self) -> Counter[tuple[TenantId, int]]:
        """What was counted anywhere."""
        return sum((node.counts.spans for node in self.nodes), Counter())

    async def settle(self) -> None:
        """Send all that waits, and have it counted."""
        await self.pushes.drain()
        for node in self.nodes:
            await node.inbox.count_once()

    def dropped(self, reason: str) -> float:
        name = "tracestore_distributor_metrics_generator_dropped_spans_total"
        return self.metrics.value(name, reason=reason)


@asynccontextmanager
async def generator_cluster(
    nodes: Sequence[tuple[str, frozenset[str]]], *, inbox_bytes_max: int = 1 << 20, **settings: Any
) -> AsyncIterator[GeneratorCluster]:
    """Start generators, and what pushes to them.

    Args:
        nodes: name and roles of each.
        settings: of ``GeneratorPushSettings``.
    """
    async with AsyncExitStack() as stack:
        pool = BlockingPool("receive", threads=2, waiting_max=64, refusal="full")
        stack.callback(pool.close)
        cutting = BlockingPool("cut", threads=1, waiting_max=1, refusal="full")
        stack.callback(cutting.close)
        started = [await _start(name, roles, pool, stack, inbox_bytes_max) for name, roles in nodes]
        by_address = {node.address: node for node in started}

        async def ask(address: str) -> Identity:
            if not by_address[address].lives:
                raise UnreachableError(f"{address} does not answer")
            return by_address[address].identity()

        metrics = Metrics(version="0")
        peers = Peers(message_bytes_max=MESSAGE_BYTES_MAX)
        stack.push_async_callback(peers.close)
        own = Identity(
            process="own life", instance="own", address="own:1", roles=frozenset({Role.DISTRIBUTOR})
        )
        members = Members(
            MembersSettings(static=tuple(by_address)),
            lambda: own,
            peers,
            metrics,
            ManualClock(),
            default_port=9095,
            ask=ask,
        )
        await members.start()
        pushes = GeneratorPushes(
            replace(GeneratorPushSettings(), **settings),
            members,
            peers,
            cutting,
            metrics,
            SystemClock(),
            wants=lambda tenant: True,
        )
        yield GeneratorCluster(pushes, members, started, metrics, cutting)


async def _start(
    name: str, roles: frozenset[str], pool: BlockingPool, stack: AsyncExitStack, bytes_max: int
) -> GeneratorNode:
    counts = CountedTraces()
    inbox = GeneratorInbox(
        counts.tap,
        pool,
        Metrics(version="0"),
        SystemClock(),
        bytes_max=bytes_max,
        interval_s=0.0,
        leave_s=0.0,
        has_others=lambda: False,
    )
    server = aio.server(options=[("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)])
    port = server.add_insecure_port("127.0.0.1:0")
    node = GeneratorNode(name, roles, counts, inbox, server, f"127.0.0.1:{port}")

    async def push(request: bytes, metadata: Metadata) -> bytes:
        if node.is_stuck:
            raise UnreachableError("stuck")
        return await inbox.push(request, metadata)

    handler = RpcHandler()
    handler.add(SERVICE, {"Push": push})
    server.add_generic_rpc_handlers((handler,))
    await server.start()
    stack.push_async_callback(server.stop, None)
    return node

"""Ingesters of a cluster that keep what they are sent, behind real gRPC, all in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from grpc import aio
from support.clocks import ManualClock

from tracestore.clock import SystemClock
from tracestore.errors import UnreachableError
from tracestore.kernel import RequestCheck, check
from tracestore.model.ids import TenantId
from tracestore.services.blocking import BlockingPool
from tracestore.services.distributor.appending import LocalAppender
from tracestore.services.distributor.cluster import ClusterAppender
from tracestore.services.ingester.pushes import SERVICE, Pushes
from tracestore.services.members.member import Identity, Role
from tracestore.services.members.service import Members
from tracestore.services.rpc import Peers, RpcHandler
from tracestore.settings.members_tree import MembersSettings, PushSettings
from tracestore.telemetry import Metrics

MESSAGE_BYTES_MAX = 8 << 20


class KeptRequests:
    """An ingester that keeps requests in a list, or fails as the test says."""

    def __init__(self) -> None:
        self.taken: list[tuple[TenantId, bytes]] = []
        self.counted: list[bool] = []
        """Of each call, whether metrics may be made of its spans."""
        self.is_ready = True
        self.known = True
        self.failure: Exception | None = None
        self.refusal: Exception | None = None
        self.no_room: Exception | None = None
        self.is_stuck = False

    def has(self, tenant: TenantId) -> bool:
        return self.known

    def append(
        self, tenant: TenantId, request: Any, checked: RequestCheck, *, counted: bool = True
    ) -> Future[Any]:
        self.counted.append(counted)
        if self.refusal is not None:
            raise self.refusal
        done: Future[Any] = Future()
        if self.is_stuck:
            return done
        if self.failure is not None:
            done.set_exception(self.failure)
            return done
        self.taken.append((tenant, bytes(request)))
        done.set_result(None)
        return done

    async def wait_for_room(self, tenant: TenantId) -> None:
        if self.no_room is not None:
            raise self.no_room


class KeptOffers:
    """Takes what is to be counted elsewhere, and keeps it."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.wanted = True

    def wants(self, tenant: TenantId) -> bool:
        return self.wanted

    def offer(self, tenant: TenantId, body: bytes | bytearray, spans_max: int) -> None:
        assert check(body).spans <= spans_max
        self.taken.append(bytes(body))


@dataclass
class Node:
    """An ingester process of the test."""

    name: str
    ingester: KeptRequests
    pushes: Pushes
    server: aio.Server
    address: str
    lives: bool = True
    draining: bool = False
    counts: bool = False
    """Whether it makes metrics of its spans."""

    def identity(self) -> Identity:
        return Identity(
            process=f"life of {self.name}",
            instance=self.name,
            address=self.address,
            roles=frozenset({Role.INGESTER, *([Role.METRICS_GENERATOR] if self.counts else [])}),
            ready=True,
            draining=self.draining,
        )

    async def kill(self) -> None:
        """Stop answering at once."""
        self.lives = False
        await self.server.stop(None)


@dataclass
class PushCluster:
    """A distributor, with an ingester of its own or not, and the ingesters around it."""

    appender: ClusterAppender
    members: Members
    nodes: list[Node]
    local: KeptRequests | None
    metrics: Metrics
    clock: ManualClock
    offers: KeptOffers
    """What is to be counted elsewhere."""

    async def pass_time(self, seconds: float) -> None:
        """Move the clock of the members, and have them look."""
        self.clock.advance(seconds)
        await self.members.greet_once()


@asynccontextmanager
async def push_cluster(
    names: Sequence[str], *, with_local: bool = False, **settings: Any
) -> AsyncIterator[PushCluster]:
    """Start ingesters, and an appender that knows them.

    Args:
        settings: of ``PushSettings``.
    """
    async with AsyncExitStack() as stack:
        pool = BlockingPool("receive", threads=1, waiting_max=64, refusal="full")
        stack.callback(pool.close)
        nodes = [await _start(name, pool, stack) for name in names]
        by_address = {node.address: node for node in nodes}

        async def ask(address: str) -> Identity:
            if not by_address[address].lives:
                raise UnreachableError(f"{address} does not answer")
            return by_address[address].identity()

        metrics, clock = Metrics(version="0"), ManualClock()
        peers = Peers(message_bytes_max=MESSAGE_BYTES_MAX)
        stack.push_async_callback(peers.close)
        roles = frozenset(Role) if with_local else frozenset({Role.DISTRIBUTOR})
        own = Identity(process="own life", instance="own", address="own:1", roles=roles)
        members = Members(
            MembersSettings(static=tuple(by_address), dead_after_s=3.0),
            lambda: own,
            peers,
            metrics,
            clock,
            default_port=9095,
            ask=ask,
        )
        await members.start()
        local, offers = KeptRequests() if with_local else None, KeptOffers()
        appender = ClusterAppender(
            replace(PushSettings(), **settings),
            members,
            peers,
            pool,
            metrics,
            SystemClock(),
            local=None if local is None else LocalAppender(local),
            generators=offers,
        )
        yield PushCluster(appender, members, nodes, local, metrics, clock, offers)


async def _start(name: str, pool: BlockingPool, stack: AsyncExitStack) -> Node:
    ingester = KeptRequests()
    pushes = Pushes(
        ingester,
        pool,
        Metrics(version="0"),
        ManualClock(),
        bytes_max=1 << 20,
        leave_s=2.0,
        has_others=lambda: True,
    )
    handler = RpcHandler()
    handler.add(SERVICE, pushes.methods)
    server = aio.server(options=[("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)])
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, None)
    return Node(name, ingester, pushes, server, f"127.0.0.1:{port}")

"""Processes with live tables that answer by real gRPC, each in an event loop of its own thread."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from grpc import aio
from support.clocks import ManualClock

from tracestore.model.ids import SINGLE_TENANT, TenantId, WriterId
from tracestore.query.source import SpanSource
from tracestore.services.blocking import BlockingPool
from tracestore.services.live.pins import SERVICE, LivePins
from tracestore.services.rpc import RpcHandler
from tracestore.settings.members_tree import LiveReadSettings


@dataclass
class Peer:
    """What the process has and says; may change between two calls."""

    sources: list[SpanSource] = field(default_factory=list)
    writers: list[WriterId] = field(default_factory=lambda: [WriterId("peer")])
    sequence: int = 0
    is_ready: bool = True
    address: str = ""
    pins: LivePins | None = None
    clock: ManualClock = field(default_factory=ManualClock)
    on_open: Callable[[], None] = lambda: None

    def of(self, tenant: TenantId) -> Sequence[SpanSource]:
        """Give the live tables of the only tenant."""
        self.on_open()
        return list(self.sources) if tenant == SINGLE_TENANT else []


@contextmanager
def running_peer(peer: Peer, settings: LiveReadSettings | None = None) -> Iterator[Peer]:
    """Serve a process on a free port of this machine."""
    pool = BlockingPool("live", threads=2, waiting_max=16, refusal="full")
    peer.pins = LivePins(
        settings or LiveReadSettings(),
        peer.of,
        pool,
        peer.clock,
        random.Random(1),
        is_ready=lambda: peer.is_ready,
        writers=lambda: list(peer.writers),
        index_sequence=lambda: peer.sequence,
    )
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        handler = RpcHandler()
        assert peer.pins is not None
        handler.add(SERVICE, peer.pins.methods)
        handler.add_streams(SERVICE, peer.pins.streams)
        server = aio.server()
        server.add_generic_rpc_handlers((handler,))
        peer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        started.set()
        await stop.wait()
        await server.stop(0)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert started.wait(10)
        yield peer
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
        pool.close()

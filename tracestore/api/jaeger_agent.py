"""The Jaeger agents: datagrams of Thrift, for clients that know nothing else. Off by default.

UDP has no answer: what cannot be read or stored is dropped, and counted. It has no tenant either,
so that with several tenants nothing is taken here.

Source: wire contract, section 6.4.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.rpc.code_pb2 import Code

from tracestore.api.errors import refuse
from tracestore.api.tenant import Intake
from tracestore.codec.receivers.jaeger_agent import translate_binary, translate_compact
from tracestore.errors import InvalidRequestError
from tracestore.services.blocking import BlockingPool
from tracestore.services.distributor.service import Source
from tracestore.telemetry import Metrics

log = logging.getLogger(__name__)

_RECEIVER = "jaeger/jaeger_receiver"
COMPACT = Source(receiver=_RECEIVER, transport="udp_thrift_compact")
BINARY = Source(receiver=_RECEIVER, transport="udp_thrift_binary")
_TRANSLATE: dict[Source, Callable[[bytes], bytes]] = {
    COMPACT: translate_compact,
    BINARY: translate_binary,
}
_TOGETHER_MAX = 128
"""Datagrams that are stored with one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentBounds:
    """Bounds of an agent."""

    datagram_bytes_max: int
    queue_datagrams_max: int
    drain_timeout_s: float


class AgentReceiver:
    """Takes datagrams on a bound socket; a service of the process."""

    def __init__(
        self,
        source: Source,
        bound: socket.socket,
        intake: Intake,
        pool: BlockingPool,
        metrics: Metrics,
        *,
        bounds: AgentBounds,
    ) -> None:
        self.name = f"jaeger-{source.transport}"
        self._source = source
        self._bound = bound
        self._intake = intake
        self._pool = pool
        self._metrics = metrics
        self._bounds = bounds
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(bounds.queue_datagrams_max)
        self._transport: asyncio.BaseTransport | None = None

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self.take), sock=self._bound
        )

    async def run(self) -> None:
        """Store what arrives until cancelled."""
        while True:
            await self.store_once()

    async def drain(self) -> None:
        """Stop listening, store what waits."""
        if self._transport is not None:
            self._transport.close()
        self._bound.close()
        try:
            async with asyncio.timeout(self._bounds.drain_timeout_s):
                while not self._queue.empty():
                    await self.store_once()
        except TimeoutError:
            log.warning("datagrams are lost", extra={"datagrams": self._queue.qsize()})

    def take(self, datagram: bytes) -> None:
        """Let a datagram wait to be stored, or drop it."""
        if len(datagram) > self._bounds.datagram_bytes_max:
            self._count(Code.INVALID_ARGUMENT)
            return
        try:
            self._queue.put_nowait(datagram)
        except asyncio.QueueFull:
            self._count(Code.RESOURCE_EXHAUSTED)

    async def store_once(self) -> None:
        """Wait for a datagram, and store it with those that wait behind it."""
        datagrams = [await self._queue.get()]
        while len(datagrams) < _TOGETHER_MAX and not self._queue.empty():
            datagrams.append(self._queue.get_nowait())
        try:
            spans, unreadable = await self._pool.run(self._translate, datagrams)
            for reason in unreadable:
                self._count(Code.INVALID_ARGUMENT)
                log.debug("datagram is dropped", extra={"receiver": self.name, "reason": reason})
            await self._intake.push((), spans, self._source)
        except Exception as error:  # noqa: BLE001 - the rim: nobody could be told
            refusal = refuse(error)
            self._count(refusal.grpc_code)
            log.warning("datagrams are dropped", extra={"reason": refusal.message})

    def _translate(self, datagrams: Sequence[bytes]) -> tuple[bytes, list[str]]:
        """Translate each by itself: one that is bad takes none with it. Runs in a pool thread.

        Returns: a request, since requests may be joined; why the others are left out.
        """
        translate = _TRANSLATE[self._source]
        spans, unreadable = [], []
        for datagram in datagrams:
            try:
                spans.append(translate(datagram))
            except InvalidRequestError as error:
                unreadable.append(str(error))
        return b"".join(spans), unreadable

    def _count(self, code: int) -> None:
        self._metrics.refused_requests.labels(self._source.transport, Code.Name(code)).inc()


class _Datagrams(asyncio.DatagramProtocol):
    """Hands over what arrives."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._take(data)

    def error_received(self, exc: Exception) -> None:
        log.debug("datagram socket", extra={"error": str(exc)})

"""One port for HTTP/1.1 and HTTP/2: a connection is told by its first bytes, then handed over.

HTTP/2 without TLS begins with 24 bytes that no HTTP/1.1 request can begin with ("prior knowledge",
RFC 9113, section 3.4; this is how gRPC clients dial). ``Upgrade: h2c`` of HTTP/1.1 is not taken up,
as RFC 9113 did away with it: such a request is answered in HTTP/1.1.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from weakref import ref

from tracestore.api.http2 import Listener

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Bounds of a port."""

    connections_max: int
    """More are closed as soon as they come; 0: no bound."""
    first_request_timeout_s: float
    """From the connection to the end of the headers of its first request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocols:
    """What a connection becomes."""

    http1: Callable[[], asyncio.Protocol]
    http2: Callable[[], asyncio.Protocol] | None
    """None: all is HTTP/1.1."""
    refused: Callable[[str], None]
    """Counts a connection that was closed, with the reason."""


class FirstBytes(asyncio.Protocol):
    """A connection that has not yet said what it is."""

    def __init__(self, protocols: Protocols, listener: Listener, limits: ConnectionLimits) -> None:
        self._protocols = protocols
        self._listener = listener
        self._limits = limits
        self._transport: asyncio.Transport
        self._first = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse the connection, or wait for its first bytes."""
        self._transport = cast("asyncio.Transport", transport)
        limit = self._limits.connections_max
        if limit and len(self._listener.connections) >= limit:
            self._protocols.refused("limit")
            self._transport.close()
            return
        _end_when_peer_vanishes(self._transport)
        self._listener.connections.add(self)
        self._timer = asyncio.get_running_loop().call_later(
            self._limits.first_request_timeout_s, self._time_out
        )

    def data_received(self, data: bytes) -> None:
        """Decide as soon as the bytes tell."""
        if self._transport.is_closing():
            return
        self._first += data
        if self._protocols.http2 is None or not PREFACE.startswith(self._first[: len(PREFACE)]):
            self._become_http1()
        elif len(self._first) >= len(PREFACE):
            self._leave()
            self._become(self._protocols.http2())

    def connection_lost(self, exc: Exception | None) -> None:
        """It never said what it is."""
        self._leave()

    def shutdown(self) -> None:
        """Close: no request has begun."""
        self._transport.close()

    def _become_http1(self) -> None:
        assert self._timer is not None
        until = self._timer.when()
        self._leave()
        protocol = self._protocols.http1()
        self._become(protocol)
        # uvicorn has no time limit for the headers of a request
        asyncio.get_running_loop().call_at(
            until, _close_unless_begun, ref(protocol), self._protocols.refused
        )

    def _become(self, protocol: asyncio.Protocol) -> None:
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._first)

    def _leave(self) -> None:
        self._listener.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        self._protocols.refused("timeout")
        self._transport.close()


def _close_unless_begun(of: ref[Any], refused: Callable[[str], None]) -> None:
    """Close a connection of uvicorn whose first request has not come whole by now."""
    protocol = of()
    if protocol is not None and protocol.cycle is None and not protocol.transport.is_closing():
        refused("timeout")
        protocol.transport.close()


def _end_when_peer_vanishes(transport: asyncio.Transport) -> None:
    """Have the kernel ask for a sign of life, so that a machine that is gone holds nothing."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):  # not everywhere
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

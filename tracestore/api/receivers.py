"""The receivers of formats other than OTLP: which of them run, and where they listen.

They are on by default, and a default port that is taken is passed over with a warning: who runs a
Zipkin or Jaeger of their own on this machine can start a tracestore all the same. A receiver that
was asked for by name must get its port.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from grpc import aio

from tracestore.api.jaeger import (
    JAEGER_GRPC,
    JAEGER_HTTP,
    JAEGER_ROUTE,
    METHOD,
    JaegerGrpcReceiver,
    JaegerHttpReceiver,
    make_jaeger_app,
)
from tracestore.api.jaeger_agent import BINARY, COMPACT, AgentBounds, AgentReceiver
from tracestore.api.otlp_grpc import make_server
from tracestore.api.rim import Rim
from tracestore.api.servers import GrpcServer, HttpServer
from tracestore.api.sockets import bind, bind_grpc, bound_address, parse_address
from tracestore.api.tenant import Intake
from tracestore.api.translating import Translating
from tracestore.api.zipkin import ZIPKIN, ZIPKIN_ROUTE, ZipkinReceiver, make_zipkin_app
from tracestore.errors import SettingsError
from tracestore.services.blocking import BlockingPool
from tracestore.services.distributor.service import Source
from tracestore.services.lifecycle import Service
from tracestore.settings.tree import ReceiverSettings

log = logging.getLogger(__name__)

_SECTION = "distributor.receivers"


class _Listener(Protocol):
    """The settings of a receiver with a port of its own."""

    @property
    def enabled(self) -> bool | None: ...
    @property
    def endpoint(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the receivers are made of."""

    intake: Intake
    pool: BlockingPool
    rim: Rim
    drain_timeout_s: float


class OtherReceivers:
    """The receivers of a process beside OTLP; their ports are taken when this is made."""

    def __init__(self, settings: ReceiverSettings, held: ExitStack) -> None:
        """Args:
        held: closes the sockets if making the rest of the process fails.
        """
        self._settings = settings
        defaults = ReceiverSettings()
        jaeger = settings.jaeger
        self._zipkin = _take_port("zipkin", settings.zipkin, defaults.zipkin, held)
        self._jaeger_http = _take_port(
            "jaeger.thrift_http", jaeger.thrift_http, defaults.jaeger.thrift_http, held
        )
        self._jaeger_grpc = _take_port("jaeger.grpc", jaeger.grpc, defaults.jaeger.grpc, held)
        self._agents = [
            (source, agent, _bind_agent(name, agent.endpoint, held))
            for source, name, agent in (
                (COMPACT, "thrift_compact", jaeger.thrift_compact),
                (BINARY, "thrift_binary", jaeger.thrift_binary),
            )
            if agent.enabled
        ]
        self._jaeger_grpc_address = (
            None if self._jaeger_grpc is None else bound_address(self._jaeger_grpc)
        )

    @property
    def zipkin(self) -> str | None:
        """URL of the Zipkin receiver without path; None if it is off."""
        return None if self._zipkin is None else f"http://{bound_address(self._zipkin).reachable}"

    @property
    def jaeger_http(self) -> str | None:
        """URL of Jaeger's Thrift receiver without path; None if it is off."""
        bound = self._jaeger_http
        return None if bound is None else f"http://{bound_address(bound).reachable}"

    @property
    def jaeger_grpc(self) -> str | None:
        """Host and port of Jaeger's gRPC receiver; None if it is off."""
        address = self._jaeger_grpc_address
        return None if address is None else str(address.reachable)

    def services(self, parts: Parts) -> Iterator[Service]:
        """Make the servers."""
        drain_s = parts.drain_timeout_s
        if self._zipkin is not None:
            limit = self._settings.zipkin.request_bytes_max
            app = make_zipkin_app(
                ZipkinReceiver(translating=_translating(parts, limit, ZIPKIN, ZIPKIN_ROUTE))
            )
            yield HttpServer("zipkin", app, self._zipkin, drain_timeout_s=drain_s)
        if self._jaeger_http is not None:
            limit = self._settings.jaeger.thrift_http.request_bytes_max
            translating = _translating(parts, limit, JAEGER_HTTP, JAEGER_ROUTE)
            app = make_jaeger_app(JaegerHttpReceiver(translating=translating))
            yield HttpServer("jaeger-thrift-http", app, self._jaeger_http, drain_timeout_s=drain_s)
        if self._jaeger_grpc is not None:
            server = self._make_jaeger_grpc(parts, self._jaeger_grpc)
            if server is not None:
                yield GrpcServer("jaeger-grpc", server, drain_timeout_s=drain_s)

    def agents(self, parts: Parts) -> Iterator[Service]:
        """Make what takes datagrams; it has to end before new spans are refused."""
        for source, agent, bound in self._agents:
            yield AgentReceiver(
                source,
                bound,
                parts.intake,
                parts.pool,
                parts.rim.metrics,
                bounds=AgentBounds(
                    datagram_bytes_max=agent.datagram_bytes_max,
                    queue_datagrams_max=agent.queue_datagrams_max,
                    drain_timeout_s=parts.drain_timeout_s,
                ),
            )

    def _make_jaeger_grpc(self, parts: Parts, bound: socket.socket) -> aio.Server | None:
        """Hand the port over, which somebody may be quick to take: gRPC makes its own sockets."""
        limit = self._settings.jaeger.grpc.request_bytes_max
        receiver = JaegerGrpcReceiver(_translating(parts, limit, JAEGER_GRPC, METHOD))
        server = make_server(receiver, request_bytes_max=limit)
        address = bound_address(bound)
        bound.close()
        try:
            bind_grpc(server, address, setting=f"{_SECTION}.jaeger.grpc.endpoint")
        except SettingsError as error:
            if _is_asked_for(self._settings.jaeger.grpc, ReceiverSettings().jaeger.grpc):
                raise
            _warn_taken("jaeger.grpc", error)
            self._jaeger_grpc_address = None
            return None
        return server


def _translating(parts: Parts, limit: int, source: Source, route: str) -> Translating:
    return Translating(
        intake=parts.intake,
        pool=parts.pool,
        rim=parts.rim,
        request_bytes_max=limit,
        source=source,
        route=route,
    )


def _bind_agent(name: str, endpoint: str, held: ExitStack) -> socket.socket:
    setting = f"{_SECTION}.jaeger.{name}.endpoint"
    address = parse_address(endpoint, setting=setting)
    bound = bind(address, setting=setting, kind=socket.SOCK_DGRAM)
    held.callback(bound.close)
    return bound


def _take_port(
    name: str, settings: _Listener, default: _Listener, held: ExitStack
) -> socket.socket | None:
    """Bind the port of a receiver that is on.

    Raises: SettingsError if the port cannot be had, unless nobody asked for it.
    """
    if settings.enabled is False:
        return None
    setting = f"{_SECTION}.{name}.endpoint"
    address = parse_address(settings.endpoint, setting=setting)
    asked_for = _is_asked_for(settings, default)
    try:
        bound = bind(address, setting=setting)
    except SettingsError as error:
        if asked_for:
            raise
        _warn_taken(name, error)
        return None
    held.callback(bound.close)
    if not asked_for:
        try:
            bound.listen()  # two that are only bound to one port do not get in each other's way
        except OSError as error:
            _warn_taken(name, error)
            return None
    log.info("receiver", extra={"receiver": name, "endpoint": str(bound_address(bound))})
    return bound


def _is_asked_for(settings: _Listener, default: _Listener) -> bool:
    """Whether somebody named the receiver, so that it must run."""
    return bool(settings.enabled) or settings.endpoint != default.endpoint


def _warn_taken(name: str, error: Exception) -> None:
    log.warning(
        "receiver is off, its default port cannot be had",
        extra={"receiver": name, "error": str(error)},
    )

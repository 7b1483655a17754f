"""The distributor as a part of a process: the receivers, and what takes requests from them."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from grpc import aio

from tracestore.api.otlp_grpc import TraceReceiver, make_server
from tracestore.api.otlp_http import OtlpHttpReceiver, make_app
from tracestore.api.receivers import OtherReceivers, Parts
from tracestore.api.roles.cluster import ClusterPart
from tracestore.api.roles.ground import Ground
from tracestore.api.servers import Door, GrpcServer, HttpServer
from tracestore.api.sockets import Address, bind, bind_grpc, bound_address, parse_address
from tracestore.api.tenant import Intake
from tracestore.services.distributor.appending import LocalAppender
from tracestore.services.distributor.cluster import ClusterAppender
from tracestore.services.distributor.generators import GeneratorPushes
from tracestore.services.distributor.service import Distributor
from tracestore.services.generator.inbox import GeneratorInbox
from tracestore.services.ingester.service import Ingester
from tracestore.services.lifecycle import Service

GRPC_SETTING = "distributor.receivers.grpc.endpoint"
HTTP_SETTING = "distributor.receivers.http.endpoint"


def make_appender(
    ground: Ground,
    cluster: ClusterPart,
    ingester: Ingester | None,
    pushes: GeneratorPushes | None,
) -> LocalAppender | ClusterAppender:
    """Make what has requests stored: the ingester here, if it is alone, or those of the cluster."""
    local = None if ingester is None else LocalAppender(ingester)
    if local is not None and not ground.settings.members.configured:
        return local
    return ClusterAppender(
        ground.settings.distributor.push,
        cluster.members,
        cluster.peers,
        ground.pools.receive,
        ground.metrics,
        ground.clock,
        local=local,
        generators=pushes,
    )


def make_generator_pushes(
    ground: Ground, cluster: ClusterPart, inbox: GeneratorInbox | None
) -> GeneratorPushes | None:
    """Make what sends spans to metrics-generators elsewhere; None: there is nobody else.

    Args:
        inbox: of the generator in this process, if it has one.
    """
    if not ground.settings.members.configured:
        return None
    return GeneratorPushes(
        ground.settings.distributor.generator_push,
        cluster.members,
        cluster.peers,
        ground.pools.receive,
        ground.metrics,
        ground.clock,
        wants=ground.generators.wants,
        local=None if inbox is None else inbox.take,
    )


class DistributorRole:
    """Makes the receivers; their ports are taken when this is made."""

    def __init__(
        self,
        ground: Ground,
        appender: LocalAppender | ClusterAppender,
        pushes: GeneratorPushes | None,
        held: ExitStack,
    ) -> None:
        """Args:
        appender: who makes requests durable: an ingester of this process, or of others.
        pushes: sends what is durable to metrics-generators.
        held: closes what was opened if making the rest of the process fails.
        """
        self._ground = ground
        self._appender = appender
        self._pushes = pushes
        self._settings = ground.settings.distributor
        self._otlp_grpc_address: Address | None = None
        self._otlp_socket = self._bind_otlp_http()
        if self._otlp_socket is not None:
            held.callback(self._otlp_socket.close)
        self.others = OtherReceivers(self._settings.receivers, held)
        self._distributor = Distributor(
            self._settings,
            appender,
            ground.pools.receive,
            ground.metrics,
            ground.clock,
            limits=ground.overrides.limits,
            labels=ground.labels,
        )
        self._intake = Intake(tenancy=ground.tenancy, distributor=self._distributor)

    def lacking(self) -> str:
        """Say what is missing for requests to be taken; empty: nothing."""
        return "" if self._appender.is_ready else "no ingester answers"

    @property
    def otlp_grpc(self) -> str | None:
        """Host and port of OTLP over gRPC, once ``services`` was called; None if it is off."""
        address = self._otlp_grpc_address
        return None if address is None else str(address.reachable)

    @property
    def otlp_http(self) -> str | None:
        """URL of OTLP over HTTP without path; None if it is off."""
        bound = self._otlp_socket
        return None if bound is None else f"http://{bound_address(bound).reachable}"

    def _bind_otlp_http(self) -> socket.socket | None:
        receiver = self._settings.receivers.http
        if not receiver.enabled:
            return None
        return bind(parse_address(receiver.endpoint, setting=HTTP_SETTING), setting=HTTP_SETTING)

    def services(self) -> list[Service]:
        """Make the servers, in the order of the start: new spans are refused before they drain."""
        drain_s = self._ground.drain_timeout_s
        services: list[Service] = [] if self._pushes is None else [self._pushes]
        if (receiver := self._settings.receivers.grpc).enabled:
            server, self._otlp_grpc_address = self._make_otlp_grpc(receiver.endpoint)
            services.append(GrpcServer("otlp-grpc", server, drain_timeout_s=drain_s))
        if self._otlp_socket is not None:
            services.append(self._make_otlp_http(self._otlp_socket))
        parts = Parts(
            intake=self._intake,
            pool=self._ground.pools.unpack,
            rim=self._ground.rim,
            drain_timeout_s=drain_s,
        )
        services += self.others.services(parts)
        services.append(Door(self._distributor))
        services += self.others.agents(parts)
        return services

    def _make_otlp_grpc(self, endpoint: str) -> tuple[aio.Server, Address]:
        address = parse_address(endpoint, setting=GRPC_SETTING)
        limit = self._settings.receivers.grpc_request_bytes_max
        receiver = TraceReceiver(self._intake, self._ground.rim)
        server = make_server(receiver, request_bytes_max=limit)
        return server, bind_grpc(server, address, setting=GRPC_SETTING)

    def _make_otlp_http(self, bound: socket.socket) -> HttpServer:
        receivers = self._settings.receivers
        receiver = OtlpHttpReceiver(
            intake=self._intake,
            pool=self._ground.pools.unpack,
            rim=self._ground.rim,
            request_bytes_max=receivers.http_request_bytes_max,
        )
        app = make_app(receiver, path=receivers.http.traces_url_path)
        return HttpServer("otlp-http", app, bound, drain_timeout_s=self._ground.drain_timeout_s)

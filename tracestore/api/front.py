"""What stands before uvicorn on the port of the API: the limits of connections, and HTTP/2."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import uvicorn

from tracestore.api.first_bytes import ConnectionLimits, FirstBytes, Protocols
from tracestore.api.grpc_http import GrpcOrHttp
from tracestore.api.http2 import Http2Limits, Http2Protocol
from tracestore.api.streaming import StreamingCalls
from tracestore.settings.tree import Settings
from tracestore.telemetry import Metrics


class _Upgrades(logging.Filter):
    """Drops what uvicorn logs of an ``Upgrade`` that is not taken up, which it may not be."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(
            ("Unsupported upgrade request", "No supported WebSocket library")
        )


_UPGRADES = _Upgrades()


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """Replaces the protocol of a uvicorn server by one that looks at the first bytes."""

    calls: StreamingCalls
    settings: Settings
    metrics: Metrics

    def put_before(self, server: uvicorn.Server) -> None:
        """Take over the connections of a server whose configuration is loaded."""
        logging.getLogger("uvicorn.error").addFilter(_UPGRADES)
        config, state = server.config, server.server_state
        http1_class: Any = config.http_protocol_class
        settings = self.settings.server
        app = GrpcOrHttp(
            calls=self.calls,
            http=config.loaded_app,
            request_bytes_max=settings.grpc_server_max_recv_msg_size,
        )
        http2_limits = Http2Limits(
            streams_max=settings.grpc_server_max_concurrent_streams,
            stall_timeout_s=settings.http2_stall_timeout_s,
            idle_timeout_s=settings.http2_idle_timeout_s,
        )
        limits = ConnectionLimits(
            connections_max=settings.http_listen_conn_limit,
            first_request_timeout_s=settings.http_first_request_timeout_s,
        )

        def http2() -> asyncio.Protocol:
            return Http2Protocol(app, state, http2_limits)

        def first_bytes(**uvicorn_arguments: Any) -> asyncio.Protocol:
            protocols = Protocols(
                http1=lambda: http1_class(**uvicorn_arguments),
                http2=http2 if self.settings.stream_over_http_enabled else None,
                refused=lambda reason: self.metrics.refused_connections.labels(reason).inc(),
            )
            return FirstBytes(protocols, state, limits)

        self.metrics.open_connections.set_function(lambda: len(state.connections))
        config.http_protocol_class = first_bytes  # type: ignore[assignment]  # called as a class is

"""The network servers as services: uvicorn for HTTP, grpc.aio for gRPC. Neither handles signals."""

from __future__ import annotations

import asyncio
import logging
import socket

import uvicorn
from fastapi import FastAPI
from grpc import aio

from tracestore.api.front import Front
from tracestore.services.distributor.service import Distributor

HEAD_BYTES_MAX = 64 * 1024
"""Longest head of a request where nothing else is said."""


class HttpServer:
    """Serves an application on a socket that is bound already."""

    def __init__(
        self,
        name: str,
        app: FastAPI,
        bound: socket.socket,
        *,
        drain_timeout_s: float,
        head_bytes_max: int = HEAD_BYTES_MAX,
        front: Front | None = None,
    ) -> None:
        """Args:
        head_bytes_max: longest request line and headers together.
        front: takes connections before uvicorn does, to tell HTTP/2 from HTTP/1.1.
        """
        self.name = name
        self._front = front
        self._bound = bound
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level=logging.WARNING,
                server_header=False,
                ws="none",
                http="h11",
                h11_max_incomplete_event_size=head_bytes_max,
                timeout_graceful_shutdown=max(1, round(drain_timeout_s)),
            )
        )

    async def start(self) -> None:
        """Listen."""
        config = self._server.config
        config.load()
        if self._front is not None:
            self._front.put_before(self._server)
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[self._bound])

    async def run(self) -> None:
        """Keep the server's house until cancelled."""
        await self._server.main_loop()

    async def drain(self) -> None:
        """Stop listening, let requests in progress finish, close."""
        if self._server.started:
            await self._server.shutdown(sockets=[self._bound])
        self._bound.close()


class GrpcServer:
    """Serves a gRPC server whose port is taken already."""

    def __init__(self, name: str, server: aio.Server, *, drain_timeout_s: float) -> None:
        self.name = name
        self._server = server
        self._drain_timeout_s = drain_timeout_s

    async def start(self) -> None:
        """Listen."""
        await self._server.start()

    async def run(self) -> None:
        """Live until cancelled."""
        # Not wait_for_termination: cancelling it cancels the future that stop() waits for.
        await asyncio.Event().wait()

    async def drain(self) -> None:
        """Stop listening, let requests in progress finish, close."""
        await self._server.stop(self._drain_timeout_s)


class Door:
    """The last service to start and the first to drain: from then on new spans are refused."""

    name = "distributor"

    def __init__(self, distributor: Distributor) -> None:
        self._distributor = distributor

    async def start(self) -> None:
        """Nothing to get ready."""

    async def run(self) -> None:
        """Live until cancelled."""
        await asyncio.Event().wait()

    async def drain(self) -> None:
        """Refuse new requests; those in progress go on."""
        self._distributor.refuse_new_work()

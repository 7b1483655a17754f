"""``grpc.health.v1.Health``: whether this process should be asked.

Source: gRPC health checking protocol (grpc/doc/health-checking.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from google.rpc.code_pb2 import Code
from grpc_health.v1 import health_pb2

from tracestore.api.streaming import CallError, Metadata, Method, Send
from tracestore.clock import Clock

SERVICE = "grpc.health.v1.Health"
WATCH_INTERVAL_S = 1.0
"""How soon a watcher sees a change."""

_Status = health_pb2.HealthCheckResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The methods."""

    services: frozenset[str]
    """Names that may be asked for, the empty one for all besides."""
    is_ready: Callable[[], bool]
    is_stopping: Callable[[], bool]
    clock: Clock

    @property
    def methods(self) -> Mapping[str, Method]:
        """Get the methods by name."""
        return {"Check": self.check, "Watch": self.watch}

    async def check(self, request: bytes, _metadata: Metadata, send: Send) -> None:
        """Answer once. An unknown service is NOT_FOUND."""
        if not self._knows(request):
            raise CallError(Code.NOT_FOUND, "unknown service")
        await send(self._render(known=True))

    async def watch(self, request: bytes, _metadata: Metadata, send: Send) -> None:
        """Answer now and after each change, until the client goes away or the process ends."""
        known = self._knows(request)
        last = b""
        while True:
            is_last = self.is_stopping()
            if (now := self._render(known=known)) != last:
                await send(now)
                last = now
            if is_last:
                return
            await self.clock.sleep(WATCH_INTERVAL_S)

    def _knows(self, request: bytes) -> bool:
        try:
            service = health_pb2.HealthCheckRequest.FromString(request).service
        except DecodeError as error:
            raise CallError(Code.INTERNAL, f"no HealthCheckRequest: {error}") from error
        return not service or service in self.services

    def _render(self, *, known: bool) -> bytes:
        status = _Status.SERVING if self.is_ready() else _Status.NOT_SERVING
        answer: bytes = _Status(
            status=status if known else _Status.SERVICE_UNKNOWN
        ).SerializeToString()
        return answer

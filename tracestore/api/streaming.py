"""Calls that stream their answer, whatever carries them: found by name, bounded, measured.

``grpc_native.py`` (a port of its own) and ``grpc_http.py`` (the port of the API) are the two rims:
they bring a request as bytes and send messages as bytes, and know nothing of what is asked.

Source: wire contract, sections 4 and 12.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import quote

from google.rpc.code_pb2 import Code
from opentelemetry.trace import StatusCode

from tracestore.api.errors import refuse
from tracestore.clock import Clock
from tracestore.telemetry import Metrics
from tracestore.tracing import Tracing

log = logging.getLogger(__name__)

Metadata = Sequence[tuple[str, str | bytes]]
"""Headers of a call, their names in lower case; a name may come twice."""
Send = Callable[[bytes], Awaitable[None]]
"""Takes one message, at the pace of the client."""
Method = Callable[[bytes, Metadata, Send], Awaitable[None]]
"""Answers one call: request, metadata, where messages go."""

MESSAGE_BYTES_MAX = 4096
"""Longest message of a status, percent-encoded: many clients take 8 KiB of trailers at most."""

_CODES = {404: Code.NOT_FOUND, 429: Code.RESOURCE_EXHAUSTED, 400: Code.INVALID_ARGUMENT}
_CODES[499] = Code.CANCELLED
_UNTRACED = "/grpc.health."
"""Probes: many, and all alike."""


class CallError(Exception):
    """How a call ended, if not well."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = _shortened(message)


class StreamingCalls:
    """All methods by full name, such as ``/tempopb.StreamingQuerier/Search``."""

    def __init__(self, metrics: Metrics, clock: Clock, tracing: Tracing) -> None:
        self._methods: dict[str, Method] = {}
        self._metrics = metrics
        self._tracing = tracing
        self._clock = clock

    def add(self, service: str, methods: Mapping[str, Method]) -> None:
        """Serve the methods of a service."""
        self._methods |= {f"/{service}/{name}": method for name, method in methods.items()}

    def has(self, name: str) -> bool:
        """Tell whether there is such a method."""
        return name in self._methods

    async def run(self, name: str, request: bytes, metadata: Metadata, send: Send) -> None:
        """Answer a call.

        Raises: CallError for anything that went wrong; ConnectionError if the client is gone.
        """
        if name.startswith(_UNTRACED):
            await self._timed(name, request, metadata, send)
            return
        carrier = {key: value for key, value in metadata if isinstance(value, str)}
        failure = None
        with self._tracing.request(name.removeprefix("/"), carrier) as span:
            try:
                await self._timed(name, request, metadata, send)
            except CallError as error:  # raised below: a bad request is no error of ours
                failure = error
            code = Code.OK if failure is None else failure.code
            span.set_attributes(
                {"rpc.system": "grpc", "rpc.method": name, "rpc.grpc.status_code": code}
            )
            if code == Code.INTERNAL:
                span.set_status(StatusCode.ERROR)
        if failure is not None:
            raise failure

    async def _timed(self, name: str, request: bytes, metadata: Metadata, send: Send) -> None:
        started_ns = self._clock.monotonic_ns()
        outcome = "error"
        try:
            await self._methods[name](request, metadata, send)
            outcome = "success"
        except (asyncio.CancelledError, ConnectionError):
            outcome = "cancel"
            raise
        except Exception as error:
            raise call_error(error) from error
        finally:
            seconds = (self._clock.monotonic_ns() - started_ns) / 1e9
            self._metrics.request_seconds.labels("gRPC", name, outcome, "false").observe(seconds)


def _shortened(message: str) -> str:
    """Cut a message that would not fit into a header, as it may quote what was asked."""
    if len(quote(message)) <= MESSAGE_BYTES_MAX:
        return message
    kept = message[:MESSAGE_BYTES_MAX]
    while len(quote(kept)) > MESSAGE_BYTES_MAX:
        kept = kept[: -max(1, len(kept) // 8)]
    return f"{kept} ..."


def call_error(error: Exception) -> CallError:
    """Turn an error into a status, by way of the HTTP status, as Tempo does."""
    if isinstance(error, CallError):
        return error
    refusal = refuse(error)
    code = _CODES.get(refusal.http_status)
    if code is None:
        code = Code.INTERNAL if refusal.http_status >= 500 else Code.UNKNOWN
    return CallError(code, refusal.message)

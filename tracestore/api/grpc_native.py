"""gRPC on a port of its own, by grpc.aio: bytes in, bytes out.

Source: wire contract, sections 1.1 and 12.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc
from grpc import aio

from tracestore.api.streaming import CallError, StreamingCalls

_CODES = {code.value[0]: code for code in grpc.StatusCode}

_KEEPALIVE = (
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
)
"""A client that is gone is noticed; one that pings every few seconds, as Tempo's do, is let be."""


class StreamingHandler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Answers the methods of ``StreamingCalls``; any other is UNIMPLEMENTED."""

    def __init__(
        self, calls: StreamingCalls, *, request_bytes_max: int, stall_timeout_s: float
    ) -> None:
        self._calls = calls
        self._request_bytes_max = request_bytes_max
        self._stall_timeout_s = stall_timeout_s

    def service(self, handler_call_details: Any) -> Any:
        """Find the handler of a method, None if there is none."""
        name = handler_call_details.method
        if not self._calls.has(name):
            return None

        async def call(request: bytes, context: Any) -> None:
            if len(request) > self._request_bytes_max:
                bound = self._request_bytes_max
                message = f"Received message larger than max ({len(request)} vs. {bound})"
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, message)
            metadata = tuple(context.invocation_metadata() or ())

            async def send(message: bytes) -> None:
                try:
                    async with asyncio.timeout(self._stall_timeout_s):
                        await context.write(message)
                except TimeoutError:
                    raise ConnectionError("the client takes nothing of its answer") from None

            try:
                await self._calls.run(name, request, metadata, send)
            except CallError as error:
                await context.abort(_CODES[error.code], error.message)
            except ConnectionError as error:
                await context.abort(grpc.StatusCode.CANCELLED, str(error))

        return grpc.unary_stream_rpc_method_handler(call)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcBounds:
    """What the server takes."""

    request_bytes_max: int
    """Largest request of a streaming query."""
    message_bytes_max: int
    """Largest message of any other call: of other processes."""
    streams_max: int
    stall_timeout_s: float


def make_query_server(calls: StreamingCalls, bounds: GrpcBounds) -> aio.Server:
    """Make the server; it listens once an address is added and it is started."""
    request_bytes_max = bounds.request_bytes_max
    server = aio.server(
        options=[
            ("grpc.max_receive_message_length", max(request_bytes_max, bounds.message_bytes_max)),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", bounds.streams_max),
            ("grpc.so_reuseport", 0),  # a second process on the port must fail, not share it
            *_KEEPALIVE,
        ]
    )
    handler = StreamingHandler(
        calls, request_bytes_max=request_bytes_max, stall_timeout_s=bounds.stall_timeout_s
    )
    server.add_generic_rpc_handlers((handler,))
    return server

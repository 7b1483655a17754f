"""The OTLP/gRPC receiver: raw bytes in, raw bytes out; no message is ever parsed here.

The server is generic: gRPC hands over the bytes of ``Export``, decompressed and bounded by its own
limit (a message over it is refused by the length in its first five bytes). Source: OTLP
specification, "OTLP/gRPC"; wire contract, section 6.1.
"""

from __future__ import annotations

from typing import Any

import grpc
from grpc import aio

from tracestore.api.errors import refuse
from tracestore.api.tenant import Intake, values_of
from tracestore.services.distributor.service import OTLP_GRPC
from tracestore.telemetry import Metrics
from tracestore.tracing import Tracing

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
RESPONSE = b"\x0a\x00"
"""ExportTraceServiceResponse with an empty ``partial_success``."""

STREAMS_MAX = 128
"""Requests that one connection may have in progress: HTTP/2 makes the sender wait beyond."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class TraceReceiver(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Answers ``TraceService/Export``; any other method is UNIMPLEMENTED."""

    def __init__(self, intake: Intake, metrics: Metrics, tracing: Tracing) -> None:
        self._intake = intake
        self._tracing = tracing
        self._metrics = metrics
        self._export = grpc.unary_unary_rpc_method_handler(self.export)

    def service(self, handler_call_details: Any) -> Any:
        """Find the handler of a method, None if there is none."""
        return self._export if handler_call_details.method == METHOD else None

    async def export(self, request: bytes, context: Any) -> bytes:
        """Store one request; the answer means that it is durable."""
        try:
            with self._tracing.push("otlp push", _carrier(context)):
                orgs = values_of(context.invocation_metadata())
                await self._intake.push(orgs, request, OTLP_GRPC)
        except Exception as error:  # noqa: BLE001 - the rim: each error becomes a status
            refusal = refuse(error, retry_after_s=self._intake.distributor.retry_after_s)
        else:
            return RESPONSE
        finally:
            del request  # the error of the abort holds this frame for a while
        code = _CODES[refusal.grpc_code]
        self._metrics.refused_requests.labels("grpc", code.name).inc()
        if refusal.retry_after_s:
            details = refusal.to_status().SerializeToString()
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
        await context.abort(code, refusal.message)
        raise AssertionError("abort raises")


def _carrier(context: Any) -> dict[str, str]:
    """Get the metadata that are texts."""
    pairs = context.invocation_metadata() or ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def make_server(receiver: TraceReceiver, *, request_bytes_max: int) -> aio.Server:
    """Make the server; it listens once an address is added and it is started."""
    server = aio.server(
        options=[
            ("grpc.max_receive_message_length", request_bytes_max),
            ("grpc.max_concurrent_streams", STREAMS_MAX),
            ("grpc.so_reuseport", 0),  # a second process on the port must fail, not share it
        ]
    )
    server.add_generic_rpc_handlers((receiver,))
    return server

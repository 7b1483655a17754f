"""The OTLP/gRPC receiver: raw bytes in, raw bytes out; no message is ever parsed here.

The server is generic: gRPC hands over the bytes of ``Export``, decompressed and bounded by its own
limit (a message over it is refused by the length in its first five bytes). Source: OTLP
specification, "OTLP/gRPC"; wire contract, section 6.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import grpc
from grpc import aio

from tracestore.api.errors import Refusal, refuse
from tracestore.api.rim import GRPC_METHOD, SUCCESS, Rim
from tracestore.api.tenant import Intake, is_counted, values_of
from tracestore.services.distributor.service import OTLP_GRPC
from tracestore.telemetry import Metrics

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
ROUTE = "opentelemetry_proto_collector_trace_v1_traceservice_export"
"""What dashboards call the method."""
RESPONSE = b"\x0a\x00"
"""ExportTraceServiceResponse with an empty ``partial_success``."""

STREAMS_MAX = 128
"""Requests that one connection may have in progress: HTTP/2 makes the sender wait beyond."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class TraceReceiver(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Answers ``TraceService/Export``; any other method is UNIMPLEMENTED."""

    def __init__(self, intake: Intake, rim: Rim) -> None:
        self._intake = intake
        self._rim = rim
        self._export = grpc.unary_unary_rpc_method_handler(self.export)

    def service(self, handler_call_details: Any) -> Any:
        """Find the handler of a method, None if there is none."""
        return self._export if handler_call_details.method == METHOD else None

    async def export(self, request: bytes, context: Any) -> bytes:
        """Store one request; the answer means that it is durable."""
        metadata = context.invocation_metadata() or ()
        with self._rim.push(GRPC_METHOD, ROUTE, texts_of(metadata)) as outcome:
            try:
                counted = is_counted(key for key, _ in metadata)
                orgs = values_of(metadata)
                await self._intake.push(orgs, request, OTLP_GRPC, counted=counted)
            except Exception as error:  # noqa: BLE001 - the rim: each error becomes a status
                refusal = refuse(error, retry_after_s=self._intake.distributor.retry_after_s)
            else:
                outcome.status = SUCCESS
                return RESPONSE
            finally:
                del request  # the error of the abort holds this frame for a while
        return await turn_away(context, refusal, self._rim.metrics)


async def turn_away(context: Any, refusal: Refusal, metrics: Metrics) -> NoReturn:
    """End a call of a receiver with what went wrong, and when to try again."""
    code = _CODES[refusal.grpc_code]
    metrics.refused_requests.labels("grpc", code.name).inc()
    if refusal.retry_after_s:
        details = refusal.to_status().SerializeToString()
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
    await context.abort(code, refusal.message)
    raise AssertionError("abort raises")


def texts_of(metadata: Iterable[tuple[str, str | bytes]]) -> dict[str, str]:
    """Get the metadata that are texts."""
    return {key: value for key, value in metadata if isinstance(value, str)}


def make_server(receiver: grpc.GenericRpcHandler, *, request_bytes_max: int) -> aio.Server:
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

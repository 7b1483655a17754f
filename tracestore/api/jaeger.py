"""The Jaeger receivers: Thrift batches over HTTP, ``PostSpans`` over gRPC.

Source: jaeger-idl, collector.proto; wire contract, section 6.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from tracestore.api.errors import Refusal, refuse
from tracestore.api.otlp_grpc import texts_of, turn_away
from tracestore.api.rim import GRPC_METHOD, SUCCESS
from tracestore.api.tenant import is_counted, values_of
from tracestore.api.translating import METHODS, Translating, method_not_allowed, text
from tracestore.codec.receivers.jaeger_protobuf import translate_request
from tracestore.codec.receivers.jaeger_thrift import translate_batch
from tracestore.services.distributor.service import Source

_RECEIVER = "jaeger/jaeger_receiver"
JAEGER_HTTP = Source(receiver=_RECEIVER, transport="http")
JAEGER_GRPC = Source(receiver=_RECEIVER, transport="grpc")

JAEGER_ROUTE = "jaeger_api_traces"
"""What dashboards call Thrift over HTTP; gRPC goes by its method."""

PATH = "/api/traces"
METHOD = "/jaeger.api_v2.CollectorService/PostSpans"
CONTENT_TYPES = ("application/x-thrift", "application/vnd.apache.thrift.binary")


@dataclass(frozen=True, slots=True, kw_only=True)
class JaegerHttpReceiver:
    """Answers ``POST /api/traces``."""

    translating: Translating

    async def receive(self, request: Request) -> Response:
        """Store one batch."""
        if request.method != "POST":
            return method_not_allowed()
        given = request.headers.get("content-type", "")
        content_type = given.partition(";")[0].strip().lower()
        if not content_type:
            return text(400, "Cannot parse content type: mime: no media type\n")
        if content_type not in CONTENT_TYPES:
            return text(400, f"Unsupported content type: {content_type}\n")
        return await self.translating.take(
            request, translate_batch, unreadable=_unreadable, refused=_refused
        )


def make_jaeger_app(receiver: JaegerHttpReceiver) -> FastAPI:
    """Make the application of the receiver's port."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_api_route(PATH, receiver.receive, methods=METHODS, response_model=None)
    app.add_exception_handler(HTTPException, _not_found)
    return app


async def _not_found(_request: Request, _error: Exception) -> Response:
    return text(404, "404 page not found\n")


def _unreadable(refusal: Refusal) -> Response:
    return text(400, f"Unable to process request body: {refusal.message}\n")


def _refused(refusal: Refusal) -> Response:
    """Answer as the Collector: whatever the reason, a limit too."""
    return text(500, f"Cannot submit Jaeger batch: {refusal.message}\n")


class JaegerGrpcReceiver(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Answers ``CollectorService/PostSpans``; any other method is UNIMPLEMENTED."""

    def __init__(self, translating: Translating) -> None:
        self._translating = translating
        self._post_spans = grpc.unary_unary_rpc_method_handler(self.post_spans)

    def service(self, handler_call_details: Any) -> Any:
        """Find the handler of a method, None if there is none."""
        return self._post_spans if handler_call_details.method == METHOD else None

    async def post_spans(self, request: bytes, context: Any) -> bytes:
        """Store one request; the answer, an empty message, means that it is durable."""
        parts = self._translating
        metadata = context.invocation_metadata() or ()
        with parts.push(GRPC_METHOD, texts_of(metadata)) as outcome:
            try:
                with parts.intake.distributor.hold(len(request)):
                    spans = await parts.pool.run(translate_request, request)
                counted = is_counted(key for key, _ in metadata)
                await parts.intake.push(values_of(metadata), spans, JAEGER_GRPC, counted=counted)
            except Exception as error:  # noqa: BLE001 - the rim: each error becomes a status
                refusal = refuse(error, retry_after_s=parts.intake.distributor.retry_after_s)
            else:
                outcome.status = SUCCESS
                return b""
            finally:
                del request  # the error of the abort holds this frame for a while
        return await turn_away(context, refusal, parts.rim.metrics)

"""The OTLP/HTTP receiver: ``POST /v1/traces`` in protobuf or JSON, under any Content-Encoding.

The size is bounded three times: by Content-Length before a byte is read, by what arrives, and by
what decompression gives. JSON becomes protobuf here, at the rim; behind it there is one format.
Source: OTLP specification, "OTLP/HTTP"; wire contract, section 6.2.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from google.protobuf import json_format
from google.rpc.code_pb2 import Code
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from tracestore.api.bodies import LingeringResponse, read_body
from tracestore.api.errors import Refusal, refuse
from tracestore.api.rim import Rim
from tracestore.api.tenant import HEADER, Intake, is_counted
from tracestore.codec.compression import ENCODINGS, decompress
from tracestore.codec.otlp import encode_json_request
from tracestore.services.blocking import BlockingPool
from tracestore.services.distributor.service import OTLP_HTTP

ROUTE = "otlp_v1_traces"
"""What dashboards call the path."""
PROTOBUF = "application/x-protobuf"
JSON = "application/json"
_SUCCESS = {PROTOBUF: b"\x0a\x00", JSON: b'{"partialSuccess":{}}'}
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpHttpReceiver:
    """Answers ``POST /v1/traces``."""

    intake: Intake
    pool: BlockingPool
    """For decompression and JSON."""
    rim: Rim
    request_bytes_max: int

    async def export(self, request: Request) -> Response:
        """Store one request; 200 means that it is durable."""
        with self.rim.push(request.method, ROUTE, request.headers) as outcome:
            reply = await self._export(request)
            outcome.status = str(reply.status_code)
            return reply

    async def _export(self, request: Request) -> Response:
        if request.method != "POST":
            return _method_not_allowed()
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in _SUCCESS:
            return _text(415, f"415 unsupported media type, supported: [{JSON}, {PROTOBUF}]")
        encoding = request.headers.get("content-encoding", "").strip().lower()
        if encoding and encoding not in ENCODINGS:
            return _text(400, f"unsupported Content-Encoding: {encoding}")
        try:
            await self._receive(request, content_type, encoding)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:  # noqa: BLE001 - the rim: each error becomes a status
            refusal = refuse(error, retry_after_s=self.intake.distributor.retry_after_s)
            return self._refusal(refusal, content_type)
        return Response(_SUCCESS[content_type], media_type=content_type)

    async def _receive(self, request: Request, content_type: str, encoding: str) -> None:
        with ExitStack() as held:
            body: bytes | bytearray = await read_body(
                request, held, self.intake.distributor, bytes_max=self.request_bytes_max
            )
            if encoding not in ("", "identity"):
                body = await self.pool.run(
                    decompress, body, encoding, bytes_max=self.request_bytes_max
                )
                held.enter_context(self.intake.distributor.hold(len(body)))
            if content_type == JSON:
                body = await self.pool.run(encode_json_request, body)
        orgs, counted = request.headers.getlist(HEADER), is_counted(request.headers.keys())
        await self.intake.push(orgs, body, OTLP_HTTP, counted=counted)

    def _refusal(self, refusal: Refusal, content_type: str) -> Response:
        http_status = refusal.otlp_http_status
        self.rim.metrics.refused_requests.labels("http", Code.Name(refusal.grpc_code)).inc()
        status = refusal.to_status()
        if content_type == JSON:
            body = json_format.MessageToJson(status, indent=None).encode()
        else:
            body = status.SerializeToString()
        headers = {}
        if http_status in (429, 503) and refusal.retry_after_s:
            headers["Retry-After"] = refusal.retry_after_header
        kind = LingeringResponse if http_status == 413 else Response
        return kind(body, status_code=http_status, media_type=content_type, headers=headers)


def make_app(receiver: OtlpHttpReceiver, *, path: str) -> FastAPI:
    """Make the application of the receiver's port."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_api_route(path, receiver.export, methods=_METHODS, response_model=None)
    app.add_exception_handler(HTTPException, _not_routed)
    return app


async def _not_routed(_request: Request, error: Exception) -> Response:
    """Answer a path that is not there, or a method that FastAPI does not know."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        return _method_not_allowed()
    return _text(404, "404 page not found\n")


def _method_not_allowed() -> Response:
    return _text(405, "405 method not allowed, supported: [POST]", {"Allow": "POST"})


def _text(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return Response(
        message, status_code=status, headers=headers, media_type="text/plain; charset=utf-8"
    )

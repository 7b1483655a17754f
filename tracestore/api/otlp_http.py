"""The OTLP/HTTP receiver: ``POST /v1/traces`` in protobuf or JSON, under any Content-Encoding.

The size is bounded three times: by Content-Length before a byte is read, by what arrives, and by
what decompression gives. JSON becomes protobuf here, at the rim; behind it there is one format.
Source: OTLP specification, "OTLP/HTTP"; wire contract, section 6.2.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from google.protobuf import json_format
from google.rpc.code_pb2 import Code
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from tracestore.api.errors import Refusal, refuse
from tracestore.api.tenant import HEADER, Intake
from tracestore.codec.compression import ENCODINGS, decompress
from tracestore.codec.otlp import encode_json_request
from tracestore.errors import TooLargeError
from tracestore.services.blocking import BlockingPool
from tracestore.services.distributor.service import OTLP_HTTP
from tracestore.telemetry import Metrics
from tracestore.tracing import Tracing

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
_SUCCESS = {PROTOBUF: b"\x0a\x00", JSON: b'{"partialSuccess":{}}'}
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_LINGER_BYTES = 8 << 20
_LINGER_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpHttpReceiver:
    """Answers ``POST /v1/traces``."""

    intake: Intake
    pool: BlockingPool
    """For decompression and JSON."""
    metrics: Metrics
    tracing: Tracing
    request_bytes_max: int

    async def export(self, request: Request) -> Response:
        """Store one request; 200 means that it is durable."""
        if request.method != "POST":
            return _method_not_allowed()
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in _SUCCESS:
            return _text(415, f"415 unsupported media type, supported: [{JSON}, {PROTOBUF}]")
        encoding = request.headers.get("content-encoding", "").strip().lower()
        if encoding and encoding not in ENCODINGS:
            return _text(400, f"unsupported Content-Encoding: {encoding}")
        try:
            with self.tracing.push("otlp push", request.headers):
                await self._receive(request, content_type, encoding)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:  # noqa: BLE001 - the rim: each error becomes a status
            refusal = refuse(error, retry_after_s=self.intake.distributor.retry_after_s)
            return self._refusal(refusal, content_type)
        return Response(_SUCCESS[content_type], media_type=content_type)

    async def _receive(self, request: Request, content_type: str, encoding: str) -> None:
        with ExitStack() as held:
            body: bytes | bytearray = await self._read(request, held)
            if encoding not in ("", "identity"):
                body = await self.pool.run(
                    decompress, body, encoding, bytes_max=self.request_bytes_max
                )
                held.enter_context(self.intake.distributor.hold(len(body)))
            if content_type == JSON:
                body = await self.pool.run(encode_json_request, body)
        await self.intake.push(request.headers.getlist(HEADER), body, OTLP_HTTP)

    async def _read(self, request: Request, held: ExitStack) -> bytearray:
        """Read the body, never more than the limit, counted as in flight while it is here."""
        announced = request.headers.get("content-length", "")
        size = int(announced) if announced.isascii() and announced.isdigit() else 0
        if size > self.request_bytes_max:
            raise TooLargeError("http: request body too large")
        held.enter_context(self.intake.distributor.hold(size))
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > self.request_bytes_max:
                raise TooLargeError("http: request body too large")
            if not announced:
                held.enter_context(self.intake.distributor.hold(len(piece)))
        return body

    def _refusal(self, refusal: Refusal, content_type: str) -> Response:
        http_status = refusal.otlp_http_status
        self.metrics.refused_requests.labels("http", Code.Name(refusal.grpc_code)).inc()
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


class LingeringResponse(Response):
    """An answer to a request whose body may not have been read.

    Closing at once would make the network drop the answer together with what the sender still
    sends; so the answer goes out, a little of the body is thrown away, and the connection is
    closed.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then linger."""
        self.headers["Connection"] = "close"
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(_LINGER_S):
                await _discard(receive, _LINGER_BYTES)
        except TimeoutError:
            pass  # it had its time to read the answer
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _discard(receive: Receive, bytes_max: int) -> None:
    """Throw away what arrives, up to the end of the request or the bound."""
    while bytes_max > 0:
        message = await receive()
        bytes_max -= len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return


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

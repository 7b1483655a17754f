"""What the HTTP receivers of other formats share: read, unpack, translate to OTLP, store.

Which status an error has differs between the formats; what is done does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from fastapi import Request, Response
from google.rpc.code_pb2 import Code
from starlette.requests import ClientDisconnect

from tracestore.api.bodies import LingeringResponse, read_body
from tracestore.api.errors import Refusal, refuse
from tracestore.api.rim import Outcome, Rim
from tracestore.api.tenant import HEADER, Intake, is_counted
from tracestore.codec.compression import decompress
from tracestore.services.blocking import BlockingPool
from tracestore.services.distributor.service import Body, Source

Translate = Callable[[Body], bytes]
"""A body -> an ExportTraceServiceRequest. Raises: InvalidRequestError."""
Answer = Callable[[Refusal], Response]

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_CLIENT_CLOSED = 499


@dataclass(frozen=True, slots=True, kw_only=True)
class Translating:
    """The way of a request that is not OTLP; 202 means that it is durable."""

    intake: Intake
    pool: BlockingPool
    """For decompression and translation, which are Python per span."""
    rim: Rim
    request_bytes_max: int
    """Of a body, decompressed."""
    source: Source
    route: str
    """What dashboards call it."""

    async def take(
        self, request: Request, translate: Translate, *, unreadable: Answer, refused: Answer
    ) -> Response:
        """Store one request.

        Args:
            unreadable: answers if the body is not what it should be.
            refused: answers if it is, but cannot be stored.
        """
        with self.push(request.method, request.headers) as outcome:
            reply = await self._take(request, translate, unreadable, refused)
            outcome.status = str(reply.status_code)
            return reply

    def push(self, method: str, carrier: Mapping[str, str]) -> AbstractContextManager[Outcome]:
        """Surround a push with the instruments of the rim."""
        return self.rim.push(method, self.route, carrier, name=f"{self.source.name} push")

    async def _take(
        self, request: Request, translate: Translate, unreadable: Answer, refused: Answer
    ) -> Response:
        try:
            spans = await self._read(request, translate)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED)
        except Exception as error:  # noqa: BLE001 - the rim: each error becomes a status
            refusal = self._refusal(error)
            if refusal.http_status == 413:
                return text(413, refusal.message, kind=LingeringResponse)
            return (unreadable if refusal.http_status == 400 else refused)(refusal)
        try:
            orgs, counted = request.headers.getlist(HEADER), is_counted(request.headers.keys())
            await self.intake.push(orgs, spans, self.source, counted=counted)
        except Exception as error:  # noqa: BLE001 - the rim: each error becomes a status
            refusal = self._refusal(error)
            if refusal.http_status == 413:  # to try again would not help
                return text(413, refusal.message)
            return refused(refusal)
        return Response(status_code=202)

    async def _read(self, request: Request, translate: Translate) -> bytes:
        encoding = request.headers.get("content-encoding", "").strip().lower()
        with ExitStack() as held:
            body = await read_body(
                request, held, self.intake.distributor, bytes_max=self.request_bytes_max
            )
            return await self.pool.run(self._unpack, body, encoding, translate)

    def _unpack(self, body: Body, encoding: str, translate: Translate) -> bytes:
        """Runs in a thread of the pool."""
        return translate(decompress(body, encoding, bytes_max=self.request_bytes_max))

    def _refusal(self, error: Exception) -> Refusal:
        refusal = refuse(error, retry_after_s=self.intake.distributor.retry_after_s)
        code = Code.Name(refusal.grpc_code)
        self.rim.metrics.refused_requests.labels(self.source.transport, code).inc()
        return refusal


def text(status: int, message: str, *, kind: type[Response] = Response) -> Response:
    """Make an answer in plain text."""
    return kind(message, status_code=status, media_type="text/plain; charset=utf-8")


def method_not_allowed() -> Response:
    """Answer what is no POST."""
    answer = text(405, "405 method not allowed, supported: [POST]")
    answer.headers["Allow"] = "POST"
    return answer

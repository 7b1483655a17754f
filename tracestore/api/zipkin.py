"""The Zipkin receiver: spans in JSON, protobuf or Thrift, ``POST`` to any path of its port.

Source: Zipkin API v2; wire contract, section 6.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI, Request, Response

from tracestore.api.errors import Refusal
from tracestore.api.translating import METHODS, Translating, method_not_allowed, text
from tracestore.codec.receivers import zipkin, zipkin_thrift, zipkin_v1
from tracestore.services.distributor.service import Source

ZIPKIN = Source(receiver="zipkin/zipkin_receiver", transport="http")
ZIPKIN_ROUTE = "zipkin_spans"
"""What dashboards call it."""

PROTOBUF = "application/x-protobuf"
THRIFT = "application/x-thrift"
V1_PATH = "api/v1/spans"
"""What a path has in it that is for spans of version 1; any other is for those of version 2."""

_NOT_STORED = '"Internal Server Error"'
_NOT_VALID = '"Bad Request"'


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipkinReceiver:
    """Answers ``POST /api/v2/spans``, and any other path."""

    translating: Translating

    async def receive(self, request: Request) -> Response:
        """Store one request."""
        if request.method != "POST":
            return method_not_allowed()
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        translate = zipkin.translate_json
        if V1_PATH in request.url.path:
            translate = zipkin_v1.translate_json
            if content_type == THRIFT:
                translate = zipkin_thrift.translate_list
        elif content_type == PROTOBUF:
            translate = zipkin.translate_protobuf
        return await self.translating.take(
            request,
            partial(translate, received_ns=self.translating.rim.clock.now_ns()),
            unreadable=_unreadable,
            refused=_refused,
        )


def make_zipkin_app(receiver: ZipkinReceiver) -> FastAPI:
    """Make the application of the receiver's port."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_api_route("/{path:path}", receiver.receive, methods=METHODS, response_model=None)
    return app


def _unreadable(refusal: Refusal) -> Response:
    return text(400, refusal.message)


def _refused(refusal: Refusal) -> Response:
    """Answer as the Collector: a limit is a 500 too, which Zipkin's senders take as temporary."""
    if refusal.http_status == 400:
        return text(400, _NOT_VALID)
    return text(500, _NOT_STORED)

"""The frame of the public API: routes for any method, plain-text errors, gzip, request metrics.

Handlers translate only: they parse, call one function, and give back an ``Answer``; what is the
same for all routes happens here. Source: wire contract, sections 1.2, 1.3 and 4.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from tracestore.api.errors import refuse
from tracestore.clock import Clock
from tracestore.telemetry import Metrics
from tracestore.tracing import Tracing, set_outcome

TEXT = "text/plain; charset=utf-8"
ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
READ = ["GET", "HEAD"]

_GZIP_BYTES_MIN = 1400
_GZIP_LEVEL = 4
_UNTRACED = frozenset({"ready", "metrics", "metrics_generated", "api_echo"})
"""Probes and scrapes: many, and all alike."""
_QUERY_SHOWN_MAX = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, body and type of a reply."""

    body: bytes = b""
    status: int = 200
    media_type: str | None = TEXT
    headers: dict[str, str] = field(default_factory=dict)
    compress: bool = True
    """False where the body is small, or compressed already."""


Handler = Callable[[Request], Awaitable[Answer]]


def text(body: str, status: int = 200) -> Answer:
    """Make a plain-text answer."""
    return Answer(body=body.encode(), status=status)


def accepts_gzip(request: Request) -> bool:
    """Tell whether the caller takes gzip."""
    for offer in request.headers.get("accept-encoding", "").split(","):
        name, _, weight = offer.strip().partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0")
    return False


def compress(body: bytes) -> bytes:
    """Pack a body; the same bytes for the same body."""
    return gzip.compress(body, _GZIP_LEVEL, mtime=0)


def packed(answer: Answer, *, gzipped: bool) -> Answer:
    """Compress an answer if that is worth it; meant for the pool that made a large body."""
    if not answer.compress or len(answer.body) < _GZIP_BYTES_MIN:
        return answer
    headers = answer.headers | {"Vary": "Accept-Encoding"}
    if gzipped:
        headers["Content-Encoding"] = "gzip"
    return Answer(
        body=compress(answer.body) if gzipped else answer.body,
        status=answer.status,
        media_type=answer.media_type,
        headers=headers,
        compress=False,
    )


def route_label(path: str) -> str:
    """Name a route as dashboards do: ``/api/traces/{traceID}`` is ``api_traces_traceid``."""
    path = path.replace(":path}", "}")
    words = "".join(c.lower() if c.isalnum() else " " for c in path).split()
    return "_".join(words) or "root"


class Routes:
    """Adds routes to an application, each with the same rim around its handler."""

    def __init__(self, metrics: Metrics, clock: Clock, tracing: Tracing) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._clock = clock
        self._listed: list[tuple[str, str]] = []
        self._handlers: dict[str, Handler] = {}
        self.app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
        self.app.add_exception_handler(HTTPException, self._http_exception)

    @property
    def listed(self) -> list[tuple[str, str]]:
        """Path and methods of every route, in order."""
        return list(self._listed)

    def add(self, path: str, handler: Handler, *, methods: list[str] | None = None) -> None:
        """Serve ``path``; without ``methods`` any method is the same request."""
        label = route_label(path)

        async def answer(request: Request) -> Response:
            return await self._answer(request, handler, label)

        self._listed.append((path, ", ".join(methods or ["any"])))
        self._handlers[path] = handler
        self.app.add_api_route(path, answer, methods=methods or ANY_METHOD, response_model=None)

    def mount(self, path: str, endpoint: ASGIApp) -> None:
        """Serve ``path`` by something that speaks ASGI itself."""
        self._listed.append((path, "any"))
        self.app.router.routes.append(Route(path, endpoint))

    async def ask(
        self, path: str, query: Mapping[str, str], *, asker: Headers, **path_params: str
    ) -> Answer:
        """Ask a route on behalf of a language model; errors are answers, too.

        Args:
            path: as it was added.
            asker: headers of whoever the answer is for; its tenant and its login count.
        """
        names = ("x-scope-orgid", "authorization")
        headers = [(name, value) for name in names for value in asker.getlist(name)]
        headers.append(("accept", "application/vnd.grafana.llm"))
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "path_params": path_params,
            "query_string": urlencode(query).encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        }
        label = route_label(path)
        return await self._answered(Request(scope, _nothing_more), self._handlers[path], label)

    async def _answer(self, request: Request, handler: Handler, label: str) -> Response:
        answer = await self._answered(request, handler, label)
        # text/plain; X-Content-Type-Options as Go's http.Error sets it
        response = Response(answer.body, status_code=answer.status, headers=answer.headers)
        if answer.media_type is not None:
            response.headers["Content-Type"] = answer.media_type
        return response

    async def _answered(self, request: Request, handler: Handler, label: str) -> Answer:
        if label in _UNTRACED:
            return await self._timed(request, handler, label)
        with self._tracing.request(f"{request.method} {label}", request.headers) as span:
            answer = await self._timed(request, handler, label)
            span.set_attributes(
                {
                    "http.request.method": request.method,
                    "http.route": label,
                    "url.path": request.url.path,
                    "url.query": request.url.query[:_QUERY_SHOWN_MAX],
                }
            )
            set_outcome(span, answer.status)
            return answer

    async def _timed(self, request: Request, handler: Handler, label: str) -> Answer:
        started_ns = self._clock.monotonic_ns()
        inflight = self._metrics.inflight_requests.labels(request.method, label)
        try:
            with inflight.track_inprogress():
                answer = packed(await handler(request), gzipped=accepts_gzip(request))
        except ClientDisconnect:
            answer = text("context canceled", 499)
        except Exception as error:  # noqa: BLE001 - the rim: each error becomes a status
            refusal = refuse(error)
            headers = {}
            if refusal.http_status in (429, 503):
                headers["Retry-After"] = refusal.retry_after_header
            # the 401 ends its line, like all that Go's http.Error writes
            end = "\n" if refusal.http_status == 401 else ""
            body = (refusal.message + end).encode()
            answer = Answer(body=body, status=refusal.http_status, headers=headers)
        self._observe(request.method, label, answer.status, started_ns)
        return answer

    def _observe(self, method: str, label: str, status: int, started_ns: int) -> None:
        seconds = (self._clock.monotonic_ns() - started_ns) / 1e9
        labels = (method, label, str(status), "false")
        self._metrics.request_seconds.labels(*labels).observe(seconds)

    async def _http_exception(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        self._observe(request.method, "notfound", status, self._clock.monotonic_ns())
        body = "405 method not allowed\n" if status == 405 else "404 page not found\n"
        headers = {"Content-Type": TEXT, "X-Content-Type-Options": "nosniff"}
        return Response(body, status_code=status, headers=headers)


async def _nothing_more() -> Message:
    """Be a client that stays: the request is all, and nobody hangs up."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets the event")

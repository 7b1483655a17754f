"""A real HTTP server between a client and an S3 server, which does to requests what it is told.

The host that the client signed is passed on as it is, so that signatures stay true.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Fault(Enum):
    """What becomes of a request."""

    NONE = auto()
    """It is passed on, and its answer passed back."""
    LOST_ANSWER = auto()
    """It is passed on, and the connection is reset instead of its answer."""
    RESET = auto()
    """The connection is reset, and nothing passed on."""
    SLOW_DOWN = auto()
    """503 SlowDown, and nothing passed on."""
    INTERNAL = auto()
    """It is passed on, and 500 InternalError answered."""
    CONFLICT = auto()
    """409 ConditionalRequestConflict, and nothing passed on."""
    CUT = auto()
    """Half of the body of its answer comes, then the connection ends."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]


_SAID = {
    Fault.SLOW_DOWN: (503, "SlowDown"),
    Fault.INTERNAL: (500, "InternalError"),
    Fault.CONFLICT: (409, "ConditionalRequestConflict"),
}


class S3Proxy:
    """Where it answers, what came, and what is to become of the next requests."""

    def __init__(self, endpoint: str, upstream: str) -> None:
        self.endpoint = endpoint
        self.upstream = upstream
        self.seen: list[Seen] = []
        self.decide: Callable[[Seen], Fault] = lambda _: Fault.NONE

    def next_of(self, method: str, *faults: Fault) -> None:
        """Let the next requests of a method have these faults, one after the other."""
        left = list(faults)
        lock = threading.Lock()

        def decide(seen: Seen) -> Fault:
            with lock:
                return left.pop(0) if seen.method == method and left else Fault.NONE

        self.decide = decide


@contextmanager
def running_proxy(upstream: str) -> Iterator[S3Proxy]:
    """Run a proxy in front of host:port."""
    proxies: list[S3Proxy] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            _handle(self, proxies[0])

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815 - http.server

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxies.append(S3Proxy(f"127.0.0.1:{server.server_port}", upstream))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxies[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handle(handler: BaseHTTPRequestHandler, proxy: S3Proxy) -> None:
    body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    seen = Seen(method=handler.command, path=handler.path, headers=dict(handler.headers.items()))
    proxy.seen.append(seen)
    fault = proxy.decide(seen)
    if fault is Fault.RESET:
        _reset(handler)
        return
    if fault in (Fault.SLOW_DOWN, Fault.CONFLICT):
        _say(handler, *_SAID[fault])
        return
    status, headers, answer = _pass_on(handler, proxy, body)
    if fault is Fault.LOST_ANSWER:
        _reset(handler)
    elif fault is Fault.INTERNAL:
        _say(handler, *_SAID[fault])
    else:
        _answer(handler, status, headers, answer, cut=fault is Fault.CUT)


def _pass_on(
    handler: BaseHTTPRequestHandler, proxy: S3Proxy, body: bytes
) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection(proxy.upstream, timeout=30)
    connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
    for name, value in handler.headers.items():
        if name.lower() not in ("expect", "connection"):
            connection.putheader(name, value)
    connection.endheaders(body)
    reply = connection.getresponse()
    answer = reply.read()
    connection.close()
    return reply.status, reply.getheaders(), answer


def _answer(
    handler: BaseHTTPRequestHandler,
    status: int,
    headers: list[tuple[str, str]],
    answer: bytes,
    *,
    cut: bool,
) -> None:
    handler.send_response_only(status)
    length = str(len(answer))
    for name, value in headers:
        if name.lower() == "content-length":
            length = value
        elif name.lower() not in ("transfer-encoding", "connection"):
            handler.send_header(name, value)
    if status not in (204, 304):
        handler.send_header("Content-Length", length)
    handler.end_headers()
    handler.wfile.write(answer[: len(answer) // 2] if cut else answer)
    handler.close_connection = cut


def _say(handler: BaseHTTPRequestHandler, status: int, code: str) -> None:
    text = f"<Error><Code>{code}</Code><Message>by the proxy</Message></Error>".encode()
    _answer(handler, status, [("Content-Type", "application/xml")], text, cut=False)


def _reset(handler: BaseHTTPRequestHandler) -> None:
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.close_connection = True
    handler.connection.close()

"""A server as a backend: what is sent, and what its refusals and its silence become."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from support.server import free_ports

from tracestore.api.headers import MISSING_HEADER
from tracestore.client.http import HttpBackend
from tracestore.errors import (
    DeadlineError,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    TracestoreError,
    UnavailableError,
)
from tracestore.model.ids import parse_trace_id


class Replies(HTTPServer):
    """Gives one reply to everything, and remembers what it was asked."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.headers = headers
        self.status = status
        self.body = body
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Replies

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def replying(status: int = 200, body: bytes = b"{}", **headers: str) -> Iterator[Replies]:
    with Replies(status, body, headers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_what_is_sent() -> None:
    with replying() as server:
        backend = HttpBackend(f"{server.url}/tempo/", headers={"X-Scope-OrgID": "a"})
        assert backend.search({"q": '{ .a = "ä&b" }', "limit": "5"}) == b"{}"
        assert backend.trace(parse_trace_id("ab")) == b"{}"

    (search, headers), (trace, _) = server.asked
    assert search == "/tempo/api/search?q=%7B+.a+%3D+%22%C3%A4%26b%22+%7D&limit=5"
    assert trace == f"/tempo/api/v2/traces/{'ab'.zfill(32)}"
    assert headers["accept"] == "application/json"
    assert headers["x-scope-orgid"] == "a"


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (400, InvalidRequestError, "^why$"),
        (401, InvalidRequestError, r"refuses \(401\): why"),
        (404, NotFoundError, r"refuses \(404\): why: no trace store answers there"),
        (429, LimitExceededError, r"refuses \(429\): why"),
        (500, UnavailableError, r"refuses \(500\): why"),
        (503, UnavailableError, r"refuses \(503\): why"),
        (504, DeadlineError, r"refuses \(504\): why"),
    ],
)
def test_a_refusal_is_an_error_with_its_reason(
    status: int, kind: type[TracestoreError], message: str
) -> None:
    with replying(status, b"why\n") as server, pytest.raises(kind, match=message):
        HttpBackend(server.url).search({})


def test_a_server_that_does_not_answer_is_named() -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"

    with pytest.raises(UnavailableError) as caught:
        HttpBackend(url).search({})
    assert str(caught.value) == f"no server answers at {url}: Connection refused"


@pytest.mark.parametrize("url", ["localhost:3200", "ftp://host", "http://", ""])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="expected a URL such as"):
        HttpBackend(url)


def test_what_a_partial_answer_lacks_is_said(caplog: pytest.LogCaptureFixture) -> None:
    headers = {MISSING_HEADER: "b1,b2"}
    with caplog.at_level(logging.WARNING), replying(**headers) as server:
        HttpBackend(server.url).search({"q": "{}", "partial": "allow"})

    assert f"{server.url} could not read 2 of its blocks" in caplog.text
    assert "(b1, b2)" in caplog.text

"""One request of an HTTP/2 connection as an ASGI call.

Source: RFC 9113, section 8; ASGI specification 3.0, "HTTP & WebSocket".
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import h2.errors
import h2.exceptions

if TYPE_CHECKING:
    from tracestore.api.http2 import AsgiApp, Http2Protocol, Message

log = logging.getLogger(__name__)

_OF_HTTP1 = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
"""Headers that an application may send, and that have no place in HTTP/2."""


class Http2Stream:
    """A request and its answer."""

    def __init__(
        self, connection: Http2Protocol, stream_id: int, headers: list[tuple[bytes, bytes]]
    ) -> None:
        self.id = stream_id
        self.window_opened = asyncio.Event()
        """Set when the client may take more."""
        self._connection = connection
        self._pseudo = {name: value for name, value in headers if name.startswith(b":")}
        self._headers = [(name, value) for name, value in headers if not name.startswith(b":")]
        self._parts: deque[tuple[bytes, int]] = deque()
        self._has_end = False
        self._was_end_given = False
        self._arrived = asyncio.Event()
        self._is_gone = False
        self._is_answered = False
        self._start: Message | None = None
        self._is_started = False

    # ---- what the connection says

    def receive_data(self, data: bytes, length: int) -> None:
        """Take a part of the body. ``length``: what it counts for in flow control."""
        if self._is_answered:
            self._connection.take_credit(self.id, length)
            return
        self._parts.append((data, length))
        self._arrived.set()

    def receive_end(self) -> None:
        """The request is whole."""
        self._has_end = True
        self._arrived.set()

    def disconnect(self) -> None:
        """Nobody waits for the answer any more."""
        self._is_gone = True
        self._arrived.set()
        self.window_opened.set()

    def give_up_body(self) -> None:
        """Let others have the room that an unread body takes."""
        while self._parts:
            self._connection.take_credit(self.id, self._parts.popleft()[1])

    def check_connected(self) -> None:
        """Raises: ConnectionError if the client is gone."""
        if self._is_gone or self._connection.transport.is_closing():
            raise ConnectionError("the client is gone")

    @property
    def has_ended(self) -> bool:
        """Whether the client has nothing more to send, or is gone."""
        return self._has_end or self._is_gone

    # ---- the ASGI call

    async def run(self, app: AsgiApp) -> None:
        """Answer the request. What goes wrong in the application ends this stream alone."""
        try:
            await app(self._scope(), self._receive, self._send)
        except ConnectionError as error:
            log.debug("stream ended early", extra={"error": str(error)})
        except Exception as error:
            log.error("request failed", exc_info=error)
        if not self._is_answered:
            self._connection.reset(self.id, h2.errors.ErrorCodes.INTERNAL_ERROR)
            self.disconnect()
        self._is_answered = True

    def _scope(self) -> dict[str, Any]:
        raw_path, _, query = self._pseudo.get(b":path", b"/").partition(b"?")
        headers = self._headers
        if b":authority" in self._pseudo and not any(name == b"host" for name, _ in headers):
            headers = [(b"host", self._pseudo[b":authority"]), *headers]
        peer = self._connection.transport.get_extra_info("peername")
        own = self._connection.transport.get_extra_info("sockname")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "2",
            "method": self._pseudo.get(b":method", b"GET").decode("latin-1"),
            "scheme": "http",
            "path": unquote(raw_path.decode("latin-1")),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": None if peer is None else tuple(peer[:2]),
            "server": None if own is None else tuple(own[:2]),
            "state": {},
            "extensions": {"http.response.trailers": {}},
        }

    async def _receive(self) -> Message:
        while True:
            if self._is_gone or self._is_answered:
                return {"type": "http.disconnect"}
            if self._parts:
                data, length = self._parts.popleft()
                self._connection.take_credit(self.id, length)
                self._connection.flush()
                more = bool(self._parts) or not self._has_end
                self._was_end_given = not more
                return {"type": "http.request", "body": data, "more_body": more}
            if self._has_end and not self._was_end_given:
                self._was_end_given = True
                return {"type": "http.request", "body": b"", "more_body": False}
            self._arrived.clear()
            await self._arrived.wait()

    async def _send(self, message: Message) -> None:
        """Send a part of the answer. What nobody takes any more is dropped, as ASGI asks."""
        try:
            self.check_connected()
            match message["type"]:
                case "http.response.start":
                    self._start = message
                case "http.response.body":
                    await self._send_body(message)
                case "http.response.trailers":
                    self._send_trailers(message)
        except (ConnectionError, h2.exceptions.H2Error) as error:
            log.debug("stream ended early", extra={"error": str(error)})
            self.disconnect()

    async def _send_body(self, message: Message) -> None:
        assert self._start is not None
        body = message.get("body", b"")
        if self._pseudo.get(b":method") == b"HEAD":
            body = b""
        end = not message.get("more_body", False) and not self._start.get("trailers", False)
        if not self._is_started:
            self._send_start(end=end and not body)
            if end and not body:
                self._answered()
                return
        await self._connection.send_data(self, body, end=end)
        if end:
            self._answered()

    def _send_trailers(self, message: Message) -> None:
        headers = _clean(message.get("headers", ()))
        if not self._is_started:
            # nothing but a status: one frame
            self._send_start(end=True, more=headers)
        else:
            self._connection.send_headers(self.id, headers, end=True)
        self._answered()

    def _send_start(self, *, end: bool, more: list[tuple[bytes, bytes]] | None = None) -> None:
        assert self._start is not None
        headers = [
            (b":status", str(self._start["status"]).encode()),
            *_clean(self._start.get("headers", ())),
            *self._connection.default_headers,
            *(more or ()),
        ]
        self._is_started = True
        self._connection.send_headers(self.id, headers, end=end)

    def _answered(self) -> None:
        self._is_answered = True
        self._arrived.set()


def _clean(headers: Any) -> list[tuple[bytes, bytes]]:
    lower = [(bytes(name).lower(), bytes(value)) for name, value in headers]
    return [(name, value) for name, value in lower if name not in _OF_HTTP1]

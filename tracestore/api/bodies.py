"""Bodies of the receivers' HTTP requests: read within a limit, or refused without being read."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from tracestore.errors import TooLargeError
from tracestore.services.distributor.service import Distributor

_LINGER_BYTES = 8 << 20
_LINGER_S = 2.0


async def read_body(
    request: Request, held: ExitStack, distributor: Distributor, *, bytes_max: int
) -> bytearray:
    """Read a body, never more than the limit, counted as in flight while it is here.

    Args:
        held: ends the counting.

    Raises: TooLargeError; UnavailableError if too much is in flight.
    """
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isascii() and announced.isdigit() else 0
    if size > bytes_max:
        raise TooLargeError("http: request body too large")
    held.enter_context(distributor.hold(size))
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > bytes_max:
            raise TooLargeError("http: request body too large")
        if not announced:
            held.enter_context(distributor.hold(len(piece)))
    return body


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

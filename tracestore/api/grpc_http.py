"""gRPC on the port of the API: calls come as HTTP/2 requests beside all others.

As in Tempo, a request with the content type of gRPC is a call, everything else goes to the HTTP
routes. All methods take one message and answer with a stream.

Source: gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md); wire contract, section 12.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

from google.rpc.code_pb2 import Code

from tracestore.api.http2 import AsgiApp, Message
from tracestore.api.streaming import CallError, StreamingCalls

_CONTENT_TYPE = re.compile(rb"application/grpc(\+proto)?\s*(;.*)?", re.IGNORECASE | re.DOTALL)
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_PREFIX_BYTES = 5

_START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"application/grpc"),
        (b"grpc-accept-encoding", b"identity,gzip"),
    ],
    "trailers": True,
}

Receive = Callable[[], Awaitable[Message]]
AsgiSend = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcOrHttp:
    """The ASGI application of HTTP/2 connections."""

    calls: StreamingCalls
    http: AsgiApp
    request_bytes_max: int

    async def __call__(self, scope: Message, receive: Receive, send: AsgiSend) -> None:
        """Answer a request."""
        headers = dict(scope["headers"])
        if not headers.get(b"content-type", b"").lower().startswith(b"application/grpc"):
            await self.http(scope, receive, send)
            return
        if scope["method"] != "POST" or not _CONTENT_TYPE.fullmatch(headers[b"content-type"]):
            status = 415 if scope["method"] == "POST" else 405
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await send(_START)
        try:
            await self._call(scope, headers, receive, send)
            error = CallError(Code.OK, "")
        except CallError as raised:
            error = raised
        await send({"type": "http.response.trailers", "headers": _trailers(error)})

    async def _call(
        self, scope: Message, headers: dict[bytes, bytes], receive: Receive, send: AsgiSend
    ) -> None:
        """Run a call. Raises: CallError."""
        name = scope["path"]
        if not self.calls.has(name):
            raise CallError(Code.UNIMPLEMENTED, "Method not found!")  # as grpc says it
        metadata = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        timeout_s = _timeout_s(headers.get(b"grpc-timeout"))
        encoding = headers.get(b"grpc-encoding", b"").decode("latin-1")

        async def send_message(message: bytes) -> None:
            frame = b"\0" + len(message).to_bytes(4, "big") + message
            await send({"type": "http.response.body", "body": frame, "more_body": True})

        try:
            async with asyncio.timeout(timeout_s):
                body = await self._read(receive)
                request = _unpack(body, encoding, self.request_bytes_max)
                await _while_connected(
                    receive, lambda: self.calls.run(name, request, metadata, send_message)
                )
        except TimeoutError:
            raise CallError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded") from None

    async def _read(self, receive: Receive) -> bytes:
        """Read the body. Raises: CallError if it is too large; ConnectionError."""
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the client went away before the request was whole")
            parts.append(message["body"])
            size += len(message["body"])
            if size > self.request_bytes_max + _PREFIX_BYTES:
                raise _too_large(size, self.request_bytes_max)
            more = message["more_body"]
        return b"".join(parts)


async def _while_connected(receive: Receive, work: Callable[[], Awaitable[None]]) -> None:
    """Run ``work``, and cancel it when the client goes away. Raises: ConnectionError then."""
    failure: list[Exception] = []

    async def run() -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - carried around the task group, raised below
            failure.append(error)
        finally:
            watcher.cancel()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        failure.append(ConnectionError("the client is gone"))
        runner.cancel()

    async with asyncio.TaskGroup() as tasks:
        watcher = tasks.create_task(watch())
        runner = tasks.create_task(run())
    if failure:
        raise failure[0]


def _unpack(body: bytes, encoding: str, bytes_max: int) -> bytes:
    """Get the one message of a request. Raises: CallError."""
    if len(body) < _PREFIX_BYTES:
        raise CallError(Code.INTERNAL, "the request has no message")
    message = body[_PREFIX_BYTES:]
    if len(message) != int.from_bytes(body[1:_PREFIX_BYTES], "big"):
        raise CallError(Code.INTERNAL, "the request is not one whole message")
    if body[0] == 0:
        return message
    if body[0] != 1 or encoding not in ("gzip", "deflate"):
        raise CallError(Code.UNIMPLEMENTED, f"compression {encoding or 'unknown'} is not taken")
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        message = unpacker.decompress(message, bytes_max + 1)
    except zlib.error as error:
        raise CallError(Code.INTERNAL, f"the request cannot be decompressed: {error}") from error
    if len(message) > bytes_max:
        raise _too_large(len(message), bytes_max)
    if not unpacker.eof:
        raise CallError(Code.INTERNAL, "the request cannot be decompressed: it ends early")
    return message


def _too_large(size: int, bytes_max: int) -> CallError:
    return CallError(
        Code.RESOURCE_EXHAUSTED, f"Received message larger than max ({size} vs. {bytes_max})"
    )


def _timeout_s(header: bytes | None) -> float | None:
    """Read ``grpc-timeout``. Raises: CallError."""
    if header is None:
        return None
    text = header.decode("latin-1")
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise CallError(Code.INTERNAL, f"grpc-timeout is {text!r}, not digits and a unit")
    return int(match[1]) * _UNIT_S[match[2]]


def _trailers(error: CallError) -> list[tuple[bytes, bytes]]:
    trailers = [(b"grpc-status", str(error.code).encode())]
    if error.message:
        safe = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
        trailers.append((b"grpc-message", quote(error.message, safe=safe).encode()))
    return trailers

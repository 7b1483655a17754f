"""gRPC between the processes of a cluster: bytes in, bytes out, and errors that keep their class.

A handler raises what it would raise to a caller in its own process, and the caller gets that:
class, message, delay. What never came to a handler (nobody there, too slow, gone in between) is
``UnreachableError``. Both asyncio and blocking channels take the errors from here.

Source: gRPC status codes, https://grpc.io/docs/guides/status-codes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
from grpc import aio

from tracestore.errors import (
    ConflictError,
    CorruptionError,
    DeadlineError,
    InvalidRequestError,
    LimitExceededError,
    MalformedError,
    NoTenantError,
    NotFoundError,
    TooLargeError,
    TracestoreError,
    UnavailableError,
    UnreachableError,
)

log = logging.getLogger(__name__)

TENANT_KEY = "x-scope-orgid"
NO_METRICS_KEY = "no-generate-metrics"
"""Of the requests of senders too: no metrics are made of the spans, whatever the value."""
ERROR_KEY = "tracestore-error-bin"
"""Trailer with the class of an error and what belongs to it, as JSON."""
MESSAGE_BYTES_MAX = 2048
"""Longest message of an error; headers have 8 KiB together."""
WRAPPING_BYTES_MAX = 1 << 20
"""What a message between processes may have beside the request of a sender in it."""

_STATUS = grpc.StatusCode
_CODES: Mapping[type[TracestoreError], grpc.StatusCode] = {
    MalformedError: _STATUS.INVALID_ARGUMENT,
    TooLargeError: _STATUS.INVALID_ARGUMENT,
    InvalidRequestError: _STATUS.INVALID_ARGUMENT,
    NoTenantError: _STATUS.UNKNOWN,
    NotFoundError: _STATUS.NOT_FOUND,
    LimitExceededError: _STATUS.RESOURCE_EXHAUSTED,
    ConflictError: _STATUS.ABORTED,
    UnreachableError: _STATUS.UNAVAILABLE,
    UnavailableError: _STATUS.UNAVAILABLE,
    DeadlineError: _STATUS.DEADLINE_EXCEEDED,
    CorruptionError: _STATUS.DATA_LOSS,
}
_UNREACHABLE = frozenset(
    {_STATUS.UNAVAILABLE, _STATUS.DEADLINE_EXCEEDED, _STATUS.CANCELLED, _STATUS.UNIMPLEMENTED}
)

Metadata = Mapping[str, str]
"""The texts among the metadata of a call, by key."""
Unary = Callable[[bytes, Metadata], Awaitable[bytes]]
Send = Callable[[bytes], Awaitable[None]]
Sending = Callable[[bytes, Metadata, Send], Awaitable[None]]
Stream = Callable[[bytes, Metadata], AsyncIterator[bytes]]


class RpcHandler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Answers the methods that were added; any other is somebody else's."""

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {}

    def add(self, service: str, methods: Mapping[str, Unary]) -> None:
        """Serve methods that answer once."""
        for name, method in methods.items():
            handler = grpc.unary_unary_rpc_method_handler(_guarded(method))
            self._handlers[f"/{service}/{name}"] = handler

    def add_streams(self, service: str, methods: Mapping[str, Stream]) -> None:
        """Serve methods that answer in parts."""
        for name, method in methods.items():
            handler = grpc.unary_stream_rpc_method_handler(_guarded_stream(method))
            self._handlers[f"/{service}/{name}"] = handler

    def add_sending(self, service: str, methods: Mapping[str, Sending]) -> None:
        """Serve methods that send what they have to say; cancelled if the caller goes away."""
        for name, method in methods.items():
            handler = grpc.unary_stream_rpc_method_handler(_guarded_sending(method))
            self._handlers[f"/{service}/{name}"] = handler

    def service(self, handler_call_details: Any) -> Any:
        """Find the handler of a method, None if there is none."""
        return self._handlers.get(handler_call_details.method)


def _guarded(method: Unary) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def call(request: bytes, context: Any) -> bytes:
        try:
            return await method(request, _texts(context))
        except Exception as error:  # noqa: BLE001 - the rim: each error becomes a status
            failure = error
        finally:
            del request  # the error of the abort holds this frame for a while
        return await _abort(context, failure)

    return call


def _guarded_stream(method: Stream) -> Callable[[bytes, Any], AsyncIterator[bytes]]:
    async def call(request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            async for part in method(request, _texts(context)):
                yield part
        except Exception as error:  # noqa: BLE001 - the rim: each error becomes a status
            await _abort(context, error)

    return call


def _guarded_sending(method: Sending) -> Callable[[bytes, Any], Awaitable[None]]:
    async def call(request: bytes, context: Any) -> None:
        try:
            await method(request, _texts(context), context.write)
        except Exception as error:  # noqa: BLE001 - the rim: each error becomes a status
            await _abort(context, error)

    return call


async def _abort(context: Any, error: Exception) -> bytes:
    code, message, trailers = refusal_of(error)
    await context.abort(code, message, trailers)
    raise AssertionError("abort raises")


def metadata_of(tenant: str, *, counted: bool) -> tuple[tuple[str, str], ...]:
    """Make the metadata of spans on their way.

    Args:
        counted: whether metrics may be made of them.
    """
    own = ((TENANT_KEY, tenant),)
    return own if counted else (*own, (NO_METRICS_KEY, "true"))


def _texts(context: Any) -> Metadata:
    metadata = context.invocation_metadata() or ()
    return {key: value for key, value in metadata if isinstance(value, str)}


def refusal_of(error: Exception) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Turn an error into status, message, trailers; mistakes of ours are logged, and stay here."""
    if not isinstance(error, TracestoreError):
        log.error("call of another process failed", exc_info=error)
        return _STATUS.INTERNAL, "internal error, see the log of the server", ()
    message = str(error)[
        : MESSAGE_BYTES_MAX // 4
    ]  # percent-encoded it is up to three times as long
    code = _CODES.get(_known_class(error), _STATUS.UNKNOWN)
    return code, message, ((ERROR_KEY, write_error(error)),)


def write_error(error: TracestoreError) -> bytes:
    """Write the class of an error and what belongs to it, for ``read_error`` of another process."""
    content = {"class": _known_class(error).__name__, "message": str(error)[:MESSAGE_BYTES_MAX]}
    for name in ("retry_after_s", "limit", "reason", "offset", "key"):
        if (value := getattr(error, name, None)) is not None:
            content[name] = value
    return json.dumps(content).encode()


def _known_class(error: TracestoreError) -> type[TracestoreError]:
    """Find the class that others know it by."""
    return next((cls for cls in type(error).__mro__ if cls in _CODES), TracestoreError)


def error_of_call(error: Any, peer: str) -> TracestoreError:
    """Make the error that a call of another process ended with.

    Args:
        error: what grpc raised, in asyncio or not.
        peer: who was called, for the message.
    """
    for key, value in error.trailing_metadata() or ():
        if key == ERROR_KEY:
            return read_error(value)
    code, details = error.code(), error.details()
    if code in _UNREACHABLE:
        return UnreachableError(f"{peer} does not answer: {details}")
    if code is _STATUS.RESOURCE_EXHAUSTED:
        return LimitExceededError(f"{peer}: {details}", limit="gRPC")
    return UnavailableError(f"{peer}: {details}")


def read_error(written: bytes) -> TracestoreError:
    """Make the error again that ``write_error`` wrote."""
    content: dict[str, Any] = json.loads(written)
    message: str = content["message"]
    delay: float = content.get("retry_after_s", 1.0)
    match content["class"]:
        case "LimitExceededError":
            asked_s = content.get("retry_after_s")
            return LimitExceededError(message, limit=content["limit"], retry_after_s=asked_s)
        case "UnavailableError":
            return UnavailableError(message, retry_after_s=delay)
        case "UnreachableError":
            return UnreachableError(message, retry_after_s=delay)
        case "MalformedError":
            return MalformedError(content["reason"], content["offset"])
        case "CorruptionError":
            key, offset = content["key"], content.get("offset")
            where = key if offset is None else f"{key} at byte {offset}"
            return CorruptionError(message.removesuffix(f": {where}"), key=key, offset=offset)
        case name:
            plain = {cls.__name__: cls for cls in _CODES}
            return plain.get(name, UnavailableError)(message)


def channel_options(message_bytes_max: int) -> Sequence[tuple[str, int]]:
    """Get the options of a channel to another process: who is gone is noticed, who is back, too."""
    return (
        ("grpc.max_receive_message_length", message_bytes_max),
        ("grpc.max_send_message_length", message_bytes_max),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
    )


class Peers:
    """Channels to other processes by address, made when first called. Used from one event loop."""

    def __init__(self, *, message_bytes_max: int) -> None:
        """Args:
        message_bytes_max: largest message in both directions.
        """
        self._options = channel_options(message_bytes_max)
        self._channels: dict[str, aio.Channel] = {}
        self._methods: dict[tuple[str, str], Any] = {}

    async def call(
        self,
        address: str,
        method: str,
        request: bytes | bytearray,
        *,
        timeout_s: float,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> bytes:
        """Call a method that answers once.

        Args:
            address: host:port.
            method: full name, ``/tracestore.cluster.v1.Members/Hello``.

        Raises: what the other raised; UnreachableError if it did not answer.
        """
        call = self._method(address, method)
        try:
            answer: bytes = await call(bytes(request), timeout=timeout_s, metadata=tuple(metadata))
        except aio.AioRpcError as error:
            raise error_of_call(error, address) from None
        finally:
            del request  # an error holds this frame
        return answer

    def channel(self, address: str) -> aio.Channel:
        """Get the channel to an address."""
        if (channel := self._channels.get(address)) is None:
            channel = self._channels[address] = aio.insecure_channel(address, self._options)
        return channel

    def _method(self, address: str, method: str) -> Any:
        if (call := self._methods.get((address, method))) is None:
            call = self._methods[address, method] = self.channel(address).unary_unary(method)
        return call

    async def forget(self, address: str) -> None:
        """Close the channel to an address that nobody has any more."""
        for key in [key for key in self._methods if key[0] == address]:
            del self._methods[key]
        if (channel := self._channels.pop(address, None)) is not None:
            await channel.close()

    async def close(self) -> None:
        """Close all of them."""
        for address in list(self._channels):
            await self.forget(address)

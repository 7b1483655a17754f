"""Calls between processes, over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from grpc import aio

from tracestore.errors import (
    ConflictError,
    CorruptionError,
    DeadlineError,
    InvalidRequestError,
    LimitExceededError,
    MalformedError,
    NotFoundError,
    TooLargeError,
    TracestoreError,
    UnavailableError,
    UnreachableError,
)
from tracestore.services.rpc import Metadata, Peers, RpcHandler, error_of_call

METHOD = "/s/M"
MIB = 1 << 20


def with_server(
    method: Callable[[bytes, Metadata], Awaitable[bytes]],
    call: Callable[[Peers, str], Awaitable[None]],
) -> None:
    """Serve one method, and let the test call it."""

    async def scenario() -> None:
        handler = RpcHandler()
        handler.add("s", {"M": method})
        server = aio.server(options=[("grpc.max_receive_message_length", MIB)])
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        peers = Peers(message_bytes_max=4 * MIB)
        try:
            await call(peers, f"127.0.0.1:{port}")
        finally:
            await peers.close()
            await server.stop(None)

    asyncio.run(scenario())


def test_bytes_and_texts_go_there_and_bytes_come_back() -> None:
    async def echo(request: bytes, metadata: Metadata) -> bytes:
        return request + metadata["x-scope-orgid"].encode()

    async def call(peers: Peers, address: str) -> None:
        answer = await peers.call(
            address, METHOD, b"abc", timeout_s=10, metadata=[("x-scope-orgid", "me")]
        )
        assert answer == b"abcme"

    with_server(echo, call)


@pytest.mark.parametrize(
    "error",
    [
        LimitExceededError("slow down", limit="rate", retry_after_s=2.5),
        LimitExceededError("slow down", limit="rate"),
        UnavailableError("full", retry_after_s=7),
        UnreachableError("stopping"),
        MalformedError("truncated varint", 17),
        TooLargeError("too large"),
        InvalidRequestError("bad"),
        NotFoundError("nothing"),
        ConflictError("lost"),
        DeadlineError("too late"),
        CorruptionError("torn", key="a/b", offset=3),
        UnavailableError("ünïcode " * 2000),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_keep_their_class_and_what_belongs_to_it(error: TracestoreError) -> None:
    async def refuse(_request: bytes, _metadata: Metadata) -> bytes:
        raise error

    async def call(peers: Peers, address: str) -> None:
        with pytest.raises(type(error)) as caught:
            await peers.call(address, METHOD, b"", timeout_s=10)
        assert type(caught.value) is type(error)
        assert str(caught.value) == str(error)[:2048]
        long = {"message", "args"}
        assert {k: v for k, v in vars(caught.value).items() if k not in long} == {
            k: v for k, v in vars(error).items() if k not in long
        }

    with_server(refuse, call)


def test_a_mistake_of_the_other_is_not_told_but_named() -> None:
    async def fail(_request: bytes, _metadata: Metadata) -> bytes:
        raise KeyError("secret")

    async def call(peers: Peers, address: str) -> None:
        with pytest.raises(UnavailableError, match=rf"{address}: internal error") as caught:
            await peers.call(address, METHOD, b"", timeout_s=10)
        assert not isinstance(caught.value, UnreachableError)
        assert "secret" not in str(caught.value)

    with_server(fail, call)


def test_who_does_not_answer_is_unreachable() -> None:
    async def never(_request: bytes, _metadata: Metadata) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def call(peers: Peers, address: str) -> None:
        with pytest.raises(UnreachableError, match="does not answer"):
            await peers.call(address, METHOD, b"", timeout_s=0.1)
        with pytest.raises(UnreachableError, match="does not answer"):
            await peers.call("127.0.0.1:1", METHOD, b"", timeout_s=10)
        with pytest.raises(UnreachableError, match="does not answer"):
            await peers.call(address, "/s/Other", b"", timeout_s=10)

    with_server(never, call)


def test_a_message_over_the_bound_is_a_limit() -> None:
    async def echo(request: bytes, _metadata: Metadata) -> bytes:
        return request

    async def call(peers: Peers, address: str) -> None:
        with pytest.raises(LimitExceededError, match="larger than max"):
            await peers.call(address, METHOD, bytes(2 * MIB), timeout_s=10)

    with_server(echo, call)


def test_a_channel_that_was_let_go_is_made_anew() -> None:
    async def echo(request: bytes, _metadata: Metadata) -> bytes:
        return request

    async def call(peers: Peers, address: str) -> None:
        assert await peers.call(address, METHOD, b"1", timeout_s=10) == b"1"
        await peers.forget(address)
        assert await peers.call(address, METHOD, b"2", timeout_s=10) == b"2"

    with_server(echo, call)


def test_an_answer_in_parts_ends_with_the_error_of_the_other() -> None:
    async def parts(request: bytes, _metadata: Metadata) -> AsyncIterator[bytes]:
        yield request
        raise NotFoundError("no more")

    async def scenario() -> None:
        handler = RpcHandler()
        handler.add_streams("s", {"M": parts})
        server = aio.server()
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        received = []
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                async for part in channel.unary_stream(METHOD)(b"x", timeout=10):
                    received.append(part)
            except aio.AioRpcError as error:
                failure = error_of_call(error, "peer")
        await server.stop(None)
        assert received == [b"x"]
        assert isinstance(failure, NotFoundError)
        assert str(failure) == "no more"

    asyncio.run(scenario())

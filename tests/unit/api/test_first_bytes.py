"""The port of the API under what networks and strangers send: garbage, nothing, too much."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import httpx
from support.streaming import GatedSource, StreamingApi, streaming_api, with_limits
from support.tempopb import message, method

from tracestore.api.first_bytes import PREFACE

TIMEOUT_S = 30.0
SOON = with_limits(http_first_request_timeout_s=0.3, http2_idle_timeout_s=0.3)


def source() -> GatedSource:
    return GatedSource("s", {1: 1}, is_open=True)


def run(check: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(check())  # type: ignore[arg-type]  # a coroutine is what it is


async def answers(api: StreamingApi) -> None:
    """See that HTTP and gRPC are answered."""
    asked = method(api.channel("api"), "Search")(message("SearchRequest")(Query="{}"), timeout=30)
    assert len([answer async for answer in asked]) >= 1
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://{api.api_port}/api/search")).status_code == 200


async def say(api: StreamingApi, *parts: bytes) -> bytes:
    """Send some bytes and take what comes until the server closes."""
    reader, writer = await asyncio.open_connection(*api.address)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(TIMEOUT_S):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_garbage_is_refused_and_harms_nobody() -> None:
    rng = random.Random(7)
    garbage = [rng.randbytes(rng.randint(1, 200)) for _ in range(40)]
    garbage += [PREFACE + rng.randbytes(rng.randint(1, 200)) for _ in range(40)]
    garbage += [PREFACE[:n] + rng.randbytes(8) for n in range(1, len(PREFACE))]
    garbage += [b"\r\n" * 50, b"\0" * 100, b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\n"]

    async def check() -> None:
        async with streaming_api([source()], server=SOON) as api:
            async with asyncio.TaskGroup() as tasks:
                for one in garbage:
                    tasks.create_task(say(api, one))
            await answers(api)

    run(check)


def test_frames_that_are_cut_or_bent_end_their_connection_alone() -> None:
    """A real conversation with one byte of it changed, or its end missing."""
    rng = random.Random(11)
    spoken = PREFACE + bytes.fromhex(
        "000000040000000000"  # SETTINGS
        "00000a010500000001828684"  # HEADERS: GET, http, /
        "4105" + b"x:123".hex() + "000008060000000000" + "0102030405060708"  # PING
    )
    bent = [spoken[:n] for n in range(len(PREFACE), len(spoken))]
    for _ in range(60):
        place = rng.randrange(len(PREFACE), len(spoken))
        bent.append(spoken[:place] + bytes([rng.randrange(256)]) + spoken[place + 1 :])

    async def check() -> None:
        async with streaming_api([source()], server=SOON) as api:
            async with asyncio.TaskGroup() as tasks:
                for one in bent:
                    tasks.create_task(say(api, one))
            await answers(api)

    run(check)


def test_who_says_nothing_or_too_little_is_closed_in_time() -> None:
    async def check() -> None:
        async with streaming_api([source()], server=SOON) as api:
            for beginning in (b"", b"P", PREFACE[:10], b"G", b"GET / HTTP/1.1\r\nHost: x\r\nA"):
                assert await say(api, beginning) == b"", beginning
            refused = "tracestore_http_refused_connections_total"
            assert api.metrics.value(refused, reason="timeout") == 5
            await answers(api)

    run(check)


def test_a_preface_in_pieces_is_taken() -> None:
    pieces = [PREFACE[n : n + 1] for n in range(len(PREFACE))]

    async def check() -> None:
        async with streaming_api([source()]) as api:
            reader, writer = await asyncio.open_connection(*api.address)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            async with asyncio.timeout(TIMEOUT_S):
                header = await reader.readexactly(9)
            writer.close()
            assert header[3] == 4  # SETTINGS

    run(check)


def test_a_request_that_took_its_time_is_answered_while_a_query_runs_longer() -> None:
    """The limit is for the request, not for its answer."""
    held = GatedSource("s", {1: 1})

    async def check() -> None:
        async with streaming_api([held], server=SOON) as api, httpx.AsyncClient() as client:
            asked = asyncio.ensure_future(
                client.get(f"http://{api.api_port}/api/search", timeout=TIMEOUT_S)
            )
            await asyncio.sleep(0.5)
            held.gate.set()
            assert (await asked).status_code == 200

    run(check)


def test_connections_are_counted_and_bounded() -> None:
    async def check() -> None:
        limits = with_limits(http_listen_conn_limit=2)
        async with streaming_api([source()], server=limits) as api:
            open_ones = [await asyncio.open_connection(*api.address) for _ in range(2)]
            assert await say(api, b"GET / HTTP/1.1\r\n\r\n") == b""
            assert api.metrics.value("tracestore_http_connections") == 2
            assert (
                api.metrics.value("tracestore_http_refused_connections_total", reason="limit") == 1
            )
            for _, writer in open_ones:
                writer.close()
                await writer.wait_closed()
            async with asyncio.timeout(TIMEOUT_S):
                while api.metrics.value("tracestore_http_connections"):
                    await asyncio.sleep(0.01)
            async with httpx.AsyncClient() as client:
                assert (await client.get(f"http://{api.api_port}/api/search")).is_success

    run(check)

"""Streams while a query runs: they grow, stop, wait their turn, and end as they should."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx
import pytest
from grpc import aio
from support.streaming import GatedSource, StreamingApi, eager, streaming_api, with_limits
from support.tempopb import message, method

PORTS = ["own", "api"]
TIMEOUT_S = 30.0


def ids(answer: Any) -> list[int]:
    return [int(trace.traceID, 16) for trace in answer.traces]


def ask(channel: aio.Channel, query: str = "{}", **fields: Any) -> Any:
    asked = message("SearchRequest")(Query=query, Limit=fields.pop("Limit", 1000), **fields)
    return method(channel, "Search")(asked, timeout=TIMEOUT_S)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def reached(event: threading.Event) -> None:
    await until(event.is_set)


def run(check: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(check())  # type: ignore[arg-type]  # a coroutine is what it is


@pytest.mark.parametrize("port", PORTS)
def test_results_grow_as_sources_are_read(port: str) -> None:
    newest = GatedSource("newest", {1: 900, 2: 910}, is_open=True)
    middle = GatedSource("middle", {3: 500})
    oldest = GatedSource("oldest", {4: 100, 5: 110})

    async def check() -> None:
        async with streaming_api([oldest, newest, middle]) as api:
            call = aiter(ask(api.channel(port)))
            seen = [await anext(call)]
            while not ids(seen[-1]):
                seen.append(await anext(call))
            assert ids(seen[-1]) == [2, 1]
            assert not middle.gate.is_set()
            middle.gate.set()
            oldest.gate.set()
            seen += [answer async for answer in call]

        assert ids(seen[-1]) == [2, 1, 3, 5, 4]
        diffs = [trace for answer in seen[:-1] for trace in ids(answer)]
        assert diffs in ([2, 1], [2, 1, 3])  # each once; the last may come with the end
        assert all(answer.HasField("metrics") for answer in seen)
        jobs = [answer.metrics.completedJobs for answer in seen]
        assert jobs == sorted(jobs)
        assert jobs[-1] == 3
        assert {answer.metrics.totalJobs for answer in seen} == {3}

    run(check)


@pytest.mark.parametrize("port", PORTS)
def test_a_client_that_goes_away_stops_the_query_and_frees_its_thread(port: str) -> None:
    first = GatedSource("first", {1: 900})
    second = GatedSource("second", {2: 100}, is_open=True)

    async def check() -> None:
        async with streaming_api([first, second], threads=1) as api:
            call = ask(api.channel(port))
            await reached(first.reached)
            assert api.pool.outstanding == 1

            call.cancel()
            calls = ("tempo_request_duration_seconds_count", "/tempopb.StreamingQuerier/Search")
            await until(lambda: counted(api, *calls, "cancel") == 1)
            first.gate.set()

            await until(lambda: api.pool.outstanding == 0)
            assert not second.reached.is_set()
            assert api.metrics.value(
                "tempo_query_frontend_queries_total",
                tenant="single-tenant",
                op="search",
                result="canceled",
            )

    run(check)


def counted(api: StreamingApi, sample: str, route: str, status: str) -> float:
    labels = {"method": "gRPC", "route": route, "status_code": status, "ws": "false"}
    return api.metrics.value(sample, **labels)


@pytest.mark.parametrize("port", PORTS)
def test_a_connection_that_breaks_stops_its_queries(port: str) -> None:
    first = GatedSource("first", {1: 900})
    second = GatedSource("second", {2: 100}, is_open=True)

    async def check() -> None:
        async with streaming_api([first, second], threads=1) as api:
            channel = api.channel(port)
            ask(channel)
            await reached(first.reached)

            await channel.close(0)
            route = "/tempopb.StreamingQuerier/Search"
            await until(
                lambda: counted(api, "tempo_request_duration_seconds_count", route, "cancel") == 1
            )
            first.gate.set()

            await until(lambda: api.pool.outstanding == 0)
            assert not second.reached.is_set()

    run(check)


@pytest.mark.parametrize("port", PORTS)
def test_a_hundred_streams_share_a_connection(port: str) -> None:
    first = GatedSource("first", {1: 900})
    second = GatedSource("second", {2: 100}, is_open=True)

    async def check() -> None:
        async with streaming_api([first, second]) as api:
            channel = api.channel(port)
            calls = [ask(channel) for _ in range(100)]
            await until(lambda: api.pool.outstanding == 100)
            first.gate.set()
            for call in calls:
                *_, last = [answer async for answer in call]
                assert ids(last) == [1, 2]

    run(check)


@pytest.mark.parametrize("port", PORTS)
def test_too_many_queries_are_told_so(port: str) -> None:
    held = GatedSource("held", {1: 1})

    async def check() -> None:
        settings = eager()
        async with streaming_api([held], query=settings, threads=1) as api:
            channel = api.channel(port)
            api.pool._outstanding_max = 1
            call = ask(channel)
            await reached(held.reached)
            with pytest.raises(aio.AioRpcError) as failure:
                await anext(aiter(ask(channel)))
            assert failure.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert failure.value.details() == "job queue full"
            held.gate.set()
            assert ids([answer async for answer in call][-1]) == [1]

    run(check)


@pytest.mark.parametrize("port", PORTS)
def test_a_long_answer_is_cut_into_packets(port: str) -> None:
    source = GatedSource("many", {t: t for t in range(1, 201)}, is_open=True)

    async def check() -> None:
        settings = eager(packet_bytes_max=2000)
        async with streaming_api([source], query=settings) as api:
            answers = [answer async for answer in ask(api.channel(port))]

        sizes = [answer.ByteSize() for answer in answers]
        assert max(sizes) <= 2000
        assert len(answers) > 5
        assert all(answer.HasField("metrics") for answer in answers)
        sent = [trace for answer in answers for trace in ids(answer)]
        assert sent == list(range(200, 0, -1))

    run(check)


@pytest.mark.parametrize("port", PORTS)
def test_a_deadline_of_the_client_ends_the_query(port: str) -> None:
    first = GatedSource("first", {1: 900})
    second = GatedSource("second", {2: 100}, is_open=True)

    async def check() -> None:
        async with streaming_api([first, second], threads=1) as api:
            asked = message("SearchRequest")(Query="{}")
            call = method(api.channel(port), "Search")(asked, timeout=0.3)
            with pytest.raises(aio.AioRpcError) as failure:
                [answer async for answer in call]
            assert failure.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            route = "/tempopb.StreamingQuerier/Search"
            await until(
                lambda: counted(api, "tempo_request_duration_seconds_count", route, "cancel") == 1
            )
            first.gate.set()
            await until(lambda: api.pool.outstanding == 0)
            assert not second.reached.is_set()

    run(check)


@pytest.mark.parametrize("port", PORTS)
def test_a_drain_lets_a_stream_end_and_takes_no_other(port: str) -> None:
    held = GatedSource("held", {1: 1})

    async def check() -> None:
        async with streaming_api([held]) as api:
            call = ask(api.channel(port))
            await reached(held.reached)
            server = api.grpc if port == "own" else api.http
            async with asyncio.TaskGroup() as tasks:
                draining = tasks.create_task(server.drain())
                await until(lambda: is_refused(api.own_port if port == "own" else api.api_port))
                assert not draining.done()
                held.gate.set()
                assert ids([answer async for answer in call][-1]) == [1]

    run(check)


def is_refused(target: str) -> bool:
    host, _, port = target.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return False
    except OSError:
        return True


def test_http1_and_http2_and_grpc_share_the_port() -> None:
    source = GatedSource("s", {t: t for t in range(1, 30)}, is_open=True)

    async def check() -> None:
        async with (
            streaming_api([source]) as api,
            httpx.AsyncClient() as one,
            httpx.AsyncClient(http1=False, http2=True) as two,
        ):
            channel = api.channel("api")
            url = f"http://{api.api_port}/api/search?q=%7B%7D&limit=1000"

            async def by_http(client: httpx.AsyncClient) -> list[int]:
                reply = await client.get(url, timeout=TIMEOUT_S)
                return [int(trace["traceID"], 16) for trace in reply.json()["traces"]]

            async def by_grpc() -> list[int]:
                return ids([answer async for answer in ask(channel)][-1])

            asked = [
                ask()
                for _ in range(20)
                for ask in (lambda: by_http(one), lambda: by_http(two), by_grpc)
            ]
            answers = await asyncio.gather(*asked)
            assert answers == [list(range(29, 0, -1))] * 60

    run(check)


@pytest.mark.parametrize("port", PORTS)
def test_a_request_is_bounded_and_may_be_compressed(port: str) -> None:
    source = GatedSource("s", {1: 1}, is_open=True)

    async def check() -> None:
        limits = with_limits(grpc_server_max_recv_msg_size=1000)
        async with streaming_api([source], server=limits) as api:
            channel = api.channel(port)
            asked = message("SearchRequest")(Query="{}" + " " * 900)
            packed = method(channel, "Search")(asked, compression=grpc.Compression.Gzip)
            assert ids([answer async for answer in packed][-1]) == [1]
            for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
                asked = message("SearchRequest")(Query="{}" + " " * 2000)
                call = method(channel, "Search")(asked, compression=compression)
                with pytest.raises(aio.AioRpcError) as failure:
                    await anext(aiter(call))
                assert failure.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED

    run(check)


TAG_METHODS = {
    "SearchTags": ("SearchTagsRequest", {"scope": "span"}, "tagNames"),
    "SearchTagsV2": ("SearchTagsRequest", {"scope": "span"}, "scopes"),
    "SearchTagValues": ("SearchTagValuesRequest", {"tagName": "number"}, "tagValues"),
    "SearchTagValuesV2": ("SearchTagValuesRequest", {"tagName": "span.number"}, "tagValues"),
}


@pytest.mark.parametrize("name", TAG_METHODS)
def test_names_and_values_are_sent_once_as_they_are_found_and_whole_at_the_end(name: str) -> None:
    kind, fields, items = TAG_METHODS[name]
    sources = [
        GatedSource(f"s{n}", {n: -n}, attributes={"number": n, f"only {n}": True})
        for n in range(1, 4)
    ]
    sources[0].gate.set()

    async def check() -> None:
        async with streaming_api(sources) as api:
            asked = message(kind)(**fields)
            call = aiter(method(api.channel("api"), name)(asked, timeout=TIMEOUT_S))
            seen = []
            for source in (*sources[1:], None):
                if source is not None:
                    seen.append(await anext(call))
                    source.gate.set()
            seen += [answer async for answer in call]

        assert all(answer.HasField("metrics") for answer in seen)
        sent = [flat(answer, items) for answer in seen]
        expected = ["only 1", "only 2", "only 3", "number"] if "Tags" in name else ["1", "2", "3"]
        assert sorted(sent[-1]) == sorted(expected)
        before = [one for part in sent[:-1] for one in part]
        assert len(before) == len(set(before))
        assert set(before) <= set(expected)
        assert before

    run(check)


def flat(answer: Any, items: str) -> list[str]:
    found = list(getattr(answer, items))
    if items == "scopes":
        return [tag for scope in found for tag in scope.tags]
    return [one if isinstance(one, str) else one.value for one in found]

"""What a server asks of its bucket, request by request: docs/storage.md has these numbers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import pytest
from support.otlp import EPOCH_NS, request, span
from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures
from support.s3_proxy import S3Proxy, Seen, running_proxy
from support.server import Server, running_server, wait_until

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
BLOCKS = 3
OBJECTS_OF_A_BLOCK = 8
"""Six tables, the filters, and the meta that is written last."""


@pytest.fixture
def proxy(s3: S3Place) -> Iterator[S3Proxy]:  # noqa: F811 - the fixture
    with running_proxy(s3.settings.endpoint) as running:
        yield running


@pytest.fixture
def place(s3: S3Place, proxy: S3Proxy) -> S3Place:  # noqa: F811 - the fixture
    return replace(s3, settings=replace(s3.settings, endpoint=proxy.endpoint))


def is_list(seen: Seen) -> bool:
    return "list-type" in seen.path


def is_poll(seen: Seen) -> bool:
    return seen.method == "GET" and "/index/" in seen.path


def asked(proxy: S3Proxy, since: int) -> list[Seen]:
    """Get what was asked since then, but for the polls of the index."""
    return [seen for seen in proxy.seen[since:] if not is_poll(seen)]


def send(server: Server, number: int) -> None:
    body = request(
        resource={"service.name": "shop"},
        spans=[
            span(trace=number, id=1, name="GET /", attributes={"n": number}, start_ms=number * 1000)
        ],
    )
    with grpc.insecure_channel(server.otlp_grpc) as channel:
        channel.unary_unary(EXPORT)(body, timeout=30)


def search(server: Server, query: str) -> list[str]:
    reply = httpx.get(
        f"{server.api_url}/api/search",
        params={"q": query, "start": EPOCH_NS // 10**9 - 60, "end": EPOCH_NS // 10**9 + 600},
        timeout=30,
    )
    return sorted(trace["traceID"] for trace in reply.json()["traces"])


def assert_read_once(reads: list[Seen]) -> None:
    """All are reads of blocks, none is made twice."""
    ranges = [(seen.path, seen.headers.get("Range")) for seen in reads]
    assert all(seen.method == "GET" and "/blocks/" in seen.path for seen in reads), reads
    assert len(ranges) == len(set(ranges)), ranges


def test_requests_per_start_poll_flush_and_query(
    place: S3Place, proxy: S3Proxy, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with running_server(data, *place.flags()) as server:
        assert next(s.path for s in proxy.seen if is_list(s)).endswith(
            "&max-keys=1&encoding-type=url"
        )
        assert len(proxy.seen) < 20, "the start of an empty store"

        at, begin = len(proxy.seen), time.monotonic()
        wait_until(lambda: len(proxy.seen) >= at + 4)
        assert asked(proxy, at) == [], "an idle process looks for the next commit, and that is all"
        assert time.monotonic() - begin > 1.0, "four looks in a second are too many"

        for number in range(1, BLOCKS + 1):
            send(server, number)
            at = len(proxy.seen)
            assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204
            writes = [seen.method for seen in asked(proxy, at)]
            assert writes == ["PUT"] * (OBJECTS_OF_A_BLOCK + 1), "a block and a commit"

        at = len(proxy.seen)
        assert search(server, "{ span.n >= 0 }") == ["1", "2", "3"]
        cold = asked(proxy, at)
        assert_read_once(cold)
        assert len(cold) <= BLOCKS * (OBJECTS_OF_A_BLOCK - 1), "no more than its objects"
        at = len(proxy.seen)
        assert search(server, "{ span.n >= 0 }") == ["1", "2", "3"]
        assert search(server, "{ span.n = 2 }") == ["2"]
        assert asked(proxy, at) == [], "warm"

        at = len(proxy.seen)
        assert httpx.get(f"{server.api_url}/api/traces/ff", timeout=30).status_code == 404
        assert asked(proxy, at) == [], "the filters are known by then"
        assert httpx.get(f"{server.api_url}/api/traces/2", timeout=30).status_code == 200
        assert_read_once(cold + asked(proxy, at))
    lists = sum(map(is_list, proxy.seen))
    assert lists <= 2, "only the start lists: the bucket, and logs that nobody answers for"

    with running_server(data, *place.flags()) as server:
        at = len(proxy.seen)
        assert search(server, "{ span.n >= 0 }") == ["1", "2", "3"]
        assert asked(proxy, at) == [], "the disk has it all, from before the restart"
    with running_server(tmp_path / "other", *place.flags()) as server:
        at = len(proxy.seen)
        assert httpx.get(f"{server.api_url}/api/traces/2", timeout=30).status_code == 200
        reads = asked(proxy, at)
        assert_read_once(reads)
        filters = [seen for seen in reads if seen.path.endswith("/filters")]
        assert len(filters) == BLOCKS, "a trace by ID: the filters of each block"
        assert len({seen.path.split("/")[-2] for seen in reads if seen not in filters}) == 1

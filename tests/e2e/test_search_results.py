"""What a search says beyond Tempo's fields: order, count, pages, gaps, and how it came about."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import httpx
import pytest
from support.otlp import EPOCH_NS, request, span
from support.server import Server, running_server, wait_until

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
BLOCKS = 3
TEMPO_FIELDS = {"traces", "metrics"}
STRUCTURE = {"traceID", "rootServiceName", "rootTraceName", "startTimeUnixNano", "durationMs"}


def send(server: Server, *traces: int, part: int = 0) -> None:
    """Send a root span of each trace, or a further one; trace n starts at n s, lasts n * 0.1 s."""
    spans = [
        span(
            trace=trace,
            id=100 * trace + part,
            parent=100 * trace if part else None,
            name=f"part {part}",
            status="error" if trace % 3 == 0 else None,
            start_ms=1000 * trace + part,
            duration_ms=100 * trace - 2 * part,
            attributes={"number": trace, "team": "blue" if trace % 2 else "red"},
        )
        for trace in traces
    ]
    with grpc.insecure_channel(server.otlp_grpc) as channel:
        body = request(resource={"service.name": "shop", "zone": "z1"}, spans=spans)
        channel.unary_unary(EXPORT)(body, timeout=30)
    server.wait_until_decoded()


def flush(server: Server) -> None:
    assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Traces 1 to 12 in three blocks and the live tables; 4, 8 and 12 have parts in two of them."""
    with running_server(tmp_path_factory.mktemp("data") / "store") as server:
        for block in range(BLOCKS):
            send(server, *range(4 * block + 1, 4 * block + 5))
            flush(server)
        send(server, 4, 8, 12, part=1)
        yield server


def get(server: Server, **query: object) -> httpx.Response:
    return httpx.get(f"{server.api_url}/api/search", params=query, timeout=30)  # type: ignore[arg-type]


def search(server: Server, **query: object) -> Any:
    reply = get(server, **query)
    assert reply.status_code == 200, reply.text
    return reply.json()


def ids(body: Any) -> list[int]:
    return [int(trace["traceID"], 16) for trace in body["traces"]]


def test_who_asks_for_nothing_gets_tempos_fields(server: Server) -> None:
    body = search(server, q="{ }", limit=5)

    assert body.keys() == TEMPO_FIELDS
    assert ids(body) == [12, 11, 10, 9, 8]
    assert body["metrics"]["totalJobs"] == body["metrics"]["completedJobs"] == BLOCKS + 1
    assert body["metrics"]["totalBlocks"] == BLOCKS


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("start", [1, 2, 3]),
        ("-start", [12, 11, 10]),
        ("duration", [1, 2, 3]),
        ("-duration", [12, 11, 10]),
        ("-spans", [4, 8, 12]),
        ("spans", [1, 2, 3]),
        ("-errors", [12, 3, 6]),
    ],
)
def test_orders_hold_over_blocks_and_live_tables(
    server: Server, sort: str, first: list[int]
) -> None:
    assert ids(search(server, q="{ }", sort=sort, limit=3)) == first


@pytest.mark.parametrize("sort", ["-start", "duration", "-errors"])
def test_pages_follow_one_another(server: Server, sort: str) -> None:
    query = {"q": "{ span.number > 2 }", "sort": sort, "limit": 4, "count": "true"}
    whole = ids(search(server, **query | {"limit": 100}))

    found, cursor = [], ""
    for _ in range(3):
        body = search(server, **query, cursor=cursor)
        assert body["total"] == {"traces": 10, "exact": True}
        found += ids(body)
        cursor = body.get("nextCursor", "")

    assert found == whole
    assert not cursor


def test_a_cursor_of_another_query_is_refused(server: Server) -> None:
    cursor = search(server, q="{ }", limit=1, count="true")["nextCursor"]

    reply = get(server, q="{ true }", limit=1, cursor=cursor)

    assert (reply.status_code, reply.text.strip()) == (
        400,
        "invalid cursor: it belongs to another query or sort",
    )


def test_an_answer_explains_itself(server: Server) -> None:
    explained = search(server, q="{ span.number = 6 }", explain="true")["explain"]

    assert explained["sources"]["total"] == BLOCKS + 1
    assert explained["sources"]["prunedByFilters"] == BLOCKS - 1
    assert explained["sources"]["evaluated"] == 2
    read = {(one["table"], one["column"]): one["bytes"] for one in explained["columns"]}
    assert read["spans", "span.number"] > 0
    assert ("spans", "span.team") not in read
    assert explained["stagesMs"]["evaluate"] > 0


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"tags": "team=blue zone=z1", "minDuration": "900ms"}, [11, 9]),
        ({"tags": 'service.name=sho name="part 1"'}, [12, 8, 4]),
        ({"maxDuration": "200ms"}, [2, 1]),
        ({"tags": "number=1"}, []),
    ],
)
def test_search_by_tags(server: Server, query: dict[str, str], found: list[int]) -> None:
    body = search(server, **query)

    assert ids(body) == found
    assert all(trace.keys() <= STRUCTURE for trace in body["traces"])


def test_durations_bound_a_query_too(server: Server) -> None:
    query = {"q": "{ span.number > 3 }", "minDuration": "600ms", "maxDuration": "800ms"}

    assert ids(search(server, **query)) == [8, 7, 6]


@pytest.mark.parametrize("name", ["q", "tags"])
def test_bytes_that_are_no_text_are_refused(server: Server, name: str) -> None:
    reply = httpx.get(f"{server.api_url}/api/search?{name}=%7B%20.a%20=%20%22%FF%22%20%7D")

    assert (reply.status_code, reply.text) == (400, f"invalid {name}: not valid UTF-8")


def test_a_long_query_is_read_and_one_that_is_too_long_is_told_so(server: Server) -> None:
    def ask(size: int) -> str:
        text = ("{ name = `" + "é" * (size // 2) + "` }").encode()
        head = f"GET /api/search?q={quote(text)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        host, _, port = server.api_url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(head.encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    assert ask(130_000).startswith("HTTP/1.1 200 ")
    refused = ask(132_000)
    assert refused.startswith("HTTP/1.1 400 ")
    assert "TraceQL expression exceeds the configured maximum size of 131072 bytes" in refused


def test_a_window_finds_traces_by_spans_outside_of_it(server: Server) -> None:
    """Trace 4 has its root in a block, the span asked for in the live tables."""
    second = EPOCH_NS // 10**9
    query = {"q": '{ name = "part 1" }', "start": second + 3, "end": second + 4}

    assert ids(search(server, **query)) == [4]


def test_the_structure_of_each_trace_is_one_spanset(server: Server) -> None:
    """What the structure tab of Traces Drilldown asks for; of 4, 8 and 12 the parts lie apart."""
    shown = "status, resource.service.name, name, nestedSetParent, nestedSetLeft, nestedSetRight"
    both = "({nestedSetParent<0 && true} &>> { true }) || ({nestedSetParent<0 && true})"
    body = search(server, q=f"{both} | select({shown})", limit=200, spss=20)

    assert len(body["traces"]) == 12
    for number, trace in zip(ids(body), body["traces"], strict=True):
        (span_set,) = trace["spanSets"]
        found = [{a["key"]: a["value"] for a in span["attributes"]} for span in span_set["spans"]]
        left = [int(each["nestedSetLeft"]["intValue"]) for each in found]
        right = [int(each["nestedSetRight"]["intValue"]) for each in found]
        parts = 2 if number % 4 == 0 else 1
        assert (left, right) == (([1, 2], [4, 3]) if parts == 2 else ([1], [2]))
        assert [span["name"] for span in span_set["spans"]] == ["part 0", "part 1"][:parts]
        assert all(each["service.name"] == {"stringValue": "shop"} for each in found)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 3
    content[middle - 200 : middle + 200] = bytes(400)
    path.write_bytes(content)


@pytest.mark.parametrize(("harm", "status"), [(damage, 500), (Path.unlink, 503)])
def test_an_unreadable_block_fails_the_search_or_is_named(
    harm: Callable[[Path], None], status: int, tmp_path: Path
) -> None:
    with running_server(tmp_path / "store") as server:
        for trace in (1, 2):
            send(server, trace)
            flush(server)
    damaged = min(tmp_path.rglob("spans.parquet"))
    harm(damaged)
    with running_server(tmp_path / "store") as server:
        refused = get(server, q="{ span.number > 0 }")
        partial = get(server, q="{ span.number > 0 }", partial="allow", count="true")

    block = damaged.parent.name
    assert refused.status_code == status
    assert block in refused.text
    assert partial.status_code == 200
    assert partial.headers["x-tracestore-missing"] == block
    assert partial.json()["total"] == {"traces": 1, "exact": False}
    jobs = partial.json()["metrics"]
    assert (jobs["completedJobs"], jobs["totalJobs"]) == (1, 2)


def test_a_client_that_goes_away_stops_its_query(tmp_path: Path) -> None:
    with running_server(tmp_path / "store", "--query.max-concurrent-queries=1") as server:
        send(server, *range(1, 200))
        host, _, port = server.api_url.removeprefix("http://").partition(":")
        for _ in range(30):
            with socket.create_connection((host, int(port))) as gone:
                gone.sendall(b"GET /api/search?q=%7B%7D&limit=200 HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: canceled(server) >= 1, 30.0)

        assert len(ids(search(server, q="{ }", limit=1000))) == 199


def canceled(server: Server) -> float:
    """Count the queries that were given up."""
    text = httpx.get(f"{server.api_url}/metrics", timeout=30).text
    lines = [line for line in text.splitlines() if 'result="canceled"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)

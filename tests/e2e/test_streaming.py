"""Streaming search of a real server, by clients that know nothing of ours, on both ports."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from support.otlp import request, span
from support.server import Server, running_server
from support.tempopb import message, method

BLOCKS = 3
TRACES = 12
START_S = 1_700_000_040


def store(server: Server, first: int) -> None:
    spans = [
        span(trace=t, id=t, name=f"part {t}", start_ms=1000 * t, attributes={"number": t})
        for t in range(first, first + TRACES // (BLOCKS + 1))
    ]
    body = request(resource={"service.name": "shop"}, spans=spans)
    headers = {"Content-Type": "application/x-protobuf"}
    assert httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers).is_success
    server.wait_until_decoded()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Twelve traces in three blocks and the live tables."""
    with running_server(tmp_path_factory.mktemp("data") / "store") as server:
        for number in range(BLOCKS + 1):
            if number:
                assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204
            store(server, 1 + number * TRACES // (BLOCKS + 1))
        yield server


@pytest.fixture(params=["own port", "port of the API"])
def channel(server: Server, request: pytest.FixtureRequest) -> Iterator[Any]:
    own = request.param == "own port"
    target = server.grpc if own else server.api_url.removeprefix("http://")
    with grpc.insecure_channel(target) as channel:
        yield channel


@pytest.mark.parametrize(
    ("query", "limit"), [("{}", 100), ("{ span.number > 4 } | select(name)", 5), ("{ .no = 1 }", 0)]
)
def test_the_end_is_the_answer_of_http(
    server: Server, channel: Any, query: str, limit: int
) -> None:
    asked = message("SearchRequest")(
        Query=query, Limit=limit, start=START_S, end=START_S + 100, SpansPerSpanSet=2
    )

    *_, last = method(channel, "Search")(asked, timeout=30)

    params: dict[str, Any] = {"q": query, "start": START_S, "end": START_S + 100, "spss": 2}
    if limit:
        params["limit"] = limit
    answer = httpx.get(f"{server.api_url}/api/search", params=params).json()
    streamed = MessageToDict(last)
    assert streamed.get("traces", []) == answer["traces"]
    del streamed["metrics"]["inspectedBytes"], answer["metrics"]["inspectedBytes"]
    assert streamed["metrics"] == answer["metrics"]
    assert last.metrics.completedJobs == last.metrics.totalJobs == BLOCKS + 1


def test_grafanas_health_check_has_a_message(channel: Any) -> None:
    asked = message("SearchRequest")(Query="{}", Limit=1, start=START_S - 900, end=START_S)

    assert len(list(method(channel, "Search")(asked, timeout=30))) == 1


def test_tags_and_durations_are_searched_for_as_over_http(channel: Any) -> None:
    asked = message("SearchRequest")(Tags={"name": "part 1"}, Limit=100)
    *_, last = method(channel, "Search")(asked, timeout=30)
    too_long = message("SearchRequest")(Tags={"name": "part 1"}, MinDurationMs=5000)
    *_, none = method(channel, "Search")(too_long, timeout=30)

    assert [int(trace.traceID, 16) for trace in last.traces] == [12, 11, 10, 1]
    assert not last.traces[0].spanSets
    assert not none.traces


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"Query": "{ x"}, "invalid TraceQL query: parse error at line 1, col 4: "),
        ({"Query": "{}", "Limit": 300_000}, "limit 300000 exceeds max limit 262144"),
        ({"Query": "{}", "SpansPerSpanSet": 101}, "spans per span set exceeds 100. received 101"),
        ({"Query": "{}", "start": 9, "end": 8}, "http parameter start must be before end."),
        ({"Query": "{}", "Tags": {"a": "b"}}, "can't specify tags and q in the same query"),
        ({"Query": "{}", "start": 1, "end": 2**31}, "range specified by start and end exceeds 168"),
        ({"Query": "{}" + " " * 131072}, "TraceQL expression exceeds the configured maximum size"),
    ],
)
def test_a_bad_request_is_an_invalid_argument(
    channel: Any, fields: dict[str, Any], text: str
) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        list(method(channel, "Search")(message("SearchRequest")(**fields), timeout=30))

    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert text in failure.value.details()


def test_bytes_that_are_no_message_are_an_invalid_argument(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        list(channel.unary_stream("/tempopb.StreamingQuerier/Search")(b"\xff\xff", timeout=30))

    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_health_is_served(channel: Any) -> None:
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch")

    assert check(b"", timeout=30) == b"\x08\x01"
    assert check(b"\x0a\x18tempopb.StreamingQuerier", timeout=30) == b"\x08\x01"
    with pytest.raises(grpc.RpcError) as failure:
        check(b"\x0a\x04nope", timeout=30)
    assert failure.value.code() == grpc.StatusCode.NOT_FOUND
    watching = watch(b"", timeout=30)
    assert next(watching) == b"\x08\x01"
    watching.cancel()


def test_the_api_is_served_by_http2_too(server: Server) -> None:
    url = f"{server.api_url}/api/search?q=%7B%7D&limit=3"
    by_http1 = httpx.get(url)
    with httpx.Client(http1=False, http2=True) as client:
        by_http2 = client.get(url)
        missing = client.get(f"{server.api_url}/no/such/route")
        posted = client.post(url, content=b"x" * 300_000)  # more than a window, and nobody reads it

    assert by_http2.http_version == "HTTP/2"
    assert by_http2.json()["traces"] == by_http1.json()["traces"]
    assert missing.status_code == 404
    assert missing.text == "404 page not found\n"
    assert posted.json()["traces"] == by_http1.json()["traces"]


def test_an_upgrade_of_http1_is_not_taken_up(server: Server) -> None:
    command = ["curl", "-s", "--http2", "-w", "%{http_version}", f"{server.api_url}/api/echo"]

    assert subprocess.run(command, capture_output=True, check=True).stdout == b"echo\n1.1"
    assert "upgrade" not in server.log().lower()


def test_calls_are_measured(server: Server, channel: Any) -> None:
    list(method(channel, "Search")(message("SearchRequest")(Query="{}"), timeout=30))

    text = httpx.get(f"{server.api_url}/metrics").text
    line = 'tempo_request_duration_seconds_count{method="gRPC",'
    line += 'route="/tempopb.StreamingQuerier/Search",status_code="success",ws="false"}'
    assert line in text


def test_without_streaming_over_http_the_api_takes_http1_alone(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data = tmp_path_factory.mktemp("off") / "store"
    with running_server(data, "--stream-over-http-enabled=false") as server:
        assert httpx.get(f"{server.api_url}/api/echo").text == "echo\n"
        with grpc.insecure_channel(server.api_url.removeprefix("http://")) as channel:
            with pytest.raises(grpc.RpcError) as failure:
                list(method(channel, "Search")(message("SearchRequest")(Query="{}"), timeout=10))
            assert failure.value.code() == grpc.StatusCode.UNAVAILABLE
        with grpc.insecure_channel(server.grpc) as channel:
            assert len(list(method(channel, "Search")(message("SearchRequest")(Query="{}")))) == 1


def test_tenants_are_named_in_metadata_and_kept_apart(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data = tmp_path_factory.mktemp("tenants") / "store"
    with running_server(data, "--multitenancy-enabled=true") as server:
        body = request(spans=[span(trace=7, id=1, name="s")])
        headers = {"Content-Type": "application/x-protobuf", "X-Scope-OrgID": "blue"}
        url = f"{server.otlp_http}/v1/traces"
        assert httpx.post(url, content=body, headers=headers).is_success
        server.wait_until_decoded()
        for target in (server.grpc, server.api_url.removeprefix("http://")):
            with grpc.insecure_channel(target) as channel:
                assert traces_of_tenant(channel, "blue") == ["7"]
                assert traces_of_tenant(channel, "red|blue") == ["7"]
                assert traces_of_tenant(channel, "red") == []
                for name, code, text in (
                    (None, grpc.StatusCode.UNKNOWN, "no org id"),
                    ("a/b", grpc.StatusCode.INVALID_ARGUMENT, "tenant ID 'a/b' contains"),
                ):
                    with pytest.raises(grpc.RpcError) as failure:
                        traces_of_tenant(channel, name)
                    assert failure.value.code() == code
                    assert text in failure.value.details()


def traces_of_tenant(channel: Any, name: str | None) -> list[str]:
    metadata = () if name is None else (("x-scope-orgid", name),)
    call = method(channel, "Search")(message("SearchRequest")(Query="{}"), metadata=metadata)
    *_, last = call
    return [trace.traceID for trace in last.traces]

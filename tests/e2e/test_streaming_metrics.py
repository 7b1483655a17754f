"""TraceQL metrics as streams of a real server: the end is the answer of HTTP, on both ports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from support.otlp import request, span
from support.server import Server, running_server
from support.tempopb import message, method

START_S = 1_700_000_040
END_S = START_S + 120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two blocks and the live tables, a minute apart."""
    with running_server(tmp_path_factory.mktemp("data") / "store") as server:
        for part in range(3):
            if part:
                assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204
            spans = [
                span(
                    trace=10 * part + t,
                    id=1,
                    name=f"n{t % 2}",
                    start_ms=40_000 * part + 1000 * t,
                    duration_ms=t,
                    attributes={"size": t},
                )
                for t in range(1, 9)
            ]
            body = request(resource={"service.name": f"s{part}"}, spans=spans)
            headers = {"Content-Type": "application/x-protobuf"}
            url = f"{server.otlp_http}/v1/traces"
            assert httpx.post(url, content=body, headers=headers).is_success
            server.wait_until_decoded()
        yield server


@pytest.fixture(params=["own port", "port of the API"])
def channel(server: Server, request: pytest.FixtureRequest) -> Iterator[Any]:
    own = request.param == "own port"
    target = server.grpc if own else server.api_url.removeprefix("http://")
    with grpc.insecure_channel(target) as channel:
        yield channel


def as_json(answer: Any) -> Any:
    """Write a message as the HTTP API does, but for whole numbers, which are equal anyway."""
    body = MessageToDict(answer)
    if "status" in body:
        body["status"] = {1: "PARTIAL"}[body["status"]]
    body["metrics"].pop("inspectedBytes", None)
    return body


QUERIES = [
    "{} | rate()",
    "{} | count_over_time() by (resource.service.name, name)",
    "{} | quantile_over_time(duration, .5, .9) by (name)",
    "{} | histogram_over_time(span.size)",
    "{ name = `n1` } | max_over_time(duration) | topk(1)",
    "{} | compare({ name = `n0` })",
    "({} | rate()) / ({ name = `n1` } | rate())",
    "{ name = `nowhere` } | rate()",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_range_ends_as_over_http(server: Server, channel: Any, query: str) -> None:
    asked = message("QueryRangeRequest")(
        query=query, start=START_S * 10**9, end=END_S * 10**9, step=10 * 10**9
    )

    *_, last = method(channel, "MetricsQueryRange")(asked, timeout=30)

    params: dict[str, Any] = {"q": query, "start": START_S, "end": END_S, "step": 10}
    answer = httpx.get(f"{server.api_url}/api/metrics/query_range", params=params).json()
    answer["metrics"].pop("inspectedBytes", None)
    streamed = as_json(last)
    assert streamed.pop("series", []) == answer.pop("series")
    assert streamed == answer
    assert last.metrics.completedJobs == last.metrics.totalJobs


@pytest.mark.parametrize("query", QUERIES)
def test_an_instant_ends_as_over_http(server: Server, channel: Any, query: str) -> None:
    asked = message("QueryInstantRequest")(query=query, start=START_S * 10**9, end=END_S * 10**9)

    *_, last = method(channel, "MetricsQueryInstant")(asked, timeout=30)

    params: dict[str, Any] = {"q": query, "start": START_S, "end": END_S}
    answer = httpx.get(f"{server.api_url}/api/metrics/query", params=params).json()
    answer["metrics"].pop("inspectedBytes", None)
    streamed = as_json(last)
    assert streamed.pop("series", []) == answer.pop("series")
    assert streamed == answer


def test_what_is_cut_off_is_said_at_the_end(channel: Any) -> None:
    asked = message("QueryRangeRequest")(
        query="{} | rate() by (name)", start=START_S * 10**9, end=END_S * 10**9, maxSeries=1
    )

    *_, last = method(channel, "MetricsQueryRange")(asked, timeout=30)

    assert len(last.series) == 1
    assert last.status == 1
    assert last.message.startswith("Response exceeds maximum series limit of 1, ")


@pytest.mark.parametrize(
    ("name", "fields", "text"),
    [
        ("Range", {"query": "{} | rate()"}, "end must be greater than start"),
        ("Range", {"query": "{} | rate()", "end": 2**64 - 1}, "no time in nanoseconds since 1970"),
        ("Range", {"query": "{} | rate(", "end": 10**10}, "parse error at line 1, col "),
        ("Range", {"query": "{}", "end": 10**10}, "not a metrics query"),
        ("Range", {"query": "{} | rate()", "end": 10**10, "step": 1}, "step of 1ns is too small"),
        ("Range", {"query": "{} | rate()", "end": 86401 * 10**9}, "exceeds the maximum allowed"),
        ("Instant", {"query": "{} | rate()"}, "end must be greater than start"),
        ("Instant", {"query": "{} | rate(", "end": 10**10}, "compiling query: "),
        ("Instant", {"query": "{}" + " " * 131072}, "exceeds the configured maximum size"),
    ],
)
def test_a_bad_request_is_an_invalid_argument(
    channel: Any, name: str, fields: dict[str, Any], text: str
) -> None:
    asked = message(f"Query{name}Request")(**fields)
    with pytest.raises(grpc.RpcError) as failure:
        list(method(channel, f"MetricsQuery{name}")(asked, timeout=30))

    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert text in failure.value.details()

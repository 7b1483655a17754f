"""The public API over HTTP: trace by ID, search, and what operators ask."""

from collections.abc import Iterator

import grpc
import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from support.otlp import EPOCH_NS, request, span
from support.server import Server, running_server

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
BODY = request(
    resource={"service.name": "shop"},
    spans=[
        span(trace=0xAB, id=1, name="GET /", kind="server", status="error", duration_ms=120),
        span(trace=0xAB, id=2, parent=1, name="query", attributes={"db.rows": 7}, start_ms=5),
    ],
)


@pytest.fixture(scope="module", params=["live", "flushed"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("data") / "store") as server:
        with grpc.insecure_channel(server.otlp_grpc) as channel:
            channel.unary_unary(EXPORT)(BODY, timeout=30)
        if request.param == "flushed":
            reply = httpx.post(f"{server.api_url}/flush", timeout=60)
            assert (reply.status_code, reply.content) == (204, b"")
        yield server


def get(server: Server, path: str, accept: str = "", **query: object) -> httpx.Response:
    headers = {"Accept": accept} if accept else {}
    return httpx.get(server.api_url + path, params=query, headers=headers, timeout=30)  # type: ignore[arg-type]


def test_trace_by_id_in_json(server: Server) -> None:
    v1 = get(server, "/api/traces/ab")
    v2 = get(server, "/api/v2/traces/00AB")

    assert v1.headers["content-type"] == "application/json"
    assert v1.json().keys() == {"batches"}
    assert v1.json()["batches"] == v2.json()["trace"]["resourceSpans"]
    (group,) = v1.json()["batches"]
    root, child = group["scopeSpans"][0]["spans"]
    assert root["traceId"] == "AAAAAAAAAAAAAAAAAAAAqw=="
    assert root["startTimeUnixNano"] == str(EPOCH_NS)
    assert root["status"] == {"code": "STATUS_CODE_ERROR"}
    assert child["attributes"] == [{"key": "db.rows", "value": {"intValue": "7"}}]


def test_trace_by_id_in_protobuf(server: Server) -> None:
    reply = get(server, "/api/traces/ab", "application/protobuf")

    (group,) = TracesData.FromString(reply.content).resource_spans
    assert reply.headers["content-type"] == "application/protobuf"
    assert [s.name for s in group.scope_spans[0].spans] == ["GET /", "query"]
    assert group.scope_spans[0].spans[1].HasField("status")


def test_a_trace_that_is_not_there(server: Server) -> None:
    v1 = get(server, "/api/traces/cd")
    v2 = get(server, "/api/v2/traces/cd")
    v2_protobuf = get(server, "/api/v2/traces/cd", "application/protobuf")

    assert (v1.status_code, v1.content, v1.headers.get("content-type")) == (404, b"", None)
    assert (v2.status_code, v2.json()) == (200, {"trace": {}, "metrics": {}})
    assert (v2_protobuf.status_code, v2_protobuf.content[:2]) == (200, b"\x0a\x00")


@pytest.mark.parametrize("version", ["/api/traces", "/api/v2/traces"])
def test_a_bad_id_is_refused(server: Server, version: str) -> None:
    bad = get(server, f"{version}/zz", start="x")
    long = get(server, f"{version}/{'1' * 33}")

    assert (bad.status_code, bad.text) == (
        400,
        "trace IDs can only contain hex characters: invalid character 'z' at position 1",
    )
    assert (long.status_code, long.text) == (400, "trace IDs can't be larger than 128 bits")
    assert bad.headers["content-type"] == "text/plain; charset=utf-8"


def test_search_has_the_form_of_the_contract(server: Server) -> None:
    reply = get(server, "/api/search", q='{ resource.service.name = "shop" && status = error }')

    (trace,) = reply.json()["traces"]
    assert reply.headers["content-type"] == "application/json"
    assert (trace["traceID"], trace["rootServiceName"], trace["rootTraceName"]) == (
        "ab",
        "shop",
        "GET /",
    )
    assert (trace["startTimeUnixNano"], trace["durationMs"]) == (str(EPOCH_NS), 120)
    assert trace["serviceStats"] == {"shop": {"spanCount": 2, "errorCount": 1}}
    assert trace["spanSet"] == trace["spanSets"][0]
    (found,) = trace["spanSet"]["spans"]
    assert (trace["spanSet"]["matched"], found["spanID"]) == (1, "0000000000000001")
    assert {a["key"]: a["value"]["stringValue"] for a in found["attributes"]} == {
        "service.name": "shop",
        "status": "error",
    }


def test_a_search_window_is_that_of_the_trace(server: Server) -> None:
    second = EPOCH_NS // 10**9

    inside = get(server, "/api/search", q="{}", start=second - 60, end=second)
    outside = get(server, "/api/search", q="{}", start=second + 1, end=second + 60)

    assert len(inside.json()["traces"]) == 1
    assert outside.json()["traces"] == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"q": "{ .a + }"}, "invalid TraceQL query: parse error at line 1, col 9: syntax error: "),
        ({"q": "{ name > 1 }"}, "invalid TraceQL query: "),
        ({"q": "{}", "limit": 0}, "invalid limit: must be a positive number"),
        ({"q": "{}", "start": "x"}, "invalid start: "),
    ],
)
def test_a_bad_search_is_refused(server: Server, query: dict[str, object], message: str) -> None:
    reply = get(server, "/api/search", **query)

    assert reply.status_code == 400
    assert reply.text.startswith(message)


def test_any_method_is_the_same_request(server: Server) -> None:
    url = f"{server.api_url}/api/search?q=%7B%7D"

    assert httpx.post(url).json()["traces"] == httpx.get(url).json()["traces"]
    assert (httpx.head(url).status_code, httpx.head(url).content) == (200, b"")


def test_large_answers_are_packed_when_asked_for(server: Server) -> None:
    url = f"{server.api_url}/status/config"

    packed = httpx.get(url, headers={"Accept-Encoding": "gzip"})
    plain = httpx.get(url, headers={"Accept-Encoding": "identity"})

    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text
    assert plain.text.startswith("---\n")


def test_what_operators_ask(server: Server) -> None:
    echo, ready = get(server, "/api/echo"), get(server, "/ready")
    buildinfo, metrics = get(server, "/api/status/buildinfo"), get(server, "/metrics")

    assert (echo.status_code, echo.text) == (200, "echo\n")
    assert (ready.status_code, ready.text) == (200, "ready\n")
    assert tuple(map(int, buildinfo.json()["version"].split("."))) >= (2, 7, 0)
    assert "tempo_request_duration_seconds_bucket" in metrics.text
    for section in ("", "/version", "/services", "/endpoints", "/config"):
        assert get(server, f"/status{section}").status_code == 200


def test_an_unknown_path_is_the_404_page(server: Server) -> None:
    reply = get(server, "/api/nothing")

    assert (reply.status_code, reply.text) == (404, "404 page not found\n")

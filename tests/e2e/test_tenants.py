"""Several tenants in one server: who names which, and that nobody sees what is another's."""

import logging
from collections.abc import Iterator

import grpc
import httpx
import pytest
from google.rpc.status_pb2 import Status
from support.otlp import EPOCH_NS, request, span
from support.server import Server, running_server

import tracestore

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TENANTS_ON = "-multitenancy.enabled"
SAME = 0x51
"""A trace ID that two tenants happen to share."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = (TENANTS_ON, "--query.mcp-enabled=true")
    with running_server(tmp_path_factory.mktemp("data") / "store", *flags) as server:
        yield server


def one(trace: int, name: str, id: int = 1) -> bytes:
    spans = [span(trace=trace, id=id, name=name)]
    return request(resource={"service.name": name}, spans=spans)


def post(server: Server, body: bytes, *orgs: str) -> httpx.Response:
    headers = [("Content-Type", "application/x-protobuf"), *(("X-Scope-OrgID", o) for o in orgs)]
    return httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers, timeout=30)


def export(server: Server, body: bytes, *orgs: str) -> bytes:
    with grpc.insecure_channel(server.otlp_grpc) as channel:
        metadata = [("x-scope-orgid", org) for org in orgs]
        return channel.unary_unary(EXPORT)(body, timeout=30, metadata=metadata)


def get(server: Server, path: str, *orgs: str, **params: object) -> httpx.Response:
    headers = [("X-Scope-OrgID", org) for org in orgs]
    return httpx.get(f"{server.api_url}{path}", headers=headers, params=params, timeout=30)


def names_in_trace(server: Server, trace: int, org: str) -> list[str]:
    reply = get(server, f"/api/v2/traces/{trace:x}", org)
    groups = reply.json()["trace"].get("resourceSpans", [])
    spans = [s for group in groups for scope in group["scopeSpans"] for s in scope["spans"]]
    return sorted(span["name"] for span in spans)


def found(server: Server, org: str, query: str = "{}") -> dict[str, str]:
    traces = get(server, "/api/search", org, q=query).json()["traces"]
    return {trace["traceID"]: trace.get("rootTraceName", "") for trace in traces}


def refused(server: Server, body: bytes, *orgs: str) -> tuple[int, str, grpc.StatusCode, str]:
    """Send by both protocols. Returns: what each says."""
    reply = post(server, body, *orgs)
    status = Status.FromString(reply.content)
    with pytest.raises(grpc.RpcError) as caught:
        export(server, body, *orgs)
    assert not status.details
    assert "retry-after" not in reply.headers
    return reply.status_code, status.message, caught.value.code(), caught.value.details()


@pytest.mark.parametrize("flush", [False, True], ids=["live", "in blocks"])
def test_each_sees_its_own_even_under_one_trace_id(server: Server, flush: bool) -> None:
    post(server, one(SAME, "of a", 1), "a")
    export(server, one(SAME, "of b", 2), "b")
    post(server, one(0x52, "only b"), "b")
    if flush:
        assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204

    assert names_in_trace(server, SAME, "a") == ["of a"]
    assert names_in_trace(server, SAME, "b") == ["of b"]
    assert names_in_trace(server, SAME, "b|a") == ["of a", "of b"]
    assert names_in_trace(server, SAME, "A") == []
    assert found(server, "a") == {"51": "of a"}
    assert found(server, "b") == {"51": "of b", "52": "only b"}
    assert found(server, "a", '{ resource.service.name = "of b" }') == {}
    assert found(server, "nobody") == {}
    assert sorted(found(server, "a|nobody|b")) == ["51", "52"]
    assert get(server, f"/api/traces/{0x52:x}", "a").status_code == 404


def test_flush_of_one_tenant_leaves_the_others_alone(server: Server) -> None:
    post(server, one(0x61, "x"), "flushed")
    post(server, one(0x62, "y"), "kept")

    reply = httpx.post(f"{server.api_url}/flush?tenant=flushed", timeout=60)

    assert reply.status_code == 204
    metrics = httpx.get(f"{server.api_url}/metrics", timeout=30).text
    assert 'tempodb_blocklist_length{tenant="flushed"} 1.0' in metrics
    assert 'tempodb_blocklist_length{tenant="kept"}' not in metrics
    assert httpx.post(f"{server.api_url}/flush?tenant=../x", timeout=60).status_code == 400


def test_senders_without_a_tenant_are_refused_as_tempo_does(server: Server) -> None:
    body = one(0x71, "x")
    missing = (503, "no org id", grpc.StatusCode.UNAVAILABLE, "no org id")

    assert refused(server, body) == missing
    assert refused(server, body, "a", "b") == missing
    several = "multiple org IDs present"
    assert refused(server, body, "a|b") == (400, several, grpc.StatusCode.INVALID_ARGUMENT, several)
    trick = "tenant ID '../a' contains unsupported character '/'"
    assert refused(server, body, "../a") == (400, trick, grpc.StatusCode.INVALID_ARGUMENT, trick)


def test_an_empty_request_needs_no_tenant_and_a_malformed_one_is_told_so(server: Server) -> None:
    assert export(server, b"") == b"\x0a\x00"
    assert post(server, request(resource={}, spans=[])).status_code == 200
    assert post(server, b"\xff").status_code == 400


def test_readers_without_a_tenant_get_401_before_anything_else(server: Server) -> None:
    for path in ("/api/search?limit=x", "/api/traces/zz", "/api/v2/traces/1"):
        reply = get(server, path)
        assert (reply.status_code, reply.text) == (401, "no org id\n")
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        assert get(server, path, "a", "b").status_code == 401


def test_language_models_need_a_tenant_too_and_see_its_spans_alone(server: Server) -> None:
    post(server, one(0xA1, "of mcp"), "mcp")
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "get-trace", "arguments": {"trace_id": "a1"}},
    }

    def ask(**headers: str) -> httpx.Response:
        sent = {"Accept": "application/json, text/event-stream"} | headers
        return httpx.post(f"{server.api_url}/api/mcp", json=call, headers=sent, timeout=30)

    without = ask()
    assert (without.status_code, without.text) == (401, "no org id\n")
    assert "of mcp" in ask(**{"X-Scope-OrgID": "mcp"}).text
    assert "of mcp" not in ask(**{"X-Scope-OrgID": "other"}).text


def test_a_bad_parameter_is_told_before_a_bad_tenant(server: Server) -> None:
    both = get(server, "/api/search", "a b", limit="x")
    only = get(server, "/api/search", "a b")

    assert both.text.startswith("invalid limit")
    message = "tenant ID 'a b' contains unsupported character ' '"
    assert (only.status_code, only.text) == (400, message)


def test_what_needs_no_tenant_answers_without(server: Server) -> None:
    for path in ("/api/echo", "/ready", "/metrics", "/api/status/buildinfo", "/status"):
        assert get(server, path).status_code == 200


def test_names_that_callers_make_up_are_no_series(server: Server) -> None:
    found(server, "made.up")

    metrics = httpx.get(f"{server.api_url}/metrics", timeout=30).text
    assert "made.up" not in metrics
    assert (
        'tempo_query_frontend_queries_total{op="search",result="completed",tenant="__unknown__"}'
        in metrics
    )


def test_a_crash_loses_nothing_of_any_tenant(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path_factory.mktemp("crash") / "store"
    with running_server(data, TENANTS_ON) as server:
        for number, tenant in enumerate(["a", "b", "quarantine", "...", "(c)!*'"]):
            post(server, one(0x80 + number, tenant), tenant)
        server.kill()
    assert sorted(path.name for path in (data / "wal").iterdir() if path.is_dir()) == [
        "(c)!*'",
        "...",
        "a",
        "b",
        "quarantine",
    ]

    with caplog.at_level(logging.WARNING):
        assert len(tracestore.open(data).search().traces) == 0
    assert "tenants too, which are not looked at unless one is named: (c)!*', ..., a, b" in (
        caplog.text
    )
    both = tracestore.open(data, tenant="a|b").search()
    assert sorted(trace.root_name for trace in both.traces) == ["a", "b"]

    with running_server(data, TENANTS_ON) as server:
        over_http = tracestore.open(server.api_url, tenant="a|b").search()
        assert [t.trace_id for t in over_http.traces] == [t.trace_id for t in both.traces]
        for _ in ("live", "in blocks"):
            for number, tenant in enumerate(["a", "b", "quarantine", "...", "(c)!*'"]):
                assert found(server, tenant) == {f"{0x80 + number:x}": tenant}
            assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204


def test_the_default_is_one_tenant_whatever_the_header_says(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running_server(tmp_path_factory.mktemp("one") / "store") as server:
        post(server, one(0x91, "x"), "../a", "b")
        export(server, one(0x92, "y"), "b|c")

        assert found(server, "../../etc") == {"91": "x", "92": "y"}
        assert names_in_trace(server, 0x91, "b") == ["x"]
        assert server.metric("tempo_distributor_spans_received_total") == 2


def test_promql_counts_the_spans_of_its_tenants(server: Server) -> None:
    spans = [span(trace=0x77, id=n, name="paid", kind="server", start_ms=0) for n in (1, 2)]
    for org, of_org in (("prom-a", spans[:1]), ("prom-b", spans)):
        body = request(resource={"service.name": org}, spans=of_org)
        assert post(server, body, org).status_code == 200
    server.wait_until_decoded()

    def counted(*orgs: str) -> dict[str, str]:
        query = "sum by (service) (traces_spanmetrics_calls_total)"
        at = EPOCH_NS // 10**9 + 60
        reply = get(server, "/prometheus/api/v1/query", *orgs, query=query, time=at)
        result = reply.json()["data"]["result"]
        return {one["metric"]["service"]: one["value"][1] for one in result}

    assert counted("prom-a") == {"prom-a": "1"}
    # two tenants are looked at as if they were one, to which a span was sent twice
    assert counted("prom-b") == {"prom-b": "2"}
    assert set(counted("prom-a|prom-b")) <= {"prom-a", "prom-b"}
    nobody = get(server, "/prometheus/api/v1/query", query="1")
    assert (nobody.status_code, nobody.text) == (401, "no org id\n")
    bad = get(server, "/prometheus/api/v1/query", "a/b", query="1")
    assert (bad.status_code, bad.json()["errorType"]) == (400, "bad_data")

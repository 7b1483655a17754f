"""Zipkin over the network: what is taken, what is refused, and what arrives of real senders."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.server import Server, running_server

LIMIT = 1 << 20
US = 1_700_000_000_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flag = f"--distributor.receivers.zipkin.request-bytes-max={LIMIT}"
    with running_server(tmp_path_factory.mktemp("data") / "store", flag) as server:
        yield server


def one(trace: int, **members: Any) -> list[dict[str, Any]]:
    return [{"traceId": f"{trace:x}", "id": "1", "name": "op", "timestamp": US, **members}]


def post(server: Server, body: Any, path: str = "/api/v2/spans", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{server.zipkin}{path}", content=content, headers=sent, timeout=30)


def spans_of(server: Server, trace: int) -> list[dict[str, Any]]:
    reply = httpx.get(f"{server.api_url}/api/v2/traces/{trace:x}", timeout=30)
    groups = reply.json()["trace"].get("resourceSpans", [])
    return [
        dict(span, resource=group["resource"])
        for group in groups
        for scope in group["scopeSpans"]
        for span in scope["spans"]
    ]


@pytest.mark.parametrize("path", ["/api/v2/spans", "/", "/anything"])
def test_json_is_taken_on_any_path(server: Server, path: str) -> None:
    trace = 0x100 + len(path)
    local = {"serviceName": "shop"}

    reply = post(server, one(trace, kind="SERVER", localEndpoint=local), path)

    assert (reply.status_code, reply.content) == (202, b"")
    (span,) = spans_of(server, trace)
    assert (span["name"], span["kind"]) == ("op", "SPAN_KIND_SERVER")
    assert span["resource"]["attributes"] == [
        {"key": "service.name", "value": {"stringValue": "shop"}}
    ]


def test_spans_of_version_1_are_taken_on_their_path(server: Server) -> None:
    as_json = [{"traceId": "181", "id": "1", "annotations": [{"timestamp": US, "value": "sr"}]}]
    as_thrift = struct.pack(">bibhqbhqb", 12, 1, 10, 1, 0x182, 10, 4, 1, 0)

    replies = [
        post(server, as_json, "/api/v1/spans"),
        post(server, as_thrift, "/api/v1/spans", Content_Type="application/x-thrift"),
        post(server, as_thrift[:-1], "/api/v1/spans", Content_Type="application/x-thrift"),
    ]

    assert [reply.status_code for reply in replies] == [202, 202, 400]
    assert replies[2].text == "thrift struct is cut off at byte 27"
    assert [span["kind"] for span in spans_of(server, 0x181)] == ["SPAN_KIND_SERVER"]
    assert len(spans_of(server, 0x182)) == 1


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("zlib", zlib.compress)],
)
def test_compressed_bodies_are_taken(
    server: Server, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    trace = 0x200 + len(encoding)

    reply = post(server, pack(json.dumps(one(trace)).encode()), Content_Encoding=encoding)

    assert reply.status_code == 202
    assert len(spans_of(server, trace)) == 1


def test_an_empty_list_is_taken(server: Server) -> None:
    assert post(server, []).status_code == 202


def test_what_cannot_be_read_is_a_bad_request_with_the_reason(server: Server) -> None:
    no_json = post(server, b"{")
    no_id = post(server, [*one(0x300), {"traceId": "1"}])
    zero = post(server, one(0x300) + one(0))
    brotli = post(server, one(0x300), Content_Encoding="br")
    cut_off = post(server, gzip.compress(b"[]")[:-9], Content_Encoding="gzip")

    assert {r.status_code for r in (no_json, no_id, zero, brotli, cut_off)} == {400}
    assert no_json.text.startswith("body is no list of zipkin spans: ")
    assert "missing required field `id` - at `$[1]`" in no_id.text
    assert zero.text == "zipkin span 1: traceId is zero"
    assert brotli.text == "unsupported Content-Encoding: br"
    assert "compressed body is" in cut_off.text
    assert spans_of(server, 0x300) == []


def test_only_post_is_answered(server: Server) -> None:
    reply = httpx.get(f"{server.zipkin}/api/v2/spans")

    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")


def test_over_the_limit_is_refused(server: Server) -> None:
    large = json.dumps(one(0x400, tags={"padding": "x" * LIMIT})).encode()

    announced = post(server, large)
    bomb = post(server, gzip.compress(large), Content_Encoding="gzip")

    assert (announced.status_code, bomb.status_code) == (413, 413)
    assert spans_of(server, 0x400) == []


def test_a_shared_span_is_two_spans(server: Server) -> None:
    shared = one(0x500, kind="CLIENT") + one(0x500, kind="SERVER", shared=True, timestamp=US + 1)

    assert post(server, shared).status_code == 202

    client, root = sorted(spans_of(server, 0x500), key=lambda span: "parentSpanId" not in span)
    assert client["parentSpanId"] == root["spanId"]
    assert (root["kind"], client["kind"]) == ("SPAN_KIND_CLIENT", "SPAN_KIND_SERVER")


def test_spans_belong_to_the_tenant_of_the_header(tmp_path: Path) -> None:
    with running_server(tmp_path / "store", "-multitenancy.enabled") as server:
        mine = post(server, one(0x700), X_Scope_OrgID="me")
        nobodys = post(server, one(0x701))
        bad = post(server, one(0x702), X_Scope_OrgID="a|b")
        url = f"{server.api_url}/api/v2/traces/700"
        seen = {
            org: httpx.get(url, headers={"X-Scope-OrgID": org}).json()["trace"]
            for org in ("me", "you")
        }

    assert mine.status_code == 202
    assert (nobodys.status_code, nobodys.text) == (500, '"Internal Server Error"')
    assert (bad.status_code, bad.text) == (400, '"Bad Request"')
    assert [bool(trace) for trace in seen.values()] == [True, False]


def test_limits_hold_here_too(tmp_path: Path) -> None:
    config = tmp_path / "limits.yaml"
    config.write_text(
        "overrides: {defaults: {ingestion: {rate_limit_bytes: 1, burst_size_bytes: 300,"
        " max_request_bytes: 600, max_attribute_bytes: 9}}}"
    )
    with running_server(tmp_path / "store", f"--config={config}") as server:
        large = post(server, one(0x800, tags={f"{n:x}": "x" * 50 for n in range(20)}))
        cut = post(server, one(0x801, tags={"text": "x" * 20}))
        late = post(server, one(0x802, tags={"text": "x" * 200}))
        (span,) = spans_of(server, 0x801)

    assert large.status_code == 413
    assert cut.status_code == 202
    assert {"key": "text", "value": {"stringValue": "x" * 9}} in span["attributes"]
    assert (late.status_code, late.text) == (500, '"Internal Server Error"')


def test_accepted_spans_are_counted(server: Server) -> None:
    labels = '{receiver="zipkin/zipkin_receiver",transport="http"}'
    accepted = f"tempo_receiver_accepted_spans{labels}"

    def count() -> float:
        lines = httpx.get(f"{server.api_url}/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(accepted))

    before = count()
    post(server, one(0x600) + one(0x601))

    assert count() == before + 2

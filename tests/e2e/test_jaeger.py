"""Jaeger over the network: what is taken, what is refused, and in which words."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from support.jaeger import post_spans, thrift_batch, thrift_message
from support.server import Server, free_udp_port, running_server, wait_until
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol

POST_SPANS = "/jaeger.api_v2.CollectorService/PostSpans"
THRIFT = "application/x-thrift"
LIMIT = 1 << 20
US = 1_700_000_000_000_000


@pytest.fixture(scope="module")
def agents() -> dict[str, int]:
    """Protocol of an agent -> its port."""
    return {"thrift-compact": free_udp_port(), "thrift-binary": free_udp_port()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, agents: dict[str, int]) -> Iterator[Server]:
    flags = [
        f"--distributor.receivers.jaeger.{name}.{setting}"
        for name, port in agents.items()
        for setting in (f"endpoint=127.0.0.1:{port}", "enabled")
    ]
    flags += [
        f"--distributor.receivers.jaeger.{name}.request-bytes-max={LIMIT}"
        for name in ("grpc", "thrift-http")
    ]
    with running_server(tmp_path_factory.mktemp("data") / "store", *flags) as server:
        yield server


def batch(trace: int, **tags: Any) -> dict[str, Any]:
    span = {"trace": trace, "id": 1, "name": "op", "start_us": US, "tags": tags}
    return {"process": {"service_name": "shop"}, "spans": [span]}


def post(
    server: Server, body: bytes, content_type: str | None = THRIFT, **headers: str
) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent |= {} if content_type is None else {"Content-Type": content_type}
    url = f"{server.jaeger_http}/api/traces"
    return httpx.post(url, content=body, headers=sent, timeout=30)


def call(
    server: Server, body: bytes, *metadata: tuple[str, str], method: str = POST_SPANS
) -> bytes:
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.jaeger_grpc, options=options) as channel:
        answer: bytes = channel.unary_unary(method)(body, timeout=30, metadata=metadata)
        return answer


def spans_of(server: Server, trace: int) -> list[dict[str, Any]]:
    reply = httpx.get(f"{server.api_url}/api/v2/traces/{trace:x}", timeout=30)
    groups = reply.json()["trace"].get("resourceSpans", [])
    return [span for group in groups for scope in group["scopeSpans"] for span in scope["spans"]]


@pytest.mark.parametrize(
    "content_type", [THRIFT, "application/vnd.apache.thrift.binary", f"{THRIFT}; charset=utf-8"]
)
def test_thrift_is_taken(server: Server, content_type: str) -> None:
    trace = 0x100 + len(content_type)

    reply = post(server, thrift_batch(batch(trace, **{"span.kind": "server"})), content_type)

    assert (reply.status_code, reply.content) == (202, b"")
    (span,) = spans_of(server, trace)
    assert (span["name"], span["kind"]) == ("op", "SPAN_KIND_SERVER")


def test_a_compressed_batch_is_taken(server: Server) -> None:
    body = gzip.compress(thrift_batch(batch(0x200)))

    assert post(server, body, Content_Encoding="gzip").status_code == 202
    assert len(spans_of(server, 0x200)) == 1


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_grpc_is_taken(server: Server, compression: grpc.Compression) -> None:
    trace = 0x300 + int(compression)
    with grpc.insecure_channel(server.jaeger_grpc, compression=compression) as channel:
        answer = channel.unary_unary(POST_SPANS)(post_spans(batch(trace)), timeout=30)

    assert answer == b""
    assert len(spans_of(server, trace)) == 1


def test_what_cannot_be_read_is_a_bad_request_with_the_reason(server: Server) -> None:
    untyped = post(server, b"", None)
    json = post(server, b"{}", "application/json")
    broken = post(server, thrift_batch(batch(0x400))[:-1])
    zero = post(server, thrift_batch(batch(0)))

    assert {r.status_code for r in (untyped, json, broken, zero)} == {400}
    assert untyped.text == "Cannot parse content type: mime: no media type\n"
    assert json.text == "Unsupported content type: application/json\n"
    assert broken.text.startswith("Unable to process request body: thrift ")
    assert zero.text == "Unable to process request body: jaeger span 0: trace id is zero\n"
    assert spans_of(server, 0x400) == []


def test_what_grpc_cannot_read_is_invalid(server: Server) -> None:
    for body, reason in ((b"\xff", "cut off at byte"), (post_spans(batch(0)), "trace id is zero")):
        with pytest.raises(grpc.RpcError, match=reason) as refused:
            call(server, body)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_other_methods_and_paths_are_refused(server: Server) -> None:
    got = httpx.get(f"{server.jaeger_http}/api/traces")
    elsewhere = httpx.post(f"{server.jaeger_http}/sampling")
    with pytest.raises(grpc.RpcError) as refused:
        call(server, b"", method="/jaeger.api_v2.SamplingManager/GetSamplingStrategy")

    assert (got.status_code, got.headers["allow"]) == (405, "POST")
    assert elsewhere.status_code == 404
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_over_the_limit_is_refused(server: Server) -> None:
    large = batch(0x500, padding="x" * LIMIT)

    by_http = post(server, thrift_batch(large))
    with pytest.raises(grpc.RpcError) as by_grpc:
        call(server, post_spans(large))

    assert by_http.status_code == 413
    assert by_grpc.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert spans_of(server, 0x500) == []


def test_spans_belong_to_the_tenant_of_the_header(tmp_path: Path) -> None:
    with running_server(tmp_path / "store", "-multitenancy.enabled") as server:
        mine = post(server, thrift_batch(batch(0x600)), X_Scope_OrgID="me")
        nobodys = post(server, thrift_batch(batch(0x601)))
        call(server, post_spans(batch(0x602)), ("x-scope-orgid", "me"))
        with pytest.raises(grpc.RpcError) as refused:
            call(server, post_spans(batch(0x603)))
        mine_found = [
            httpx.get(
                f"{server.api_url}/api/traces/{t:x}", headers={"X-Scope-OrgID": org}
            ).status_code
            for t in (0x600, 0x602)
            for org in ("me", "you")
        ]

    assert mine.status_code == 202
    assert (nobodys.status_code, nobodys.text) == (500, "Cannot submit Jaeger batch: no org id\n")
    assert (refused.value.code(), refused.value.details()) == (
        grpc.StatusCode.UNAVAILABLE,
        "no org id",
    )
    assert mine_found == [200, 404, 200, 404]


def send_datagram(port: int, datagram: bytes) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(datagram, ("127.0.0.1", port))


def refused_datagrams(server: Server, name: str) -> float:
    labels = f'{{status="INVALID_ARGUMENT",transport="udp_{name}"}}'
    sample = f"tracestore_receiver_refused_requests_total{labels}"
    lines = httpx.get(f"{server.api_url}/metrics", timeout=30).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(sample))


@pytest.mark.parametrize(
    ("name", "protocol"), [("thrift-compact", TCompactProtocol), ("thrift-binary", TBinaryProtocol)]
)
def test_an_agent_takes_datagrams_and_drops_what_is_none(
    server: Server, agents: dict[str, int], name: str, protocol: type
) -> None:
    label = name.replace("-", "_")
    before = refused_datagrams(server, label)
    trace = 0x800 + len(name)

    send_datagram(agents[name], b"no thrift")
    send_datagram(agents[name], thrift_message(batch(0), protocol))
    send_datagram(agents[name], thrift_message(batch(trace), protocol))

    wait_until(lambda: len(spans_of(server, trace)) == 1)
    wait_until(lambda: refused_datagrams(server, label) == before + 2)


def test_accepted_and_refused_spans_are_counted(server: Server) -> None:
    def count(transport: str) -> float:
        labels = f'{{receiver="jaeger/jaeger_receiver",transport="{transport}"}}'
        sample = f"tempo_receiver_accepted_spans{labels}"
        lines = httpx.get(f"{server.api_url}/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(sample))

    before = count("http"), count("grpc")
    post(server, thrift_batch(batch(0x700)))
    call(server, post_spans(batch(0x701)))

    assert (count("http"), count("grpc")) == (before[0] + 1, before[1] + 1)

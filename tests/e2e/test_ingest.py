"""OTLP over the network: what is taken, what is refused, and in which words."""

import gzip
import json
import zlib
from collections.abc import Iterator

import grpc
import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from support.otlp import request, span
from support.server import Server, running_server

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF = "application/x-protobuf"
LIMIT = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flag = f"--distributor.receivers.request-bytes-max={LIMIT}"
    with running_server(tmp_path_factory.mktemp("data") / "store", flag) as server:
        yield server


def one(trace: int | bytes, id: int | bytes = 1, **fields: object) -> bytes:
    spans = [span(trace=trace, id=id, name="op", **fields)]  # type: ignore[arg-type]
    return request(resource={"service.name": "shop"}, spans=spans)


def post(
    server: Server, body: bytes, content_type: str = PROTOBUF, **headers: str
) -> httpx.Response:
    sent = {"Content-Type": content_type} | {k.replace("_", "-"): v for k, v in headers.items()}
    return httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=sent, timeout=30)


def export(server: Server, body: bytes, **call: object) -> bytes:
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.otlp_grpc, options=options) as channel:
        return channel.unary_unary(EXPORT)(body, timeout=30, **call)


def spans_of(server: Server, trace: int) -> int:
    reply = httpx.get(f"{server.api_url}/api/v2/traces/{trace:x}", timeout=30)
    groups = reply.json()["trace"].get("resourceSpans", [])
    return sum(len(scope["spans"]) for group in groups for scope in group["scopeSpans"])


def test_the_sdk_exporter_delivers(server: Server) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "sdk"}))
    exporter = OTLPSpanExporter(endpoint=server.otlp_grpc, insecure=True)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    with provider.get_tracer("test").start_as_current_span("by the sdk") as made:
        trace = made.get_span_context().trace_id
        made.set_status(otel.StatusCode.ERROR)
    provider.shutdown()

    assert spans_of(server, trace) == 1


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]
)
def test_grpc_answers_with_an_empty_partial_success(
    server: Server, compression: grpc.Compression
) -> None:
    trace = 0x100 + int(compression)

    assert export(server, one(trace), compression=compression) == b"\x0a\x00"
    assert spans_of(server, trace) == 1


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress)],
)
def test_http_takes_protobuf(server: Server, encoding: str, pack: object) -> None:
    trace = 0x200 + len(encoding)

    reply = post(server, pack(one(trace)), Content_Encoding=encoding)  # type: ignore[operator]

    assert (reply.status_code, reply.content) == (200, b"\x0a\x00")
    assert reply.headers["content-type"] == PROTOBUF
    assert spans_of(server, trace) == 1


def test_http_takes_json(server: Server) -> None:
    body = {
        "resourceSpans": [
            {"scope_spans": [{"spans": [{"traceId": f"{0x300:032X}", "spanId": "00" * 7 + "01"}]}]}
        ]
    }

    reply = post(server, json.dumps(body).encode(), "application/json; charset=utf-8")

    assert (reply.status_code, reply.json()) == (200, {"partialSuccess": {}})
    assert spans_of(server, 0x300) == 1


def test_an_empty_request_succeeds(server: Server) -> None:
    assert export(server, b"") == b"\x0a\x00"
    assert post(server, b"").content == b"\x0a\x00"


def test_the_same_request_twice_is_one_span(server: Server) -> None:
    export(server, one(0x400))
    export(server, one(0x400))

    assert spans_of(server, 0x400) == 1


BAD = {
    "no trace id": (one(b""), "trace ids must be 128 bit, received 0 bits"),
    "zero trace id": (one(0), "trace ids must be 128 bit, received 0 bits"),
    "no span id": (one(5, b""), "span ids must be 64 bit and not all zero, received 0 bits"),
    "zero span id": (one(5, 0), "span ids must be 64 bit and not all zero, received 0 bits"),
    "short trace id": (one(b"abc"), "at byte"),
    "malformed": (b"\x0a\xff\xff", "at byte"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_whole(server: Server, name: str) -> None:
    body, message = BAD[name]
    good_and_bad = one(0x500) + body

    with pytest.raises(grpc.RpcError) as refused:
        export(server, good_and_bad)
    reply = post(server, good_and_bad)
    status = Status.FromString(reply.content)

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert message in refused.value.details()
    assert (reply.status_code, status.code) == (400, 3)
    assert message in status.message
    assert spans_of(server, 0x500) == 0


def test_a_bad_json_request_is_answered_in_json(server: Server) -> None:
    reply = post(server, b'{"resourceSpans": 7}', "application/json")

    assert reply.status_code == 400
    assert reply.json()["code"] == 3


def test_discarded_spans_are_counted(server: Server) -> None:
    sample = 'tempo_discarded_spans_total{reason="invalid_trace_id",tenant="single-tenant"}'

    def discarded() -> float:
        text = httpx.get(f"{server.api_url}/metrics").text
        return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(sample))

    before = discarded()
    post(server, one(0x600) + one(0))

    assert discarded() == before + 2


def test_other_methods_types_and_encodings_are_refused(server: Server) -> None:
    url = f"{server.otlp_http}/v1/traces"
    got = httpx.get(url)
    odd = httpx.request("FROBNICATE", url)
    text = post(server, b"", "text/plain")
    brotli = post(server, b"", Content_Encoding="br")

    assert (got.status_code, got.text) == (405, "405 method not allowed, supported: [POST]")
    assert (odd.status_code, odd.text, odd.headers["allow"]) == (405, got.text, "POST")
    assert (text.status_code, text.text) == (
        415,
        "415 unsupported media type, supported: [application/json, application/x-protobuf]",
    )
    assert (brotli.status_code, brotli.text) == (400, "unsupported Content-Encoding: br")


def test_other_services_are_unimplemented(server: Server) -> None:
    other = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
    with (
        grpc.insecure_channel(server.otlp_grpc) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        channel.unary_unary(other)(b"", timeout=30)

    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_over_the_limit_is_refused(server: Server) -> None:
    body = one(0x700, attributes={"padding": "x" * LIMIT})

    with pytest.raises(grpc.RpcError) as refused:
        export(server, body)
    announced = post(server, body)
    chunked = httpx.post(
        f"{server.otlp_http}/v1/traces",
        content=iter([body[: LIMIT // 2], body[LIMIT // 2 :]]),
        headers={"Content-Type": PROTOBUF},
        timeout=30,
    )

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (announced.status_code, announced.headers["connection"]) == (413, "close")
    assert chunked.status_code == 413
    assert spans_of(server, 0x700) == 0


def test_a_bomb_stops_at_the_limit(server: Server) -> None:
    bomb = gzip.compress(bytes(256 << 20))
    assert len(bomb) < LIMIT
    peak = memory_peak(server)

    over_http = post(server, bomb, Content_Encoding="gzip")
    grown_by_http = memory_peak(server) - peak

    assert over_http.status_code == 413
    assert grown_by_http < 64 << 20


def test_refused_requests_leave_no_memory_behind(server: Server) -> None:
    malformed = b"\xff" * (LIMIT - 1000)
    with pytest.raises(grpc.RpcError):
        export(server, malformed)
    post(server, malformed)
    peak = memory_peak(server)

    for _ in range(60):
        with pytest.raises(grpc.RpcError):
            export(server, malformed)
        assert post(server, malformed).status_code == 400

    assert memory_peak(server) - peak < 32 * LIMIT


def memory_peak(server: Server) -> int:
    with open(f"/proc/{server.process.pid}/status") as status:
        (line,) = (line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024

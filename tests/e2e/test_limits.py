"""Limits of tenants in a running server: words, codes, delays, counts; and the file read again."""

import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from support.otlp import request, span
from support.server import Server, running_server, start_server, wait_until
from support.tempopb import message, method

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
FILE = """
overrides:
  slow:
    ingestion: {rate_limit_bytes: 1, burst_size_bytes: 100}
  once:
    ingestion: {rate_limit_bytes: 400, burst_size_bytes: 400}
  quiet:
    ingestion: {rate_limit_bytes: 1, burst_size_bytes: 100, retry_info_enabled: false}
  small:
    ingestion: {max_request_bytes: 100}
  short:
    ingestion: {max_attribute_bytes: 8}
  few:
    ingestion: {max_traces_per_user: 1}
  thin:
    global: {max_bytes_per_trace: 200}
    read: {left_pad_trace_ids: true, max_search_duration: 1h, max_metrics_duration: 1h}
"""


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    directory = tmp_path_factory.mktemp("limits")
    file = directory / "overrides.yaml"
    file.write_text(FILE)
    flags = (
        "-multitenancy.enabled",
        f"--overrides.per-tenant-override-config={file}",
        "--overrides.per-tenant-override-period=100ms",
        "--distributor.retry-after-on-resource-exhausted=2s",
    )
    with running_server(directory / "store", *flags) as server:
        yield server, file


def replace_file(file: Path, text: str) -> None:
    """Put another file in the place of one in one step, so that no half of it is ever read."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


@pytest.fixture
def server(limited: tuple[Server, Path]) -> Server:
    return limited[0]


def one(trace: int, id: int = 1, **fields: object) -> bytes:
    spans = [span(trace=trace, id=id, name="n" * 100, **fields)]  # type: ignore[arg-type]
    return request(resource={"service.name": "shop"}, spans=spans)


def post(server: Server, tenant: str, body: bytes) -> httpx.Response:
    headers = {"Content-Type": "application/x-protobuf", "X-Scope-OrgID": tenant}
    return httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers, timeout=30)


def export(server: Server, tenant: str, body: bytes) -> grpc.RpcError:
    metadata = [("x-scope-orgid", tenant)]
    with grpc.insecure_channel(server.otlp_grpc) as channel:
        call = channel.unary_unary(EXPORT)
        with pytest.raises(grpc.RpcError) as caught:
            call(body, timeout=30, metadata=metadata)
    return caught.value


def get(server: Server, tenant: str, path: str, **params: object) -> httpx.Response:
    headers = {"X-Scope-OrgID": tenant}
    return httpx.get(f"{server.api_url}{path}", headers=headers, params=params, timeout=30)


def spans_of(server: Server, tenant: str, trace: int) -> list[dict[str, object]]:
    reply = get(server, tenant, f"/api/v2/traces/{trace:x}")
    groups = reply.json()["trace"].get("resourceSpans", [])
    return [s for group in groups for scope in group["scopeSpans"] for s in scope["spans"]]


def samples(server: Server, name: str, **labels: str) -> float:
    """Add up the samples that have some labels."""
    total = 0.0
    for line in httpx.get(f"{server.api_url}/metrics", timeout=30).text.splitlines():
        match = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
        if match and all(f'{k}="{v}"' in (match[1] or "") for k, v in labels.items()):
            total += float(match[2])
    return total


def test_too_fast_is_refused_with_a_delay_in_the_words_of_tempo(server: Server) -> None:
    body = one(0x11)
    words = (
        f"RATE_LIMITED: batch size ({len(body)} bytes) exceeds ingestion limit (local: 1 bytes/s, "
        f"global: 0 bytes/s, burst: 100 bytes) while adding {len(body)} bytes for user slow. "
        "consider reducing batch size or increasing rate limit."
    )

    reply = post(server, "slow", body)
    error = export(server, "slow", body)

    status = Status.FromString(reply.content)
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "2")
    assert (status.code, status.message) == (8, words)
    assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, words)
    sent = dict(error.trailing_metadata())["grpc-status-details-bin"]
    for found in (status, Status.FromString(sent)):
        retry = RetryInfo()
        assert found.details[0].Unpack(retry)
        assert retry.retry_delay.ToSeconds() == 2
    labels = {"reason": "rate_limited", "tenant": "slow"}
    assert samples(server, "tempo_discarded_spans_total", **labels) == 2
    assert "spans are discarded" in server.log()


def test_the_delay_can_be_switched_off(server: Server) -> None:
    reply = post(server, "quiet", one(0x12))

    assert reply.status_code == 429
    assert "retry-after" not in reply.headers
    assert not Status.FromString(reply.content).details


@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_the_sdk_waits_and_delivers_in_the_end(server: Server, kind: str) -> None:
    body = one(0x13)
    wait_until(lambda: post(server, "once", body).status_code == 429)
    exporter: GrpcExporter | HttpExporter
    if kind == "grpc":
        headers = (("x-scope-orgid", "once"),)
        exporter = GrpcExporter(endpoint=server.otlp_grpc, insecure=True, headers=headers)
    else:
        url = f"{server.otlp_http}/v1/traces"
        exporter = HttpExporter(endpoint=url, headers={"X-Scope-OrgID": "once"})
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    refused = samples(server, "tempo_discarded_spans_total", tenant="once")

    with provider.get_tracer("t").start_as_current_span("s" * 100) as made:
        trace = made.get_span_context().trace_id
    provider.shutdown()

    assert samples(server, "tempo_discarded_spans_total", tenant="once") > refused
    assert len(spans_of(server, "once", trace)) == 1


def test_a_request_can_be_too_large_for_its_tenant(server: Server) -> None:
    reply = post(server, "small", one(0x14))
    error = export(server, "small", one(0x14))

    assert reply.status_code == 413
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "exceeds the limit of 100 bytes for user small" in error.details()
    labels = {"reason": "request_too_large", "tenant": "small"}
    assert samples(server, "tempo_discarded_spans_total", **labels) == 2


def test_long_attributes_are_cut_and_marked_also_after_a_crash(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data = tmp_path_factory.mktemp("cut") / "store"
    flag = "--distributor.max-attribute-bytes=8"
    long = {"db.statement": "select * from everything", "ok": "12345678"}
    with running_server(data, flag) as server:
        assert post(server, "x", one(0x15, attributes=long)).status_code == 200
        before = spans_of(server, "x", 0x15)
        server.kill()
    with running_server(data) as server:
        after = spans_of(server, "x", 0x15)
        query = '{ span.tracestore.truncated = "db.state" }'
        found = get(server, "x", "/api/search", q=query).json()["traces"]

    assert before == after
    assert [trace["traceID"] for trace in found] == ["15"]
    values = {a["key"]: a["value"] for a in before[0]["attributes"]}  # type: ignore[attr-defined]
    assert values == {
        "db.state": {"stringValue": "select *"},
        "ok": {"stringValue": "12345678"},
        "tracestore.truncated": {"arrayValue": {"values": [{"stringValue": "db.state"}]}},
    }


def test_attributes_are_cut_by_the_limit_of_the_tenant(server: Server) -> None:
    post(server, "short", one(0x16, attributes={"k": "123456789"}))
    post(server, "other", one(0x16, attributes={"k": "123456789"}))

    def texts_of(tenant: str) -> dict[str, str | None]:
        attributes = spans_of(server, tenant, 0x16)[0]["attributes"]
        return {a["key"]: a["value"].get("stringValue") for a in attributes}  # type: ignore[attr-defined]

    texts = {tenant: texts_of(tenant) for tenant in ("short", "other")}
    assert texts["short"]["k"] == "12345678"
    assert texts["other"] == {"k": "123456789"}
    name = "tempo_distributor_attributes_truncated_total"
    assert samples(server, name, tenant="short", scope="span") == 1
    assert samples(server, name, tenant="short", scope="resource") == 1


def test_spans_of_too_many_traces_are_left_out_and_counted(server: Server) -> None:
    first = post(server, "few", one(0x17))
    second = post(server, "few", one(0x18))

    assert (first.status_code, second.status_code) == (200, 200)
    assert second.content == b"\x0a\x00"
    assert len(spans_of(server, "few", 0x17)) == 1
    assert spans_of(server, "few", 0x18) == []
    labels = {"reason": "live_traces_exceeded", "tenant": "few"}
    assert samples(server, "tempo_discarded_spans_total", **labels) == 1


def test_a_trace_that_grows_too_large_keeps_what_it_has(server: Server) -> None:
    replies = [post(server, "thin", one(0x19, id)).status_code for id in (1, 2, 3)]

    assert replies == [200, 200, 200]
    assert len(spans_of(server, "thin", 0x19)) == 1
    labels = {"reason": "trace_too_large", "tenant": "thin"}
    assert samples(server, "tempo_discarded_spans_total", **labels) == 2


def test_a_trace_at_its_limit_can_be_read_whatever_wraps_it(
    limited: tuple[Server, Path],
) -> None:
    server, file = limited
    spans = [span(trace=0x1B, id=1, name="n" * 100)]
    body = request(resource={"service.name": "s" * 500}, spans=spans)
    assert post(server, "thin", body).status_code == 200

    first = get(server, "thin", "/api/traces/1b")
    second = get(server, "thin", "/api/v2/traces/1b").json()

    assert first.status_code == 200
    assert second.keys() == {"trace", "metrics"}
    post(server, "later", one(0x1C, 1) + one(0x1C, 2))
    replace_file(file, FILE + "  later: {global: {max_bytes_per_trace: 200}}\n")
    wait_until(lambda: get(server, "later", "/api/traces/1c").status_code == 422)
    words = "trace exceeds max size (max bytes: 200)"
    assert get(server, "later", "/api/traces/1c").text == words
    assert get(server, "later", "/api/v2/traces/1c").json()["status"] == "PARTIAL"


def test_limits_of_reading_are_of_the_tenant_and_the_strictest_holds(server: Server) -> None:
    post(server, "thin", one(0x19))
    post(server, "wide", one(0x1A))
    window = {"start": 1_700_000_000, "end": 1_700_007_200, "q": "{}"}

    wide = get(server, "wide", "/api/search", **window)
    thin = get(server, "thin", "/api/search", **window)
    both = get(server, "wide|thin", "/api/search", **window)

    assert [trace["traceID"] for trace in wide.json()["traces"]] == ["1a"]
    words = (
        "range specified by start and end exceeds 1h0m0s. received start=1700000000 end=1700007200"
    )
    assert (thin.status_code, thin.text) == (400, words)
    assert (both.status_code, both.text) == (400, words)
    padded = get(server, "thin", "/api/search", q="{}").json()["traces"]
    assert f"{0x19:032x}" in [trace["traceID"] for trace in padded]


def test_the_file_is_read_again_and_a_bad_one_changes_nothing(
    limited: tuple[Server, Path],
) -> None:
    server, file = limited
    successful = "tempo_runtime_config_last_reload_successful"
    assert samples(server, successful) == 1
    assert post(server, "late", one(0x21)).status_code == 200

    late = "  late: {ingestion: {rate_limit_bytes: 0, burst_size_bytes: 0}}\n"
    replace_file(file, FILE + late)
    wait_until(lambda: post(server, "late", one(0x22)).status_code == 429)
    hash_of = {"sha256": ""}
    assert samples(server, "tempo_runtime_config_hash") == 1
    assert samples(server, "tempo_runtime_config_hash", **hash_of) == 0
    labels = {"limit_name": "ingestion_burst_size_bytes", "user": "slow"}
    assert samples(server, "tempo_limits_overrides", **labels) == 100

    replace_file(file, FILE + "  late: {ingestion: {rate_limit_byte: 1}}\n")
    wait_until(lambda: samples(server, successful) == 0)
    assert post(server, "late", one(0x23)).status_code == 429
    file.touch()
    wait_until(lambda: "rate_limit_byte;" in server.log())
    assert server.log().count("overrides are bad") == 1
    assert "nearest known one is overrides.defaults.ingestion.rate_limit_bytes" in server.log()

    replace_file(file, FILE)
    wait_until(lambda: post(server, "late", one(0x24)).status_code == 200)
    assert samples(server, successful) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read overrides"),
        ("overrides: {a: {x: 1}}", "unknown key overrides.x"),
        ("overrides: {../a: {}}", "tenant ID '../a' contains unsupported character '/'"),
    ],
)
def test_a_bad_file_ends_the_start_with_one_line(
    tmp_path: Path, text: str | None, words: str
) -> None:
    file = tmp_path / "o.yaml"
    if text is not None:
        file.write_text(text)
    server = start_server(tmp_path / "store", f"--overrides.per-tenant-override-config={file}")

    assert server.process.wait(60) == 1
    (line,) = [line for line in server.log().splitlines() if "tracestore:" in line]
    assert str(file) in line
    assert words in line


START_S = 1_700_000_000
TOO_LONG = {
    "Search": ("SearchRequest", {"Query": "{}"}, 1, "range specified by start and end exceeds 1h"),
    "SearchTags": ("SearchTagsRequest", {}, 1, "range specified by start and end exceeds 1h"),
    "MetricsQueryRange": (
        "QueryRangeRequest",
        {"query": "{} | rate()"},
        10**9,
        "metrics query time range exceeds the maximum allowed duration of 1h",
    ),
    "MetricsQueryInstant": (
        "QueryInstantRequest",
        {"query": "{} | rate()"},
        10**9,
        "metrics query time range exceeds the maximum allowed duration of 1h",
    ),
}


@pytest.mark.parametrize("name", TOO_LONG)
def test_streams_keep_to_the_limits_of_their_tenant(server: Server, name: str) -> None:
    kind, fields, unit, text = TOO_LONG[name]
    asked = message(kind)(**fields, start=START_S * unit, end=(START_S + 7200) * unit)
    with grpc.insecure_channel(server.grpc) as channel:

        def ask(tenant: str) -> list[object]:
            call = method(channel, name)(asked, metadata=(("x-scope-orgid", tenant),), timeout=30)
            return list(call)

        with pytest.raises(grpc.RpcError) as refusal:
            ask("thin")
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert refusal.value.details().startswith(text)
        assert ask("other")

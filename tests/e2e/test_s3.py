"""The server on a real S3 bucket."""

from pathlib import Path

import grpc
import httpx
import pytest
import yaml
from support.otlp import EPOCH_NS, request, span
from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures
from support.server import running_server, start_server

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def send(otlp_grpc: str, trace: int) -> None:
    body = request(
        resource={"service.name": "shop"},
        spans=[span(trace=trace, id=1, name="GET /", attributes={"db.rows": 7})],
    )
    with grpc.insecure_channel(otlp_grpc) as channel:
        channel.unary_unary(EXPORT)(body, timeout=30)


def test_spans_are_in_the_bucket_and_found_by_a_server_with_an_empty_disk(
    s3: S3Place,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    with running_server(tmp_path / "one", *s3.flags()) as server:
        send(server.otlp_grpc, 0xAB)
        assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204
        requests = server.metric("tempodb_backend_request_duration_seconds_count")
        sent = server.metric("tracestore_backend_transfer_bytes_total")
    assert requests >= 5
    assert sent > 1000
    assert not (tmp_path / "one" / "blocks").exists()
    file = tmp_path / "tempo.yaml"
    file.write_text(yaml.safe_dump({"storage": s3.yaml()}))
    with running_server(tmp_path / "two", f"--config.file={file}") as server:
        found = httpx.get(
            f"{server.api_url}/api/search",
            params={
                "q": "{ span.db.rows = 7 }",
                "start": EPOCH_NS // 10**9 - 60,
                "end": EPOCH_NS // 10**9 + 3600,
            },
            timeout=30,
        ).json()
        trace = httpx.get(f"{server.api_url}/api/v2/traces/ab", timeout=30).json()
    assert [each["traceID"] for each in found["traces"]] == ["ab"], found
    assert len(trace["trace"]["resourceSpans"]) == 1


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--storage.s3.bucket=nowhere", "there is no bucket nowhere"),
        ("--storage.s3.secret-key=wrong", "SignatureDoesNotMatch"),
    ],
)
def test_a_bad_bucket_ends_the_start_with_one_clear_line(
    s3: S3Place,  # noqa: F811 - the fixture
    tmp_path: Path,
    flag: str,
    message: str,
) -> None:
    server = start_server(tmp_path / "data", *s3.flags(), flag)

    assert server.process.wait(60) == 1
    assert message in server.log()
    assert "Traceback" not in server.log()

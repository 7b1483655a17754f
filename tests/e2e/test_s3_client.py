"""A bucket is asked without a server: by ``tracestore.open`` and on the command line."""

import json
import subprocess
import sys
from pathlib import Path

import grpc
import httpx
import pytest
from support.otlp import request, span
from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures
from support.server import running_server

import tracestore
from tracestore.errors import InvalidRequestError, SettingsError

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture
def url(s3: S3Place, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: F811 - the fixture
    monkeypatch.setenv("TRACESTORE_STORAGE__S3__ENDPOINT", f"http://{s3.settings.endpoint}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.settings.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.settings.secret_key)
    return f"s3://{s3.settings.bucket}/{s3.settings.prefix}"


def send(address: str, number: int) -> None:
    body = request(
        resource={"service.name": "shop"}, spans=[span(trace=number, id=1, name=f"op{number}")]
    )
    with grpc.insecure_channel(address) as channel:
        channel.unary_unary(EXPORT)(body, timeout=30)


def test_blocks_and_the_log_in_the_bucket_are_read(
    s3: S3Place,  # noqa: F811 - the fixture
    url: str,
    tmp_path: Path,
) -> None:
    flags = [*s3.flags(), "--ingester.wal.store=bucket"]
    with running_server(tmp_path / "data", *flags) as server:
        send(server.otlp_grpc, 1)
        assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204
        store = tracestore.open(url)
        assert [trace.root_name for trace in store.search("{ }").traces] == ["op1"]
        send(server.otlp_grpc, 2)
        assert {trace.root_name for trace in store.search("{ }").traces} == {"op1", "op2"}
        server.kill()
    assert {trace.root_name for trace in store.search("{ }").traces} == {"op1", "op2"}
    told = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "tracestore.cli.main", "query"),
            *(f"--data={url}", "--output=json", '{ name = "op1" }'),
        ],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert [trace["rootTraceName"] for trace in json.loads(told.stdout)["traces"]] == ["op1"]


def test_what_is_no_bucket_is_named(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="names no bucket"):
        tracestore.open("s3://")
    with pytest.raises(SettingsError, match="there is no bucket no-such-one"):
        tracestore.open("s3://no-such-one/x")

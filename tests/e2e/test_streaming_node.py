"""Streaming search by another real client, @grpc/grpc-js of Node, made from our .proto file."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import pytest
from support import npm
from support.otlp import request, span
from support.server import running_server

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "tracestore" / "codec" / "proto" / "tempopb.proto"
SCRIPT = ROOT / "tests" / "support" / "streaming_client.mjs"
PACKAGES = ("@grpc/grpc-js@1", "@grpc/proto-loader@0.8")

pytestmark = pytest.mark.timeout(npm.INSTALL_S_MAX + 120)


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest) -> Path:
    """Install the real packages once."""
    return npm.copy_script(npm.install(request.config.cache, "grpc-js", PACKAGES), SCRIPT)


def test_twenty_streams_at_a_time_on_either_port(client: Path, tmp_path: Path) -> None:
    with running_server(tmp_path / "store") as server:
        body = request(spans=[span(trace=t, id=1, name=f"s{t}", start_ms=t) for t in range(1, 40)])
        headers = {"Content-Type": "application/x-protobuf"}
        assert httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers).is_success
        server.wait_until_decoded()
        targets = (server.grpc, server.api_url.removeprefix("http://"))
        command = ["node", client, PROTO, ROOT, *targets]
        done = subprocess.run(command, check=True, capture_output=True, timeout=100)

    for answer in json.loads(done.stdout):
        for found in answer["found"]:
            assert found["code"] == 0, found
            last = found["messages"][-1]
            assert [int(one["traceID"], 16) for one in last["traces"]] == list(range(39, 0, -1))
            assert last["metrics"]["completedJobs"] == last["metrics"]["totalJobs"] == 1
        assert answer["refused"]["code"] == 3
        assert answer["refused"]["details"].startswith("invalid TraceQL query: parse error")

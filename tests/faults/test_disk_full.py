"""A full disk: senders are asked to retry, queries go on, ingest heals when there is space."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from support.otlp import request, span
from support.server import Server, running_server

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
DISK_MIB = 96
RETRYABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little space."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        if os.environ.get("CI") == "true":  # noqa: TID251 - tests may ask where they run
            pytest.fail(f"cannot mount a tmpfs: {mounted.stderr}")
        pytest.skip("needs the right to mount a tmpfs")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take all space that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


def trace_request(number: int) -> bytes:
    spans = [span(trace=number, id=1, name="op", attributes={"padding": os.urandom(9000).hex()})]
    return request(resource={"service.name": "shop"}, spans=spans)


def send_until_refused(
    export: grpc.UnaryUnaryMultiCallable, kept: set[int], *, at_most: int = 10
) -> grpc.RpcError:
    """Send traces, noting in ``kept`` which were taken, until one is not."""
    for number in range(1000, 1000 + at_most):
        try:
            export(trace_request(number), timeout=30)
        except grpc.RpcError as error:
            return error
        kept.add(number)
    pytest.fail("a full disk refused nothing")


def matched(server: Server) -> set[int]:
    reply = httpx.get(f"{server.api_url}/api/search", params={"q": "{}", "limit": 3000})
    assert reply.status_code == 200, reply.text
    return {int(trace["traceID"], 16) for trace in reply.json()["traces"]}


def test_a_full_disk_is_a_retryable_error_and_heals_without_a_restart(small_disk: Path) -> None:
    with (
        running_server(small_disk / "data") as server,
        grpc.insecure_channel(server.otlp_grpc) as channel,
    ):
        export = channel.unary_unary(EXPORT)
        for number in range(1, 11):
            export(trace_request(number), timeout=30)
        server.wait_until_decoded()
        filler = fill(small_disk)
        kept = set(range(1, 11))

        refused = send_until_refused(export, kept)
        reply = httpx.post(
            f"{server.otlp_http}/v1/traces",
            content=trace_request(200),
            headers={"Content-Type": "application/x-protobuf"},
        )
        during = matched(server)
        flush = httpx.get(f"{server.api_url}/flush", timeout=30)
        after_flush = matched(server)
        filler.unlink()
        for number in range(300, 310):
            export(trace_request(number), timeout=30)
        server.wait_until_decoded()
        healed = matched(server)
        flushed = httpx.get(f"{server.api_url}/flush", timeout=60)

    assert refused.code() in RETRYABLE
    if refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
        details = dict(refused.trailing_metadata())["grpc-status-details-bin"]
        (detail,) = Status.FromString(details).details
        assert RetryInfo.FromString(detail.value).retry_delay.seconds > 0
    assert reply.status_code in {429, 503}
    assert int(reply.headers["Retry-After"]) > 0
    assert kept <= during
    assert flush.status_code >= 500
    assert during == after_flush
    assert during | set(range(300, 310)) == healed
    assert flushed.status_code == 204
    with running_server(small_disk / "data") as server:
        assert healed == matched(server)


def test_no_room_for_blocks_is_a_retryable_error_at_once(small_disk: Path, tmp_path: Path) -> None:
    flags = (
        f"--ingester.wal.path={tmp_path / 'wal'}",
        "--ingester.max-block-bytes=40KiB",
        "--ingester.flush-retry-s=0.2",
    )
    with (
        running_server(small_disk / "data", *flags) as server,
        grpc.insecure_channel(server.otlp_grpc) as channel,
    ):
        export = channel.unary_unary(EXPORT)
        filler = fill(small_disk)
        kept: set[int] = set()

        refused = send_until_refused(export, kept, at_most=2000)
        with pytest.raises(grpc.RpcError) as again:
            export(trace_request(200), timeout=5)
        server.wait_until_decoded()
        during = matched(server)
        filler.unlink()
        flush = httpx.get(f"{server.api_url}/flush", timeout=60)
        export(trace_request(300), timeout=30)
        server.wait_until_decoded()
        healed = matched(server)

    assert refused.code() in RETRYABLE
    assert again.value.code() in RETRYABLE
    assert kept == during
    assert flush.status_code == 204
    assert healed == kept | {300}

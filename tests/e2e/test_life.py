"""Start, stop, crash and start again: what was acknowledged is there, once."""

import threading
from pathlib import Path

import grpc
import httpx
from support.otlp import request, span
from support.server import (
    Server,
    free_ports,
    running_server,
    start_server,
    wait_ready,
)

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def send(server: Server, traces: range) -> None:
    with grpc.insecure_channel(server.otlp_grpc) as channel:
        export = channel.unary_unary(EXPORT)
        for trace in traces:
            spans = [span(trace=trace, id=i, name=f"op {i}") for i in range(1, 4)]
            export(request(resource={"service.name": "shop"}, spans=spans), timeout=30)


def counts(server: Server) -> dict[int, int]:
    reply = httpx.get(f"{server.api_url}/api/search", params={"q": "{}", "limit": 1000}, timeout=30)
    assert reply.status_code == 200, reply.text
    return {int(t["traceID"], 16): t["spanSet"]["matched"] for t in reply.json()["traces"]}


def segments(data: Path) -> list[Path]:
    return list((data / "wal").rglob("*.wal"))


def test_a_stop_flushes_and_leaves_nothing_to_replay(tmp_path: Path) -> None:
    data = tmp_path / "store"
    with running_server(data) as server:
        send(server, range(1, 6))

    assert segments(data) == []
    assert len(list(data.rglob("meta.json"))) == 1
    with running_server(data) as server:
        assert counts(server) == dict.fromkeys(range(1, 6), 3)


def test_after_a_kill_the_log_is_replayed_once(tmp_path: Path) -> None:
    data = tmp_path / "store"
    with running_server(data) as server:
        send(server, range(1, 4))
        httpx.post(f"{server.api_url}/flush", timeout=60)
        send(server, range(3, 6))
        server.kill()

    with running_server(data) as server:
        replayed = server.metric("tracestore_wal_replayed_spans_total")
        found = counts(server)
        server.kill()
    with running_server(data) as server:
        again = counts(server)

    assert replayed == 9
    assert found == again == dict.fromkeys(range(1, 6), 3)


def test_every_query_during_a_flush_sees_each_span_once(tmp_path: Path) -> None:
    with running_server(tmp_path / "store") as server:
        seen: list[dict[int, int]] = []
        for round_ in range(5):
            send(server, range(round_ * 10 + 1, round_ * 10 + 11))
            flush = threading.Thread(
                target=httpx.post, args=(f"{server.api_url}/flush",), kwargs={"timeout": 60}
            )
            flush.start()
            while flush.is_alive():
                seen.append(counts(server))
                assert seen[-1] == dict.fromkeys(range(1, round_ * 10 + 11), 3)
            flush.join()

    assert seen


def test_a_port_in_use_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with running_server(tmp_path / "one") as first:
        port = first.api_url.rpartition(":")[2]
        second = start_server(tmp_path / "two", f"--server.http-listen-port={port}")
        code = second.process.wait(30)

    assert code == 1
    assert f"address 127.0.0.1:{port} is already in use" in second.log()
    assert "Traceback" not in second.log()


def test_a_data_directory_in_use_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with running_server(tmp_path / "store"):
        second = start_server(tmp_path / "store", log_path=tmp_path / "second.log")
        code = second.process.wait(30)

    assert code == 1
    assert "is in use by process" in second.log()
    assert "Traceback" not in second.log()


def test_receivers_can_be_switched_off(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    server = start_server(
        tmp_path / "store",
        "--distributor.receivers.grpc.enabled=false",
        f"--distributor.receivers.http.endpoint=127.0.0.1:{port}",
    )
    try:
        wait_ready(server)
        reply = httpx.get(f"http://127.0.0.1:{port}/v1/traces")
        assert reply.status_code == 405
        assert server.stop() == 0
    finally:
        server.process.kill()

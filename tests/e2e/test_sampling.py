"""Sampling policies of a real server: what is stored, what late spans do, what ``kill -9`` does."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import grpc
import httpx
import pyarrow.parquet as pq
from support.otlp import EPOCH_NS, request, span
from support.sampling import is_kept_by
from support.server import Server, running_server, wait_until
from support.stored import stored

POLICY = """
overrides:
  defaults:
    sampling: [{keep: '{status=error}'}, {keep: '{trace:duration > 2s}'}, \
{keep: '{resource.service.name =~ "payment-api|auth-service"}'}, {keep_ratio: 0.1}]
    drop: '{span.http.target = "/health"}'
compactor: {disabled: true}
"""
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TRACES = 300


def policy_file(directory: Path, text: str = POLICY) -> str:
    path = directory / "config.yaml"
    path.write_text(text)
    return f"--config.file={path}"


def send(server: Server, *requests: bytes) -> None:
    headers = {"Content-Type": "application/x-protobuf"}
    for body in requests:
        url = f"{server.otlp_http}/v1/traces"
        assert httpx.post(url, content=body, headers=headers, timeout=60).status_code == 200


def flush(server: Server) -> None:
    assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204


def one(trace: int, id: int = 1, service: str = "shop", **more: Any) -> bytes:
    return request(resource={"service.name": service}, spans=[span(trace=trace, id=id, **more)])


def traces(server: Server) -> set[int]:
    params: dict[str, str | int] = {"q": "{}", "limit": 1000}
    found = httpx.get(f"{server.api_url}/api/search", params=params, timeout=60).json()
    return {int(trace["traceID"], 16) for trace in found.get("traces", ())}


def instant(server: Server, query: str) -> float:
    start_s = EPOCH_NS // 10**9
    params: dict[str, str | int] = {"q": query, "start": start_s - 5, "end": start_s + 60}
    reply = httpx.get(f"{server.api_url}/api/metrics/query", params=params, timeout=60)
    assert reply.status_code == 200, reply.text
    return float(reply.json()["series"][0]["value"])


def by_ratio(ratio: float, upto: int = TRACES) -> set[int]:
    return {n for n in range(1, upto + 1) if is_kept_by(ratio, n.to_bytes(16, "big"))}


def test_a_policy_stores_what_matters_and_of_the_rest_a_share(tmp_path: Path) -> None:
    config, data = policy_file(tmp_path), tmp_path / "data"
    chosen = by_ratio(0.1)
    errors, slow, payment, health = {1001, 1002}, {1003}, {1004, 1005}, {1006, 1007}
    late = {True: min(chosen), False: min(set(range(1, TRACES)) - chosen)}
    with running_server(data, config) as server:
        many = [span(trace=n, id=1, start_ms=100) for n in range(1, TRACES + 1)]
        send(server, request(resource={"service.name": "shop"}, spans=many))
        send(server, *(one(n, status="error", start_ms=100) for n in errors))
        send(server, *(one(n, duration_ms=2001) for n in slow))
        send(server, *(one(n, service="payment-api", start_ms=100) for n in payment))
        send(server, *(one(n, attributes={"http.target": "/health"}) for n in health))
        send(server, one(1007, 2, status="error"))
        server.wait_until_decoded()
        assert instant(server, "{} | count_over_time() with(extrapolate=true)") == TRACES + 8
        flush(server)

        expected = chosen | errors | slow | payment
        assert traces(server) == expected
        plain = instant(server, "{} | count_over_time()")
        weighted = instant(server, "{} | count_over_time() with(extrapolate=true)")
        assert plain == len(expected)
        assert weighted == 10 * len(chosen) + 5

        send(server, one(late[True], 2, status="error"), one(late[False], 2, status="error"))
        flush(server)
        assert traces(server) == expected

    with running_server(data, config) as server:
        send(server, one(late[True], 3), one(1001, 3), one(late[False], 3, status="error"))
        flush(server)
        assert traces(server) == expected
        assert sum(stored(server, TRACES).values()) == len(chosen) + 2
        weighted = instant(server, "{} | count_over_time() with(extrapolate=true)")
        assert weighted == 10 * (len(chosen) + 2) + 6

    weights = [pq.read_table(p).to_pydict() for p in data.glob("blocks/*/*/traces.parquet")]
    found = {
        int.from_bytes(trace_id, "big"): weight
        for table in weights
        for trace_id, weight in zip(table["trace_id"], table["sampling_weight"], strict=True)
    }
    assert found == dict.fromkeys(chosen, 10.0) | dict.fromkeys(errors | slow | payment, 1.0)


def test_kill_between_cut_and_commit_decides_anew_and_loses_nothing(tmp_path: Path) -> None:
    config, data = policy_file(tmp_path), tmp_path / "data"
    cut_soon = "--ingester.max-block-duration=300ms"
    long_wait = "--ingester.sampling.decision-wait-s=500s"
    with running_server(data, config, cut_soon, long_wait) as server:
        send(server, one(1001), one(1002, status="error"), one(1003))
        server.wait_until_decoded()
        wait_until(lambda: server.metric("tracestore_sampling_waiting_heads") == 1)
        send(server, one(1001, 2, status="error"))  # it waits for this one
        server.wait_until_decoded()
        assert traces(server) == {1001, 1002, 1003}
        assert server.metric("tempo_live_store_blocks_completed_total") == 0
        server.kill()
    with running_server(data, config) as server:
        assert traces(server) == {1001, 1002, 1003}
        flush(server)
        assert traces(server) == {1001, 1002}
        assert server.metric("tracestore_sampling_traces_total") == 3


def test_kill_at_any_moment_keeps_whole_what_is_kept(tmp_path: Path) -> None:
    """Traces of even numbers are kept. Everything else goes, whenever the process dies."""
    text = "overrides: {defaults: {sampling: [{keep: '{ .keep = true }'}]}}"
    flags = [
        policy_file(tmp_path, text),
        "--ingester.max-block-bytes=20KiB",
        "--ingester.sampling.decision-wait-s=0",
    ]
    data, rng = tmp_path / "data", random.Random(5)
    acknowledged: set[tuple[int, int]] = set()
    next_id = 1
    for _ in range(2):
        with running_server(data, *flags) as server:
            with grpc.insecure_channel(server.otlp_grpc) as channel:
                export = channel.unary_unary(EXPORT)
                for _ in range(rng.randrange(20, 60)):
                    keys = [(rng.randrange(1, 40), next_id + i) for i in range(12)]
                    next_id += 12
                    spans = [
                        span(
                            trace=trace,
                            id=id,
                            attributes={"keep": trace % 2 == 0, "padding": "x" * 100},
                        )
                        for trace, id in keys
                    ]
                    export(request(resource={"service.name": "shop"}, spans=spans), timeout=30)
                    acknowledged.update(keys)
            server.kill()
    with running_server(data, *flags) as server:
        flush(server)
        found = stored(server, 40)
        assert set(found) == {key for key in acknowledged if key[0] % 2 == 0}
        assert set(found.values()) == {1}
        assert server.metric("tracestore_wal_corrupt_records_total") == 0

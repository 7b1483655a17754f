"""Remote write to a real Prometheus: what arrives, and what a receiver that is down costs."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.collections import counters
from support.prometheus import Prometheus, running_prometheus
from support.remote_writers import make_writer, remote, running, until
from support.server import free_ports, running_server, wait_until

from tracestore.model.collection import (
    Collection,
    Exemplars,
    Family,
    MetricType,
    NativeHistograms,
)
from tracestore.model.ids import SINGLE_TENANT
from tracestore.telemetry import Metrics

TESTS = Path(__file__).parents[1]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):  # type: ignore[no-untyped-def]
    with running_prometheus(tmp_path_factory.mktemp("prometheus")) as running_one:
        yield running_one


def latency(time_ms: int, scale: float) -> Collection:
    """A classic histogram with exemplars, and a native one of integers or of floats."""
    les = ["0.1", "1", "+Inf"]
    names = [("latency_bucket", {"le": le}) for le in les] + [
        ("latency_sum", {}), ("latency_count", {}), ("native", {"kind": "a"}),
        ("native", {"kind": "b"}),
    ]  # fmt: skip
    labels = {
        i: tuple(sorted((more | {"__name__": name, "service": "shop ✓"}).items()))
        for i, (name, more) in enumerate(names)
    }
    family = Family(name="latency", type=MetricType.HISTOGRAM, help="Time.")
    return Collection(
        tenant=SINGLE_TENANT,
        time_ms=time_ms,
        series=np.arange(5),
        values=np.array([1.0, 3.0, 4.0, 7.5, 4.0]) * scale,
        times_ms=np.full(5, time_ms),
        labels=labels,
        families=dict.fromkeys(labels, family),
        exemplars=Exemplars(
            series=np.array([1]), values=np.array([0.7]), times_ms=np.array([time_ms]),
            label="traceID", trace_ids=["abc123"],
        ),
        histograms=NativeHistograms(
            series=np.array([5, 6]),
            schema=np.array([0, 3], np.int32),
            counts=np.array([6.0, 2.5]) * scale,
            sums=np.array([12.0, 3.5]) * scale,
            zero_counts=np.array([1.0, 0.5]) * scale,
            zero_threshold=1e-9,
            first_bucket=np.array([0, 3, 4]),
            bucket_index=np.array([0, 1, 5, -2], np.int32),
            bucket_counts=np.array([2.0, 1.0, 2.0, 2.0]) * scale,
            is_reset=np.array([False, False]),
        ),
    )  # fmt: skip


def test_a_real_prometheus_has_the_numbers(prometheus: Prometheus, tmp_path: Path) -> None:
    metrics = Metrics(version="")
    at = now_ms() - 30_000

    async def run() -> None:
        writer = make_writer(tmp_path, remote(prometheus.write_url), metrics=metrics)
        async with running(writer):
            for i in range(3):
                await writer.offer(latency(at + 10_000 * i, float(i + 1)))

    asyncio.run(run())
    end_s = (at + 20_000) / 1000
    (count,) = prometheus.samples("latency_count", end_s).values()
    assert count == [[(at + 10_000 * i) / 1000, str(4 * (i + 1))] for i in range(3)]
    buckets = prometheus.query('latency_bucket{le="1"}', end_s)
    assert buckets[0]["metric"]["service"] == "shop ✓"
    assert buckets[0]["value"][1] == "9"
    found = prometheus.query("histogram_count(native)", end_s)
    assert {each["metric"]["kind"]: float(each["value"][1]) for each in found} == {
        "a": 18.0,
        "b": 7.5,
    }
    (quantile,) = prometheus.query('histogram_quantile(1, native{kind="a"})', end_s)
    assert float(quantile["value"][1]) == 32.0
    (sum_b,) = prometheus.query('histogram_sum(native{kind="b"})', end_s)
    assert float(sum_b["value"][1]) == 10.5
    (exemplar,) = prometheus.exemplars("latency_bucket", at / 1000 - 1, end_s + 1)
    assert [each["labels"] for each in exemplar["exemplars"]][-1] == {"traceID": "abc123"}
    text = metrics.render().decode()
    assert "samples_failed_total{" not in text
    assert "tracestore_remote_write_protocol_version{" in text


def test_a_prometheus_that_was_down_gets_everything_in_order(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/api/v1/write"
    at, rounds = now_ms() - 40_000, 12
    metrics = Metrics(version="")
    rng = random.Random(1)
    values = [[float(rng.randrange(1000) + 1000 * i) for _ in range(50)] for i in range(rounds)]

    async def run() -> None:
        entry = remote(
            url, queue_config={"max_samples_per_send": 7}, metadata_config={"send": False}
        )
        async with running(make_writer(tmp_path / "queue", entry, metrics=metrics)) as writer:
            with running_prometheus(tmp_path / "prometheus", port=port) as prometheus:
                await writer.offer(counters(at, values[0]))
                await until(lambda: prometheus.query("count(calls_total)", at / 1000 + 1))
            for i in range(1, rounds):
                await writer.offer(counters(at + 1000 * i, values[i]))
            series = {"tenant": "single-tenant", "remote_name": entry.name, "url": url}
            name = "prometheus_remote_storage_samples"
            await until(lambda: metrics.value(f"{name}_retried_total", **series) > 0)
            with running_prometheus(tmp_path / "prometheus", port=port) as prometheus:
                await until(lambda: metrics.value(f"{name}_pending", **series) == 0)
                found = prometheus.samples("calls_total", at / 1000 + rounds)
        assert metrics.value(f"{name}_failed_total", **series) == 0
        assert metrics.value(f"{name}_total", **series) == 50 * rounds
        assert found == {
            f"__name__=calls_total,n={n}": [
                [pytest.approx((at + 1000 * i) / 1000), str(int(values[i][n]))]
                for i in range(rounds)
            ]
            for n in range(50)
        }

    asyncio.run(run())


WRITER = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from support.collections import counters
from support.remote_writers import make_writer, remote, running

async def run():
    start_ms, count = int(sys.argv[4]), int(sys.argv[5])
    entry = remote(sys.argv[3], name="the-same")
    async with running(make_writer(Path(sys.argv[2]), entry)) as writer:
        for i in range(count):
            await writer.offer(counters(start_ms + 1000 * i, [float(i), 2.0 * i]))
        print("queued", flush=True)
        await asyncio.sleep(600)

asyncio.run(run())
"""


def test_what_a_killed_process_had_queued_is_sent_by_the_next(
    prometheus: Prometheus, tmp_path: Path
) -> None:
    (closed,) = free_ports(1)
    at = now_ms() - 50_000
    script = tmp_path / "writer.py"
    script.write_text(textwrap.dedent(WRITER))
    process = subprocess.Popen(
        [
            *(sys.executable, "-P", str(script), str(TESTS), str(tmp_path / "queue")),
            *(f"http://127.0.0.1:{closed}/api/v1/write", str(at), "20"),
        ],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"queued\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()

    async def run() -> None:
        entry = remote(prometheus.write_url, name="the-same")
        async with running(make_writer(tmp_path / "queue", entry)) as writer:
            await writer.offer(counters(at + 20_000, [100.0, 200.0]))

    asyncio.run(run())
    wait_until(lambda: prometheus.query("calls_total", at / 1000 + 20))
    found = prometheus.samples("calls_total", at / 1000 + 21)
    for n in range(2):
        samples = found[f"__name__=calls_total,n={n}"]
        assert [float(value) for _, value in samples] == [
            *((n + 1.0) * i for i in range(20)),
            100.0 * (n + 1),
        ]


CONFIG = """
metrics_generator:
  registry: {{collection_interval: 1s, external_labels: {{cluster: test}}}}
  storage:
    path: {path}
    remote_write: [{{url: "{url}"}}]
overrides:
  defaults:
    metrics_generator: {{processors: [span-metrics]}}
"""


def test_a_server_sends_what_it_counts_and_shows_it(prometheus: Prometheus, tmp_path: Path) -> None:
    config = tmp_path / "tempo.yaml"
    config.write_text(CONFIG.format(path=tmp_path / "generator", url=prometheus.write_url))
    calls = 'sum(traces_spanmetrics_calls_total{cluster="test"})'
    with running_server(tmp_path / "data", f"--config.file={config}") as server:
        body = request(spans=7, start_ns=time.time_ns() - 10**9)
        headers = {"Content-Type": "application/x-protobuf"}
        httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers)
        wait_until(lambda: values(prometheus.query(calls, now_ms() / 1000)) == [7.0])
        url = f"{server.api_url}/metrics/generated"
        with running_prometheus(tmp_path / "scraping", scrape=[url]) as scraping:
            wait_until(lambda: values(scraping.query(calls, now_ms() / 1000)) == [7.0])
            now_s = now_ms() / 1000
            sent = prometheus.query("traces_spanmetrics_latency_bucket", now_s)
            scraped = scraping.query("traces_spanmetrics_latency_bucket", now_s)
            assert buckets(scraped) == buckets(sent)

            def exemplars() -> list[dict[str, Any]]:
                # Each collection begins with none, so a scrape sees those of the last second.
                httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers)
                bucket = "traces_spanmetrics_latency_bucket"
                return scraping.exemplars(bucket, now_s - 60, now_s + 60)

            wait_until(exemplars)
            assert exemplars()[0]["exemplars"][0]["labels"]["traceID"] in "1234567"
        plain = httpx.get(url)
        assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "# TYPE traces_spanmetrics_calls_total counter\n" in plain.text
        assert server.metric("prometheus_remote_storage_samples_total") > 0
        assert server.metric("prometheus_remote_storage_samples_failed_total") == 0
    assert not list((tmp_path / "generator").rglob("*.segment"))


def buckets(vector: list[dict[str, Any]]) -> dict[str, str]:
    assert vector
    return {each["metric"]["le"]: each["value"][1] for each in vector}


def values(vector: list[dict[str, Any]]) -> list[float]:
    return [float(each["value"][1]) for each in vector]


def request(spans: int, start_ns: int) -> bytes:
    """Spans of one service, each a trace of its own."""
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = resource.scope_spans.add()
    for number in range(spans):
        scope.spans.add(
            trace_id=(number + 1).to_bytes(16, "big"),
            span_id=(number + 1).to_bytes(8, "big"),
            name="buy",
            kind=2,
            start_time_unix_nano=start_ns,
            end_time_unix_nano=start_ns + 10**7,
        )
    body: bytes = message.SerializeToString()
    return body

"""Metrics-generators in processes of their own, beside a distributor and an ingester."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from support.cluster import Cluster, running_cluster
from support.otlp import EPOCH_NS, request, span
from support.server import Server, wait_until

RECEIVED = "tempo_metrics_generator_spans_received_total"
EDGES = "tempo_metrics_generator_processor_service_graphs_edges"
SAMPLE = re.compile(
    r"^(traces_spanmetrics_calls_total|\w+_request_total){(.*)} (\S+)$", re.MULTILINE
)
"""Of the metrics made of spans, those that count spans or requests."""
DROPPED = "tracestore_distributor_metrics_generator_dropped_spans_total"
GENERATORS = ("generator-1", "generator-2")
TARGETS = {
    "distributor": "distributor",
    "ingester": "ingester",
    "generator-1": "metrics-generator",
    "generator-2": "metrics-generator-no-local-blocks",
}
CONFIG = """
multitenancy_enabled: true
overrides:
  per_tenant_override_config: {tenants}
"""
TENANTS = """
overrides:
  counted: {metrics_generator: {processors: [span-metrics, service-graphs]}}
  "*": {}
"""
NUMBERS = itertools.count(1)
"""Of traces; none comes twice."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("generators")
    (root / "tenants.yaml").write_text(TENANTS)
    (root / "config.yaml").write_text(CONFIG.format(tenants=root / "tenants.yaml"))
    with running_cluster(
        root,
        TARGETS,
        f"--config={root / 'config.yaml'}",
        flags_of=lambda data: [f"--metrics-generator.storage.path={data}-queue"],
    ) as running:
        yield running


def calls(count: int) -> bytes:
    """A request with traces of one call each: what calls, and what is called."""
    now_ms = (time.time_ns() - EPOCH_NS) / 1e6
    parts = []
    for trace in itertools.islice(NUMBERS, count):
        client, server = trace * 10, trace * 10 + 1
        parts += [
            ("web", span(trace=trace, id=client, kind="client", start_ms=now_ms)),
            ("shop", span(trace=trace, id=server, parent=client, kind="server", start_ms=now_ms)),
        ]
    return b"".join(
        request(
            resource={"service.name": service}, spans=[s for name, s in parts if name == service]
        )
        for service in ("web", "shop")
    )


def send(server: Server, body: bytes, tenant: str, **headers: str) -> None:
    sent = {"Content-Type": "application/x-protobuf", "X-Scope-OrgID": tenant, **headers}
    reply = httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=sent, timeout=60)
    assert reply.status_code == 200


def sums(cluster: Cluster, sample: str, names: Sequence[str] = GENERATORS) -> list[float]:
    return [cluster[name].metric(sample) for name in names]


def generated(cluster: Cluster, tenant: str) -> dict[tuple[str, str], float]:
    """Counts of spans and of requests as they are scraped, of all generators together."""
    found: Counter[tuple[str, str]] = Counter()
    for name in GENERATORS:
        url, headers = f"{cluster[name].api_url}/metrics/generated", {"X-Scope-OrgID": tenant}
        for name, labels, value in SAMPLE.findall(httpx.get(url, headers=headers).text):
            kind = re.search('span_kind="([^"]*)"', labels)
            found[name, kind[1] if kind else ""] += float(value)
    return dict(found)


def test_each_span_of_a_tenant_with_processors_is_counted_once(cluster: Cluster) -> None:
    before, edges = sum(sums(cluster, RECEIVED)), sum(sums(cluster, EDGES))
    sent = 0
    for size in (1, 7, 300, 2, 2000):
        send(cluster["distributor"], calls(size), "counted")
        send(cluster["distributor"], calls(3), "other")
        sent += size
    wait_until(lambda: sum(sums(cluster, EDGES)) - edges >= sent)

    counts = sums(cluster, RECEIVED)
    assert generated(cluster, "counted") == {
        ("traces_spanmetrics_calls_total", "SPAN_KIND_CLIENT"): sent,
        ("traces_spanmetrics_calls_total", "SPAN_KIND_SERVER"): sent,
        ("traces_service_graph_request_total", ""): sent,
    }
    assert generated(cluster, "other") == {}
    assert sum(counts) - before == 2 * sent
    assert sum(sums(cluster, EDGES)) - edges == sent  # both sides came to the same generator
    assert all(counts)
    assert cluster["ingester"].metric(RECEIVED) == 0
    assert cluster["distributor"].metric(DROPPED) == 0


def test_a_sender_may_have_its_spans_not_counted(cluster: Cluster) -> None:
    before = sum(sums(cluster, RECEIVED))
    send(cluster["distributor"], calls(5), "counted", **{"No-Generate-Metrics": "1"})
    send(cluster["distributor"], calls(1), "counted")
    wait_until(lambda: sum(sums(cluster, RECEIVED)) > before)

    assert sum(sums(cluster, RECEIVED)) - before == 2


def test_who_is_a_generator_is_seen_and_answers_probes(cluster: Cluster) -> None:
    page = httpx.get(f"{cluster['distributor'].api_url}/status/members").text
    assert page.count("metrics-generator") == 2
    for name in GENERATORS:
        api_url = cluster[name].api_url
        assert httpx.get(f"{api_url}/ready").status_code == 200
        assert "generator-inbox" in httpx.get(f"{api_url}/status/services").text


def test_a_generator_that_is_gone_is_replaced_and_senders_do_not_notice(cluster: Cluster) -> None:
    assert cluster["generator-1"].stop() == 0
    before = cluster["generator-2"].metric(RECEIVED)
    for _ in range(5):
        send(cluster["distributor"], calls(20), "counted")
    wait_until(lambda: cluster["generator-2"].metric(RECEIVED) - before >= 200)

    assert cluster["generator-2"].metric(RECEIVED) - before == 200
    cluster["generator-2"].kill()
    send(cluster["distributor"], calls(20), "counted")
    wait_until(lambda: cluster["distributor"].metric(DROPPED) >= 40)
    for name in GENERATORS:
        cluster.start(name)
    cluster.wait_ready()
    send(cluster["distributor"], calls(200), "counted")
    wait_until(lambda: sum(sums(cluster, RECEIVED)) == 400)
    assert all(sums(cluster, RECEIVED))


def test_beside_a_process_with_all_roles_no_span_is_counted_twice(tmp_path: Path) -> None:
    (tmp_path / "tenants.yaml").write_text(TENANTS)
    (tmp_path / "config.yaml").write_text(CONFIG.format(tenants=tmp_path / "tenants.yaml"))
    targets = {"all": "all", "ingester": "ingester", "generator": "metrics-generator"}
    with running_cluster(
        tmp_path,
        targets,
        f"--config={tmp_path / 'config.yaml'}",
        flags_of=lambda data: [f"--metrics-generator.storage.path={data}-queue"],
    ) as cluster:
        for _ in range(4):
            send(cluster["all"], calls(50), "counted")
        send(cluster["all"], calls(50), "counted", **{"No-Generate-Metrics": "1"})
        wait_until(lambda: sum(sums(cluster, RECEIVED, list(targets))) >= 400)
        cluster["all"].wait_until_decoded()

        own, none, pushed = sums(cluster, RECEIVED, list(targets))
        assert (own + pushed, none) == (400, 0)
        assert own
        assert pushed
        assert sum(sums(cluster, EDGES, list(targets))) == 200


def test_without_a_directory_a_generator_does_not_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tracestore.cli.main", "serve", "--target=metrics-generator"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode != 0
    said = "no metrics_generator.storage.path configured, metrics generator will be disabled"
    assert said in done.stderr + done.stdout

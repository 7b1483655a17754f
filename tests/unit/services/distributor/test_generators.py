"""Acknowledged spans to metrics-generators, over real gRPC."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.generating import GeneratorCluster, generator_cluster
from support.generator import Labels
from support.naive_generator import NaiveServiceGraph, NaiveSpanMetrics, spans_of
from support.otlp import request, span

from tracestore.kernel import check
from tracestore.model.ids import TenantId
from tracestore.services.members.member import Role

SHOP, BANK = TenantId("shop"), TenantId("bank")
TRACES = range(1, 41)
NUMBERS = itertools.count(1)
"""Of spans: none comes twice."""
APART = frozenset({Role.METRICS_GENERATOR.value})
ALL = frozenset(role.value for role in Role)

Scenario = Callable[[GeneratorCluster], Awaitable[None]]


def body(*traces: int, spans: int = 3) -> bytes:
    made = [span(trace=t, id=next(NUMBERS)) for t in traces for _ in range(spans)]
    return request(resource={"service.name": "shop"}, spans=made)


def offer(cluster: GeneratorCluster, tenant: TenantId, sent: bytes) -> None:
    cluster.pushes.offer(tenant, sent, check(sent).spans)


def play(scenario: Scenario, *nodes: tuple[str, frozenset[str]], **settings: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), generator_cluster(nodes, **settings) as cluster:
            await scenario(cluster)

    asyncio.run(run())


def test_every_span_is_counted_once_and_a_trace_stays_with_one_generator() -> None:
    async def scenario(cluster: GeneratorCluster) -> None:
        for trace in TRACES:
            offer(cluster, SHOP, body(trace))
            offer(cluster, BANK, body(trace, trace + 1))
        offer(cluster, SHOP, body(*TRACES))
        await cluster.settle()

        expected = Counter({(SHOP, trace): 6 for trace in TRACES})
        for trace in TRACES:
            expected.update({(BANK, trace): 3, (BANK, trace + 1): 3})
        assert cluster.spans == expected
        homes = [set(node.counts.spans) for node in cluster.nodes]
        assert all(homes)
        assert sum(map(len, homes)) == len(expected)

    play(scenario, ("a", APART), ("b", APART), ("c", APART))


def test_what_waits_of_a_tenant_is_sent_together() -> None:
    async def scenario(cluster: GeneratorCluster) -> None:
        for trace in TRACES:
            offer(cluster, SHOP, body(trace))
        await cluster.settle()

        name = "tempo_distributor_metrics_generator_pushes_total"
        assert sum(cluster.spans.values()) == 3 * len(TRACES)
        assert cluster.metrics.value(name, metrics_generator="a") == 2

    play(scenario, ("a", APART), batch_bytes_max=len(body(1)) * 20 + 40)


def test_processes_that_do_nothing_else_come_first() -> None:
    async def scenario(cluster: GeneratorCluster) -> None:
        offer(cluster, SHOP, body(*TRACES))
        await cluster.settle()
        assert [bool(node.counts.spans) for node in cluster.nodes] == [False, True]

    play(scenario, ("all", ALL), ("b", APART))


@pytest.mark.parametrize("how", ["dead", "refusing"])
def test_what_is_of_a_generator_that_is_gone_goes_to_the_next(how: str) -> None:
    async def scenario(cluster: GeneratorCluster) -> None:
        gone, *others = cluster.nodes
        if how == "dead":
            await gone.kill()
        else:
            gone.is_stuck = True
        offer(cluster, SHOP, body(*TRACES))
        await cluster.settle()

        assert cluster.spans == {(SHOP, trace): 3 for trace in TRACES}
        assert not gone.counts.spans
        assert all(node.counts.spans for node in others)
        name = "tempo_distributor_metrics_generator_pushes_failures_total"
        assert cluster.metrics.value(name, metrics_generator="a") == 1

    play(scenario, ("a", APART), ("b", APART), ("c", APART))


def test_without_a_generator_spans_are_dropped_and_counted() -> None:
    async def scenario(cluster: GeneratorCluster) -> None:
        offer(cluster, SHOP, body(*TRACES))
        await cluster.settle()
        assert cluster.dropped("unreachable") == 3 * len(TRACES)

    play(scenario)


def test_the_queue_is_bounded_and_a_sender_never_waits() -> None:
    async def scenario(cluster: GeneratorCluster) -> None:
        for trace in TRACES:
            offer(cluster, SHOP, body(trace))
        held = cluster.metrics.value("tracestore_distributor_metrics_generator_queue_bytes")
        assert held == len(body(1)) * 3
        await cluster.settle()

        assert cluster.dropped("queue_full") == 3 * (len(TRACES) - 3)
        assert cluster.spans == {(SHOP, trace): 3 for trace in TRACES[:3]}
        assert cluster.metrics.value("tracestore_distributor_metrics_generator_queue_bytes") == 0

    play(scenario, ("a", APART), queue_bytes_max=len(body(1)) * 3)


def test_a_generator_without_room_is_asked_again_until_it_is_too_late() -> None:
    async def scenario(cluster: GeneratorCluster) -> None:
        (node,) = cluster.nodes
        offer(cluster, SHOP, body(1))
        await cluster.pushes.drain()
        offer(cluster, SHOP, body(2))  # there is no room for it until the first is counted
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(cluster.pushes.drain())
            name = "tempo_distributor_metrics_generator_pushes_failures_total"
            while not cluster.metrics.value(name, metrics_generator="a"):
                await asyncio.sleep(0.01)
            await node.inbox.count_once()
            await sending
        offer(cluster, SHOP, body(3))
        await cluster.pushes.drain()

        assert cluster.dropped("late") == 3
        await node.inbox.count_once()
        assert cluster.spans == {(SHOP, 1): 3, (SHOP, 2): 3}

    play(scenario, ("a", APART), inbox_bytes_max=1, retry_s=0.01, age_max_s=1.0)


def test_a_pool_without_room_delays_and_ends_nothing() -> None:
    async def scenario(cluster: GeneratorCluster) -> None:
        gate = threading.Event()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(cluster.pool.run(gate.wait))
            while cluster.pool.outstanding < 2:
                await asyncio.sleep(0.01)
            offer(cluster, SHOP, body(1))
            await cluster.pushes.drain()
            gate.set()
        assert cluster.dropped("late") == 3
        offer(cluster, SHOP, body(2))
        await cluster.settle()
        assert cluster.spans == {(SHOP, 2): 3}

    play(scenario, ("a", APART), retry_s=0.01, age_max_s=0.05)


def test_it_sends_while_it_runs_and_finishes_what_is_on_its_way() -> None:
    async def scenario(cluster: GeneratorCluster) -> None:
        (node,) = cluster.nodes
        async with asyncio.TaskGroup() as tasks:
            services = [
                tasks.create_task(cluster.pushes.run()),
                tasks.create_task(node.inbox.run()),
            ]
            offer(cluster, SHOP, body(1))
            while not cluster.spans:
                await asyncio.sleep(0.01)
            offer(cluster, SHOP, body(2))
            for service in services:
                service.cancel()
        await cluster.pushes.drain()
        await node.inbox.drain()
        assert cluster.spans == {(SHOP, 1): 3, (SHOP, 2): 3}

    play(scenario, ("a", APART))


def test_metrics_of_several_generators_add_up_to_a_naive_count() -> None:
    spans, graph = NaiveSpanMetrics((1.0,)), NaiveServiceGraph((1.0,), 10.0, 10_000)
    requests = [body_of_calls(seed) for seed in range(30)]
    for sent in requests:
        for seen in spans_of(ExportTraceServiceRequest.FromString(sent)):
            spans.consume(seen)
            graph.consume(seen, 0.0)

    async def scenario(cluster: GeneratorCluster) -> None:
        for sent in requests:
            offer(cluster, SHOP, sent)
        await cluster.settle()

        found: Counter[Labels] = Counter()
        for node in cluster.nodes:
            found.update(node.counts.made.values())
        for name, expected in (
            ("traces_spanmetrics_calls_total", spans.calls),
            ("traces_spanmetrics_size_total", spans.sizes),
            ("traces_service_graph_request_total", graph.requests),
            ("traces_service_graph_request_failed_total", graph.failed),
        ):
            named = {
                labels: value for labels, value in found.items() if ("__name__", name) in labels
            }
            assert named == {
                tuple(sorted((*labels, ("__name__", name)))): value
                for labels, value in expected.items()
            }
            assert named

    play(scenario, ("a", APART), ("b", APART), ("c", APART))


def body_of_calls(seed: int) -> bytes:
    """A request with calls between services, some of them failed; sides in any order."""
    rng = random.Random(seed)
    parts: dict[str, list[Span]] = {"web": [], "shop": [], "bank": []}
    for _ in range(rng.randrange(1, 30)):
        trace, client = next(NUMBERS), next(NUMBERS)
        caller, called = rng.sample(sorted(parts), 2)
        status = rng.choice(["error", "ok", None])
        parts[caller].append(span(trace=trace, id=client, kind="client", name="call"))
        answer = span(
            trace=trace,
            id=next(NUMBERS),
            parent=client,
            kind="server",
            name=rng.choice("xyz"),
            status=status,
        )
        parts[called].append(answer)
    order = rng.sample(sorted(parts), 3)
    return b"".join(request(resource={"service.name": n}, spans=parts[n]) for n in order)

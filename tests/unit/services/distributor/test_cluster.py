"""Requests to the ingesters of a cluster, over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.otlp import request, span
from support.pushing import KeptRequests, PushCluster, push_cluster

from tracestore.errors import LimitExceededError, UnavailableError, UnreachableError
from tracestore.kernel import check
from tracestore.model.ids import TenantId

TENANT = TenantId("shop")
TRACES = range(1, 41)
BODY = request(
    resource={"service.name": "shop"},
    spans=[span(trace=trace, id=trace * 10 + part) for trace in TRACES for part in range(3)],
)

Scenario = Callable[[PushCluster], Awaitable[None]]


def play(names: str, scenario: Scenario, *, with_local: bool = False, **settings: Any) -> None:
    """Run a scenario with an ingester for each letter."""

    async def run() -> None:
        async with (
            asyncio.timeout(30),
            push_cluster(list(names), with_local=with_local, **settings) as cluster,
        ):
            await scenario(cluster)

    asyncio.run(run())


async def push(cluster: PushCluster, body: bytes = BODY, *, counted: bool = True) -> None:
    await cluster.appender.append(TENANT, body, check(body), counted=counted).wait()


def traces_of(ingester: KeptRequests) -> list[int]:
    """The traces of the spans that an ingester took, once for each span."""
    assert all(tenant == TENANT for tenant, _ in ingester.taken)
    return traces_in(body for _, body in ingester.taken)


def traces_in(bodies: Iterable[bytes]) -> list[int]:
    found = []
    for body in bodies:
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            assert group.resource.attributes[0].value.string_value == "shop"
            for scope in group.scope_spans:
                found += [int.from_bytes(made.trace_id, "big") for made in scope.spans]
    return found


def everywhere(cluster: PushCluster) -> dict[str, list[int]]:
    found = {node.name: traces_of(node.ingester) for node in cluster.nodes}
    return found if cluster.local is None else found | {"own": traces_of(cluster.local)}


def test_each_trace_has_one_home_and_keeps_it() -> None:
    async def scenario(cluster: PushCluster) -> None:
        await push(cluster)
        first = everywhere(cluster)
        await push(cluster)
        second = everywhere(cluster)

        assert sorted(trace for found in first.values() for trace in found) == sorted(
            trace for trace in TRACES for _ in range(3)
        )
        homes = [set(found) for found in first.values()]
        assert all(homes)
        assert sum(map(len, homes)) == len(TRACES)
        assert [set(found) for found in second.values()] == homes

    play("abc", scenario)


def test_one_ingester_gets_the_bytes_untouched() -> None:
    async def scenario(cluster: PushCluster) -> None:
        await push(cluster)
        assert cluster.nodes[0].ingester.taken == [(TENANT, BODY)]

    play("a", scenario)


def test_the_share_of_this_process_does_not_leave_it() -> None:
    async def scenario(cluster: PushCluster) -> None:
        await push(cluster)
        found = everywhere(cluster)
        assert set(found["own"]) | set(found["a"]) == set(TRACES)
        assert not set(found["own"]) & set(found["a"])
        assert cluster.metrics.value("tracestore_pushes_total", outcome="durable") == 1

    play("a", scenario, with_local=True)


def test_alone_with_its_ingester_nothing_is_copied() -> None:
    async def scenario(cluster: PushCluster) -> None:
        await push(cluster)
        assert cluster.local is not None
        assert cluster.local.taken == [(TENANT, BODY)]

    play("", scenario, with_local=True)


@pytest.mark.parametrize("with_local", [False, True])
def test_what_is_of_a_dead_home_goes_to_the_next_and_the_rest_stays(with_local: bool) -> None:
    async def scenario(cluster: PushCluster) -> None:
        await push(cluster)
        before = {name: set(found) for name, found in everywhere(cluster).items()}
        await cluster.nodes[0].kill()
        for node in cluster.nodes:
            node.ingester.taken.clear()
        if cluster.local is not None:
            cluster.local.taken.clear()

        await push(cluster)

        after = {name: set(found) for name, found in everywhere(cluster).items()}
        assert after.pop("a") == set()
        assert set().union(*after.values()) == set(TRACES)
        assert all(before[name] <= after[name] for name in after)
        assert all(len(after[name]) > len(before[name]) for name in after)
        assert cluster.metrics.value("tracestore_pushes_total", outcome="moved") == 1
        await push(cluster)  # it is suspected now, and not asked again
        assert cluster.metrics.value("tracestore_pushes_total", outcome="unreachable") == 1

    play("abc", scenario, with_local=with_local)


def test_who_hangs_is_given_up_once_it_is_known_to_be_dead() -> None:
    async def scenario(cluster: PushCluster) -> None:
        stuck, other = cluster.nodes
        stuck.ingester.is_stuck = True
        async with asyncio.TaskGroup() as tasks:
            pushing = tasks.create_task(push(cluster))
            while cluster.metrics.value("tracestore_push_inflight_bytes") == 0:
                await asyncio.sleep(0.01)
            while not other.ingester.taken:
                await asyncio.sleep(0.01)
            assert not pushing.done()
            stuck.lives = False
            await cluster.pass_time(10)
        assert set(traces_of(other.ingester)) == set(TRACES)

    play("ab", scenario, timeout_s=60.0)


def test_who_is_too_slow_is_passed_over() -> None:
    async def scenario(cluster: PushCluster) -> None:
        cluster.nodes[0].ingester.is_stuck = True
        await push(cluster)
        assert set(traces_of(cluster.nodes[1].ingester)) == set(TRACES)

    play("ab", scenario, timeout_s=0.5)


def test_without_anybody_the_sender_is_to_retry() -> None:
    async def scenario(cluster: PushCluster) -> None:
        assert cluster.appender.is_ready
        for node in cluster.nodes:
            await node.kill()
        with pytest.raises(UnreachableError):
            await push(cluster)
        with pytest.raises(UnreachableError, match="no ingester answers: retry later"):
            await push(cluster)
        assert not cluster.appender.is_ready

    play("ab", scenario)


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("no room", retry_after_s=7.0),
        LimitExceededError("too many tenants", limit="ingester.tenants_max", retry_after_s=3.0),
    ],
)
def test_what_an_ingester_says_goes_back_to_the_sender(error: UnavailableError) -> None:
    async def scenario(cluster: PushCluster) -> None:
        cluster.nodes[0].ingester.no_room = error
        with pytest.raises(type(error), match=str(error)) as caught:
            await push(cluster)
        assert caught.value.retry_after_s == error.retry_after_s
        assert not traces_of(cluster.nodes[0].ingester)
        assert cluster.metrics.value("tracestore_pushes_total", outcome="refused") == 1
        assert cluster.metrics.value("tracestore_pushes_total", outcome="moved") == 0

    play("abc", scenario)


def test_a_share_that_fails_here_fails_the_request_as_retryable() -> None:
    async def scenario(cluster: PushCluster) -> None:
        assert cluster.local is not None
        cluster.local.failure = UnavailableError("disk full")
        with pytest.raises(UnavailableError, match="disk full"):
            await push(cluster)
        assert traces_of(cluster.nodes[0].ingester)  # sent again, it is there twice and read once

    play("a", scenario, with_local=True)


def test_who_drains_refuses_and_the_next_takes_over() -> None:
    async def scenario(cluster: PushCluster) -> None:
        leaving, other = cluster.nodes
        await leaving.pushes.drain()
        await push(cluster)
        assert set(traces_of(other.ingester)) == set(TRACES)
        leaving.draining = True
        await cluster.pass_time(1)
        assert [m.identity.instance for m in cluster.appender.placement().members] == ["b"]

    play("ab", scenario)


def test_what_is_in_flight_to_one_ingester_is_bounded() -> None:
    async def scenario(cluster: PushCluster) -> None:
        (node,) = cluster.nodes
        node.ingester.is_stuck = True
        async with asyncio.TaskGroup() as tasks:
            stuck = [tasks.create_task(push(cluster)) for _ in range(2)]
            while cluster.metrics.value("tracestore_push_inflight_bytes") == 0:
                await asyncio.sleep(0.01)
            with pytest.raises(UnavailableError, match="requests to ingester a are in flight"):
                await push(cluster)
            for task in stuck:
                task.cancel()

    play("a", scenario, inflight_bytes_max=len(BODY), waiting_max=1)


def test_a_tenant_that_is_new_to_this_ingester_is_opened_off_the_loop() -> None:
    async def scenario(cluster: PushCluster) -> None:
        assert cluster.local is not None
        assert cluster.appender.has(TENANT)
        cluster.local.known = False
        assert not cluster.appender.has(TENANT)

    play("a", scenario, with_local=True)


def test_what_is_durable_is_to_be_counted_as_it_came() -> None:
    async def scenario(cluster: PushCluster) -> None:
        await push(cluster)
        assert cluster.offers.taken == [BODY]
        cluster.offers.wanted = False
        await push(cluster)
        assert cluster.offers.taken == [BODY]

    play("abc", scenario)


def test_what_an_ingester_counts_itself_is_not_counted_again() -> None:
    async def scenario(cluster: PushCluster) -> None:
        cluster.nodes[0].counts = True
        await cluster.pass_time(1)
        await push(cluster)
        found = everywhere(cluster)
        assert set(found["a"])
        assert sorted(traces_in(cluster.offers.taken)) == sorted(found["b"] + found["c"])
        await cluster.nodes[0].kill()  # what was its own goes to the others, and is to be counted
        cluster.offers.taken.clear()
        await push(cluster)
        assert sorted(set(traces_in(cluster.offers.taken))) == list(TRACES)

    play("abc", scenario)


def test_the_share_of_a_process_with_all_roles_is_its_own_to_count() -> None:
    async def scenario(cluster: PushCluster) -> None:
        await push(cluster)
        found = everywhere(cluster)
        assert set(found["own"])
        assert sorted(traces_in(cluster.offers.taken)) == sorted(found["a"])

    play("a", scenario, with_local=True)


def test_what_fails_is_not_counted_for_it_comes_again() -> None:
    async def scenario(cluster: PushCluster) -> None:
        cluster.nodes[0].ingester.no_room = UnavailableError("no room")
        with pytest.raises(UnavailableError):
            await push(cluster)
        assert traces_of(cluster.nodes[1].ingester)
        assert not cluster.offers.taken

    play("ab", scenario)


def test_a_sender_may_have_its_spans_not_counted() -> None:
    async def scenario(cluster: PushCluster) -> None:
        assert cluster.local is not None
        await push(cluster, counted=False)
        (node,) = cluster.nodes
        assert node.ingester.counted == cluster.local.counted == [False]
        assert not cluster.offers.taken
        await push(cluster)
        assert node.ingester.counted == cluster.local.counted == [False, True]

    play("a", scenario, with_local=True)

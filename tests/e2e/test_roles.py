"""Roles in processes of their own: a distributor in front of two ingesters."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from support.cluster import Cluster, members_of, running_cluster
from support.otlp import request, span
from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures
from support.server import Server, start_server, wait_until

import tracestore

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TARGETS = {"distributor": "distributor", "ingester-1": "ingester", "ingester-2": "ingester"}
INGESTERS = ("ingester-1", "ingester-2")
SPANS_A_TRACE = 3
RECOVERY_S = 10.0
"""How soon everything goes on after a process is killed; it takes 1 to 4 s."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A distributor and two ingesters."""
    with running_cluster(tmp_path, TARGETS) as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The same, for tests that leave all of them running."""
    with running_cluster(tmp_path_factory.mktemp("roles"), TARGETS) as running:
        yield running


def body_of(traces: Sequence[int], part: int = 0) -> bytes:
    """A request with a part of each trace."""
    return request(
        resource={"service.name": "shop"},
        spans=[
            span(trace=trace, id=trace * 100 + part * SPANS_A_TRACE + i, name="checkout")
            for trace in traces
            for i in range(1, SPANS_A_TRACE + 1)
        ],
    )


def send(server: Server, body: bytes) -> httpx.Response:
    headers = {"Content-Type": "application/x-protobuf"}
    url = f"{server.otlp_http}/v1/traces"
    return httpx.post(url, content=body, headers=headers, timeout=60)


def stored(directory: Path) -> dict[int, int]:
    """The traces in the data directory of a process that has ended, with how many spans of each."""
    found = tracestore.open(directory).search("{}", limit=10_000)
    return {int(trace.trace_id, 16): trace.span_count for trace in found.traces}


def test_a_trace_has_one_home_whoever_sends_its_parts(cluster: Cluster, tmp_path: Path) -> None:
    traces = range(1, 61)
    for part in range(2):
        assert send(cluster["distributor"], body_of(traces, part)).status_code == 200

    for name in INGESTERS:
        assert cluster[name].stop() == 0

    homes = [stored(tmp_path / name) for name in INGESTERS]
    assert homes[0].keys() | homes[1].keys() == set(traces)
    assert not homes[0].keys() & homes[1].keys()
    assert all(len(home) > 10 for home in homes)
    assert {count for home in homes for count in home.values()} == {2 * SPANS_A_TRACE}


def test_sending_goes_on_when_an_ingester_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    distributor, victim = cluster["distributor"], cluster["ingester-1"]
    acknowledged: list[int] = []
    for trace in range(1, 11):
        assert send(distributor, body_of([trace])).status_code == 200
        acknowledged.append(trace)

    victim.kill()
    killed = time.monotonic()
    for trace in range(11, 41):
        wait_until(lambda t=trace: send(distributor, body_of([t])).status_code == 200, RECOVERY_S)
        acknowledged.append(trace)
    assert time.monotonic() - killed < RECOVERY_S

    cluster.start("ingester-1")
    cluster.wait_ready()
    for trace in range(41, 81):
        assert send(distributor, body_of([trace])).status_code == 200
        acknowledged.append(trace)
    for name in INGESTERS:
        assert cluster[name].stop() == 0
    homes = [stored(tmp_path / name) for name in INGESTERS]
    assert homes[0].keys() | homes[1].keys() == set(acknowledged)
    assert homes[0].keys() & set(range(41, 81))  # it has its share again


def test_a_hung_ingester_is_replaced(shared: Cluster) -> None:
    distributor, hung = shared["distributor"], shared["ingester-1"]
    hung.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert send(distributor, body_of(range(1, 41))).status_code == 200
        assert time.monotonic() - began < RECOVERY_S
        assert "silent" in members_of(distributor)
    finally:
        hung.process.send_signal(signal.SIGCONT)
    shared.wait_ready()


def test_an_ingester_that_is_told_to_stop_loses_nobody(cluster: Cluster, tmp_path: Path) -> None:
    distributor, leaving = cluster["distributor"], cluster["ingester-2"]
    leaving.process.send_signal(signal.SIGTERM)
    trace = 0
    while leaving.process.poll() is None:
        trace += 1
        assert send(distributor, body_of([trace])).status_code == 200
    last = trace + 20
    for more in range(trace + 1, last + 1):
        assert send(distributor, body_of([more])).status_code == 200

    assert cluster["ingester-1"].stop() == 0

    homes = [stored(tmp_path / name) for name in INGESTERS]
    assert homes[0].keys() | homes[1].keys() == set(range(1, last + 1))


def test_without_ingesters_senders_are_told_to_retry(shared: Cluster) -> None:
    distributor = shared["distributor"]
    for name in INGESTERS:
        shared[name].kill()

    def is_refused() -> bool:
        return send(distributor, body_of([1])).status_code == 503

    wait_until(is_refused, RECOVERY_S)
    refused = send(distributor, body_of([1]))
    assert refused.headers["Retry-After"] == "1"
    assert Status.FromString(refused.content).code == grpc.StatusCode.UNAVAILABLE.value[0]
    ready = httpx.get(f"{distributor.api_url}/ready")
    assert (ready.status_code, ready.text) == (503, "no ingester answers\n")
    with grpc.insecure_channel(distributor.otlp_grpc) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(EXPORT)(body_of([1]), timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    for name in INGESTERS:
        shared.start(name)
    shared.wait_ready()
    assert send(distributor, body_of([1])).status_code == 200


def test_limits_of_an_ingester_reach_the_sender(tmp_path: Path) -> None:
    """One live tenant is all that an ingester takes: the second is refused with a delay."""
    flags = ("--multitenancy-enabled=true", "--ingester.tenants-max=1")
    with running_cluster(tmp_path, {"d": "distributor", "i": "ingester"}, *flags) as cluster:
        distributor = cluster["d"]
        url = f"{distributor.otlp_http}/v1/traces"
        for tenant, status in (("a", 200), ("b", 429), ("a", 200)):
            headers = {"Content-Type": "application/x-protobuf", "X-Scope-OrgID": tenant}
            answer = httpx.post(url, content=body_of([1]), headers=headers, timeout=30)
            assert answer.status_code == status
            if status == 429:
                assert int(answer.headers["Retry-After"]) >= 1
        metadata = (("x-scope-orgid", "b"),)
        with (
            grpc.insecure_channel(distributor.otlp_grpc) as channel,
            pytest.raises(grpc.RpcError) as caught,
        ):
            channel.unary_unary(EXPORT)(body_of([1]), metadata=metadata, timeout=30)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert isinstance(caught.value, grpc.Call)
        trailers = dict(caught.value.trailing_metadata())
        (detail,) = Status.FromString(trailers["grpc-status-details-bin"]).details
        assert detail.Is(RetryInfo.DESCRIPTOR)


def test_each_process_runs_what_its_role_needs(shared: Cluster) -> None:
    def names(name: str) -> set[str]:
        table = httpx.get(f"{shared[name].api_url}/status/services").text
        return {line.split()[0] for line in table.splitlines()[1:]}

    every = {"api", "grpc", "overrides", "members"}
    receivers = {"otlp-grpc", "otlp-http", "zipkin", "jaeger-thrift-http", "jaeger-grpc"}
    assert names("distributor") == every | receivers | {"distributor", "generator-pushes"}
    assert names("ingester-1") == every | {"index", "ingester", "pushes"}
    flush = [httpx.post(f"{shared[name].api_url}/flush").status_code for name in TARGETS]
    assert flush == [404, 204, 204]
    for name in TARGETS:
        assert httpx.get(f"{shared[name].api_url}/api/search").status_code == 404
        members = members_of(shared[name])
        assert all(other in members for other in TARGETS)
        assert f"{shared.address(name)} (this process)" in members


def test_queries_find_what_is_live_in_any_ingester_and_what_is_flushed(
    tmp_path: Path,
    s3: S3Place,  # noqa: F811 - the fixture
) -> None:
    """Two ingesters on one bucket, asked through processes that only answer queries."""
    targets = {**TARGETS, "querier": "querier", "frontend": "query-frontend"}
    with running_cluster(tmp_path, targets, *s3.flags()) as cluster:

        def found(name: str) -> dict[int, int]:
            store = tracestore.open(cluster[name].api_url)
            return {
                int(t.trace_id, 16): t.span_count for t in store.search("{}", limit=1000).traces
            }

        live, flushed = range(1, 31), range(31, 61)
        whole = dict.fromkeys((*live, *flushed), SPANS_A_TRACE)
        assert send(cluster["distributor"], body_of(flushed)).status_code == 200
        for name in INGESTERS:
            assert httpx.post(f"{cluster[name].api_url}/flush", timeout=60).status_code == 204
        assert send(cluster["distributor"], body_of(live)).status_code == 200

        for name in ("querier", "frontend"):
            wait_until(lambda name=name: found(name) == whole)
            trace = tracestore.open(cluster[name].api_url).trace(f"{live[0]:032x}")
            assert len(trace.spans) == SPANS_A_TRACE

        cluster["ingester-1"].kill()  # what it holds is on its disk: an answer would lack it
        lacking = httpx.get(f"{cluster['querier'].api_url}/api/search?q={{}}", timeout=60)
        assert lacking.status_code == 503
        assert "ingester-1" in lacking.text
        cluster.start("ingester-1")
        url = f"{cluster['querier'].api_url}/api/search?q={{}}"
        wait_until(lambda: httpx.get(url, timeout=60).status_code == 200)
        assert found("querier") == whole

        assert cluster["ingester-2"].stop() == 0  # all of it is in blocks: nobody is missed
        wait_until(lambda: httpx.get(url, timeout=60).status_code == 200)
        assert found("querier") == whole


def test_a_role_that_needs_others_says_where_to_name_them(tmp_path: Path) -> None:
    server = start_server(tmp_path / "alone", "--target=distributor")

    assert server.process.wait(60) == 1
    assert "target distributor needs to know the other processes: set members.dns" in server.log()

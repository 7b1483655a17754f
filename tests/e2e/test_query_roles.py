"""Reading with roles apart: a query-frontend and two queriers over ingesters, on a real bucket.

Every answer is held against that of one process that has all the data.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
from support.cluster import Cluster, running_cluster
from support.otlp import EPOCH_NS, request, span
from support.s3 import S3Server, place_in, s3_server  # noqa: F401 - fixtures
from support.server import Server, running_server, wait_until

NODES = {
    "frontend": "query-frontend",
    "querier-1": "querier",
    "querier-2": "querier",
    "ingester-1": "ingester",
    "ingester-2": "ingester",
    "distributor": "distributor",
}
INGESTERS = ("ingester-1", "ingester-2")
QUERIERS = ("querier-1", "querier-2")
FLAGS = (
    "--ingester.wal.store=bucket",
    "--storage.blocklist-poll-s=0.2",
    "--query.frontend.hedge-after-s=1",
    "--members.dead-after-s=60",  # whoever is paused stays in the list: calls of it hang
)
TRACES = 60
WINDOW = {"start": EPOCH_NS // 10**9 - 10, "end": EPOCH_NS // 10**9 + 600}
QUESTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/api/search", {"q": "{}", "limit": 100}),
    ("/api/search", {"q": "{ span.n >= 40 }", "limit": 7, "spss": 2}),
    ("/api/search", {"q": '{ resource.service.name = "bank" } && { name = "checkout" }'}),
    ("/api/search", {"q": "{ status = error } | count() > 0", "limit": 50, **WINDOW}),
    ("/api/search", {"q": '{ name = "pay" } < { name = "checkout" }', "limit": 50}),
    ("/api/metrics/query_range", {"q": "{} | rate() by (name)", "step": "60s", **WINDOW}),
    ("/api/metrics/query_range", {"q": "{} | quantile_over_time(duration, .9)", **WINDOW}),
    ("/api/metrics/query_range", {"q": "{} | compare({ status = error })", **WINDOW}),
    ("/api/metrics/query", {"q": "{} | count_over_time() by (span.n)", **WINDOW}),
    ("/api/v2/search/tags", {}),
    ("/api/search/tags", {"scope": "span"}),
    ("/api/v2/search/tag/span.n/values", {}),
    ("/api/v2/search/tag/resource.service.name/values", {"q": "{ status = error }"}),
    ("/api/search/tag/name/values", {}),
    (f"/api/v2/traces/{1:032x}", {}),
    (f"/api/traces/{37:032x}", {}),
    (f"/api/v2/traces/{12:032x}", {"q": "{ status = error }"}),
    (f"/api/traces/{9999:032x}", {}),
)


def parts(trace: int) -> Iterator[bytes]:
    """A trace in two requests of two services."""
    begin_ms = trace * 1000
    attributes = {"n": trace}
    first = span(
        trace=trace,
        id=trace * 10 + 1,
        name="checkout",
        attributes=attributes,
        start_ms=begin_ms,
        duration_ms=100,
    )
    second = span(
        trace=trace,
        id=trace * 10 + 2,
        parent=trace * 10 + 1,
        name="pay",
        status="error" if trace % 3 == 0 else None,
        attributes=attributes,
        start_ms=begin_ms + 1,
        duration_ms=4 + trace / 10,
    )
    yield request(resource={"service.name": "shop"}, spans=[first])
    yield request(resource={"service.name": "bank"}, spans=[second])


def send(server: Server, body: bytes) -> None:
    headers = {"Content-Type": "application/x-protobuf"}
    answer = httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text


def _send_all(pool: ThreadPoolExecutor, servers: Sequence[Server], bodies: Sequence[bytes]) -> None:
    for server in servers:
        list(pool.map(lambda body, server=server: send(server, body), bodies))


def ask(server: Server, path: str, query: dict[str, Any]) -> tuple[int, Any]:
    """Get an answer without what says how much was looked at."""
    answer = httpx.get(f"{server.api_url}{path}", params=query, timeout=60)
    try:
        content = answer.json()
    except ValueError:
        return answer.status_code, answer.text
    if isinstance(content, dict):
        content.pop("metrics", None)
        for series in content.get("series", ()):
            series.pop("exemplars", None)  # some of many, by how they lie
    return answer.status_code, content


@dataclass
class Pair:
    """The cluster, and one process with the same data."""

    cluster: Cluster
    alone: Server

    @property
    def frontend(self) -> Server:
        """Who is asked."""
        return self.cluster["frontend"]

    def agree(self, path: str, query: dict[str, Any]) -> None:
        """See that the answers are equal."""
        assert ask(self.frontend, path, query) == ask(self.alone, path, query), (path, query)


@pytest.fixture(scope="module")
def pair(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:  # noqa: F811
    """Both, with half of the spans in blocks and half in live tables."""
    root = tmp_path_factory.mktemp("query-roles")
    place = place_in(s3_server)
    with (
        running_server(root / "alone") as alone,
        running_cluster(root, NODES, *FLAGS, *place.flags()) as cluster,
    ):
        bodies = [body for trace in range(1, TRACES + 1) for body in parts(trace)]
        with ThreadPoolExecutor(32) as pool:  # a group commit to the bucket takes its time
            send_all = partial(_send_all, pool, (cluster["distributor"], alone))
            send_all(bodies[: TRACES + 1])  # a trace is in both halves
            for name in INGESTERS:
                httpx.post(f"{cluster[name].api_url}/flush", timeout=60)
            send_all(bodies[TRACES + 1 :])
        for server in (alone, *(cluster[name] for name in INGESTERS)):
            server.wait_until_decoded()
        yield Pair(cluster, alone)


@pytest.mark.parametrize(("path", "query"), QUESTIONS)
def test_queriers_answer_what_one_process_answers(
    pair: Pair, path: str, query: dict[str, Any]
) -> None:
    pair.agree(path, query)


def test_jobs_are_done_by_queriers_and_shared_out(pair: Pair) -> None:
    for n in range(20):
        pair.agree("/api/search", {"q": f"{{ span.n > {n} }}", "limit": 100})

    done = "tempo_querier_worker_request_executed_total_count"
    assert all(pair.cluster[name].metric(done) > 0 for name in QUERIERS)
    assert pair.frontend.metric("tempo_query_frontend_jobs_per_query_count") > 0


def test_mistakes_of_a_client_stay_its_own(pair: Pair) -> None:
    for path, query in (
        ("/api/search", {"q": "{ span.n > }"}),
        ("/api/metrics/query_range", {"q": "{} | rate(", **WINDOW}),
        ("/api/v2/search/tag/no-scope/values", {}),
    ):
        status, _ = ask(pair.frontend, path, query)
        assert 400 <= status < 500
        pair.agree(path, query)


def test_a_paused_querier_is_hedged(pair: Pair) -> None:
    hedged = "tracestore_query_frontend_hedged_jobs_total"
    before = pair.frontend.metric(hedged)
    paused = pair.cluster["querier-2"]
    paused.process.send_signal(signal.SIGSTOP)
    try:
        for n in range(8):
            pair.agree("/api/search", {"q": f"{{ span.n != {n} }}", "limit": 100})
    finally:
        paused.process.send_signal(signal.SIGCONT)

    assert pair.frontend.metric(hedged) > before


def test_a_client_that_goes_away_ends_its_query(pair: Pair) -> None:
    labels = 'op="search",result="canceled",tenant="single-tenant"'
    canceled = f"tempo_query_frontend_queries_total{{{labels}}}"
    for name in QUERIERS:
        pair.cluster[name].process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{pair.frontend.api_url}/api/search", params={"q": "{}"}, timeout=0.5)
        wait_until(lambda: canceled in httpx.get(f"{pair.frontend.api_url}/metrics").text, 10)
    finally:
        for name in QUERIERS:
            pair.cluster[name].process.send_signal(signal.SIGCONT)
    pair.agree("/api/search", {"q": "{}", "limit": 100})


def test_a_querier_killed_under_its_jobs_is_replaced(pair: Pair) -> None:
    victim = pair.cluster["querier-1"]
    victim.process.send_signal(signal.SIGSTOP)  # so that its jobs have begun when it dies
    questions = [{"q": f"{{ span.n >= {n} }}", "limit": 100} for n in range(12)]
    killer = threading.Timer(0.4, victim.kill)
    killer.start()
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(ask, pair.frontend, "/api/search", query) for query in questions]
        answers = [one.result() for one in asked]
    killer.join()

    assert answers == [ask(pair.alone, "/api/search", query) for query in questions]
    begun = time.monotonic()
    pair.agree("/api/search", {"q": "{ span.n = 3 }"})
    assert time.monotonic() - begun < 10
    pair.cluster.start("querier-1")
    pair.cluster.wait_ready()
    pair.agree("/api/search", {"q": "{ span.n = 4 }"})

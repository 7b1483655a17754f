"""Reading with roles apart: a query-frontend and two queriers over an ingester, on a real bucket.

Every answer is held against that of one process that has all the data.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from support.cluster import Cluster, running_cluster
from support.s3 import S3Server, place_in, s3_server  # noqa: F401 - fixtures
from support.same_answers import QUESTIONS, TRACES, WINDOW, ask, parts_of, send_all
from support.server import Server, running_server, wait_until

KEEP = "--compactor.compaction.block-retention=87600h"
"""The spans are years old, and retention comes around every half a minute."""
NODES = {
    "frontend": "query-frontend",
    "querier-1": "querier",
    "querier-2": "querier",
    "ingester": "ingester",
    "distributor": "distributor",
}
INGESTERS = ("ingester",)
QUERIERS = ("querier-1", "querier-2")
FLAGS = (
    "--ingester.wal.store=bucket",
    "--storage.blocklist-poll-s=0.2",
    "--query.frontend.hedge-after-s=1",
    "--members.dead-after-s=60",  # whoever is paused stays in the list: calls of it hang
)


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
        running_server(root / "alone", KEEP) as alone,
        running_cluster(root, NODES, *FLAGS, *place.flags()) as cluster,
    ):
        bodies = [body for trace in range(1, TRACES + 1) for body in parts_of(trace)]
        with ThreadPoolExecutor(32) as pool:  # a group commit to the bucket takes its time
            both = (cluster["distributor"], alone)
            send_all(pool, both, bodies[: TRACES + 1])  # a trace is in both halves
            for name in INGESTERS:
                httpx.post(f"{cluster[name].api_url}/flush", timeout=60)
            send_all(pool, both, bodies[TRACES + 1 :])
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

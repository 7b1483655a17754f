"""Three processes with every role on one bucket: each accepts, and all give the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from support.cluster import Cluster, running_cluster
from support.otlp import request, span
from support.s3 import S3Server, place_in, s3_server  # noqa: F401 - fixtures
from support.same_answers import QUESTIONS, TRACES, ask, parts_of, send
from support.server import Server, running_server, wait_until

KEEP = "--compactor.compaction.block-retention=87600h"
"""The spans are years old, and retention comes around every half a minute."""
NODES = ("node-1", "node-2", "node-3")
FLAGS = (
    "--ingester.wal.store=bucket",
    "--storage.blocklist-poll-s=0.2",
    "--query.frontend.job-bytes=1",
    KEEP,
)
"""However small a query is, it is cut into jobs that the three share."""


@dataclass
class Nodes:
    """The three, and one process with all the data."""

    cluster: Cluster
    alone: Server


@pytest.fixture(scope="module")
def nodes(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:  # noqa: F811
    """All of them, with half of the spans in blocks; each part of a trace is sent to another."""
    root = tmp_path_factory.mktemp("three-nodes")
    place = place_in(s3_server)
    with (
        running_server(root / "alone", KEEP) as alone,
        running_cluster(root, dict.fromkeys(NODES, "all"), *FLAGS, *place.flags()) as cluster,
    ):
        bodies = [body for trace in range(1, TRACES + 1) for body in parts_of(trace)]
        sent = list(enumerate(bodies))
        with ThreadPoolExecutor(32) as pool:
            for some in (sent[: TRACES + 1], sent[TRACES + 1 :]):
                list(pool.map(lambda one: send(cluster[NODES[one[0] % 3]], one[1]), some))
                list(pool.map(lambda one: send(alone, one[1]), some))
                if some[0] is sent[0]:
                    httpx.post(f"{cluster['node-1'].api_url}/flush", timeout=60)
                    httpx.post(f"{cluster['node-3'].api_url}/flush", timeout=60)
        for server in (alone, *(cluster[name] for name in NODES)):
            server.wait_until_decoded()
        yield Nodes(cluster, alone)


@pytest.mark.parametrize(("path", "query"), QUESTIONS)
def test_each_node_answers_what_one_process_with_all_the_data_answers(
    nodes: Nodes, path: str, query: dict[str, Any]
) -> None:
    expected = ask(nodes.alone, path, query)

    answers = {name: ask(nodes.cluster[name], path, query) for name in NODES}

    assert answers == dict.fromkeys(NODES, expected)


def test_the_nodes_share_the_jobs_of_a_query(nodes: Nodes) -> None:
    done = "tempo_querier_worker_request_executed_total_count"
    before = {name: nodes.cluster[name].metric(done) for name in NODES}

    for n in range(6):
        ask(nodes.cluster["node-1"], "/api/search", {"q": f"{{ span.n > {n} }}", "limit": 1000})

    assert sum(nodes.cluster[name].metric(done) > before[name] for name in NODES) >= 2


def test_what_one_node_has_acknowledged_the_others_find_at_once(nodes: Nodes) -> None:
    body = request(
        resource={"service.name": "late"}, spans=[span(trace=10**6, id=1, name="just now")]
    )
    send(nodes.cluster["node-2"], body)
    nodes.cluster["node-2"].wait_until_decoded()

    for name in NODES:
        wait_until(
            lambda name=name: ask(nodes.cluster[name], f"/api/traces/{10**6:032x}", {})[0] == 200, 2
        )


def test_a_node_that_is_killed_hides_nothing(nodes: Nodes) -> None:
    """Its log is read from the bucket until a peer has adopted it."""
    nodes.cluster["node-2"].kill()
    expected = ask(nodes.alone, "/api/search", {"q": "{ span.n > 0 }", "limit": 100})

    for name in ("node-1", "node-3"):
        found = ask(nodes.cluster[name], "/api/search", {"q": "{ span.n > 0 }", "limit": 100})
        assert found == expected

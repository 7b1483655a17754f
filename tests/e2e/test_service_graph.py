"""The graph of services by HTTP: of live tables and blocks, of several tenants; what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.otlp import EPOCH_NS, request, span
from support.server import Server, running_server, wait_until

START_S, END_S = EPOCH_NS // 10**9 - 1, EPOCH_NS // 10**9 + 60
RANGE = {"start": START_S, "end": END_S}
TENANTS = {"a": "front", "b": "back"}


def of(service: str, *spans: object) -> bytes:
    return request(resource={"service.name": service}, spans=list(spans))  # type: ignore[arg-type]


def shop(entry: str) -> list[bytes]:
    """A trace: user -> entry -> cart -> redis; the cart's span is sent after the others."""
    return [
        of(
            entry,
            span(trace=1, id=1, kind="server", duration_ms=50),
            span(trace=1, id=2, parent=1, kind="client", duration_ms=40, name="call cart"),
        ),
        of("cart", span(trace=1, id=3, parent=2, kind="server", duration_ms=30, status="error")),
        of(
            "cart",
            span(
                trace=1,
                id=4,
                parent=3,
                kind="client",
                duration_ms=20,
                attributes={"db.system": "redis"},
            ),
        ),
    ]


def post(server: Server, body: bytes, tenant: str) -> None:
    headers = {"Content-Type": "application/x-protobuf", "X-Scope-OrgID": tenant}
    httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers).raise_for_status()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each trace lies in two blocks and in live tables."""
    directory: Path = tmp_path_factory.mktemp("data") / "store"
    flags = (
        "-multitenancy.enabled",
        "--server.http-api-prefix=/tempo",
        "--compactor.compaction.block-retention=87600h",  # the spans are years old
    )
    with running_server(directory, *flags) as server:
        bodies = [(tenant, shop(entry)) for tenant, entry in TENANTS.items()]
        for place in range(3):
            for tenant, some in bodies:
                post(server, some[place], tenant)
            server.wait_until_decoded()
            if place < 2:
                httpx.post(f"{server.api_url}/flush", timeout=30).raise_for_status()
                wait_until(partial(has_blocks, server, len(TENANTS) * (place + 1)))
        yield server


def has_blocks(server: Server, count: int) -> bool:
    return server.metric("tempodb_blocklist_length") == count


def get(server: Server, tenant: str, **params: Any) -> httpx.Response:
    headers = {"X-Scope-OrgID": tenant, **params.pop("headers", {})}
    url = f"{server.api_url}/tempo/api/service-graph"
    return httpx.get(url, headers=headers, params=RANGE | params, timeout=30)


def edges(body: dict[str, Any]) -> dict[tuple[str, str], tuple[str, float, float]]:
    return {
        (one["client"], one["server"]): (one["connectionType"], one["total"], one["failed"])
        for one in body["edges"]
    }


def test_a_trace_in_three_sources_is_one_graph(server: Server) -> None:
    reply = get(server, "a")

    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert edges(body) == {
        ("user", "front"): ("virtual_node", 1, 0),
        ("front", "cart"): ("", 1, 1),
        ("cart", "redis"): ("database", 1, 0),
    }
    assert [(n["name"], n["type"]) for n in body["nodes"]] == [
        ("cart", "service"),
        ("front", "service"),
        ("redis", "database"),
        ("user", "virtual_node"),
    ]
    (call,) = [edge for edge in body["edges"] if edge["server"] == "cart"]
    assert call["serverLatency"]["p95"] == pytest.approx(0.03, rel=0.045)
    assert call["clientLatency"]["p95"] == pytest.approx(0.04, rel=0.045)
    assert call["rate"] == pytest.approx(1 / (END_S - START_S))
    assert call["slowestFailed"]["traceID"] == f"{1:032x}"
    assert body["metrics"]["totalBlocks"] == 4  # two, for requests and for services


def test_several_tenants_are_looked_at_together(server: Server) -> None:
    # the trace has one ID in both, and they are taken for one tenant
    body = get(server, "a|b", q='{ name = "call cart" }').json()

    assert {("front", "cart"), ("back", "cart")} & set(edges(body))
    assert {node["name"] for node in get(server, "b").json()["nodes"]} >= {"back", "cart"}
    assert get(server, "nobody").json()["nodes"] == []


def test_a_filter_takes_requests_of_which_a_side_matches(server: Server) -> None:
    body = get(server, "a", q='{ resource.service.name = "cart" && kind = client }').json()

    assert edges(body) == {("cart", "redis"): ("database", 1, 0)}


def test_a_service_has_what_it_depends_on(server: Server) -> None:
    body = get(server, "a", service="front").json()

    assert body["service"] == {
        "name": "front",
        "dependencies": [
            {"name": "cart", "type": "service", "depth": 1},
            {"name": "redis", "type": "database", "depth": 2},
        ],
        "dependents": [{"name": "user", "type": "virtual_node", "depth": 1}],
    }
    missing = get(server, "a", service="bank")
    assert (missing.status_code, missing.text) == (404, "service 'bank' has no spans in the range")


def test_only_the_range_counts(server: Server) -> None:
    assert get(server, "a", start=END_S, end=END_S + 60).json()["nodes"] == []
    assert get(server, "a", start="", end="").json()["nodes"] == []  # the last hour


def test_it_is_drawn(server: Server) -> None:
    dot = get(server, "a", format="dot")
    assert dot.headers["content-type"].startswith("text/vnd.graphviz")
    assert '"cart" -> "redis"' in dot.text
    mermaid = get(server, "a", headers={"Accept": "text/vnd.mermaid"})
    assert mermaid.text.startswith("flowchart LR\n")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"start": END_S, "end": START_S}, "end must be greater than start"),
        ({"start": END_S - 90_000}, "time range exceeds the maximum allowed duration of 24h"),
        ({"start": "soon"}, "could not parse 'start' parameter"),
        ({"q": "{ a = }"}, "invalid TraceQL query: "),
        ({"q": "{} | rate()"}, "a filter of spans is expected, not metrics"),
        ({"format": "png"}, "invalid format: expected one of json, dot, mermaid, got png"),
        ({"depth": "-1"}, "invalid depth"),
    ],
)
def test_what_it_cannot_do_is_refused(
    server: Server, params: dict[str, object], message: str
) -> None:
    reply = get(server, "a", **params)

    assert reply.status_code == 400
    assert message in reply.text

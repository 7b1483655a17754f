"""The graph of a small shop, and how far its quantiles are off."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.otlp import EPOCH_NS, request, span
from support.span_series import ask

from tracestore.codec.service_graph_json import (
    render_graph_dot,
    render_graph_json,
    render_graph_mermaid,
)
from tracestore.errors import NotFoundError
from tracestore.model.service_graph import NodeType, ServiceGraph
from tracestore.model.times import SECOND_NS
from tracestore.query.service_graph import BOUNDS_S, graph_questions, latency, make_graph
from tracestore.query.span_series import Family

START_NS, END_NS = EPOCH_NS - 1, EPOCH_NS - 1 + 10 * SECOND_NS


def of(service: str, *spans: object) -> bytes:
    return request(resource={"service.name": service}, spans=list(spans))  # type: ignore[arg-type]


def link(trace: int, client: str, server: str, status: str | None = None) -> list[bytes]:
    """A call between two services, by itself."""
    return [
        of(client, span(trace=trace, id=1, parent=9, kind="client", duration_ms=20)),
        of(
            server,
            span(trace=trace, id=2, parent=1, kind="server", duration_ms=10, status=status),
        ),
    ]


SHOP = [
    of("front", span(trace=1, id=1, kind="server", duration_ms=40)),
    *link(2, "front", "cart"),
    *link(3, "front", "cart", "error"),
    *link(4, "cart", "price"),
    *link(5, "price", "cart"),
    *link(6, "price", "price"),
    of("price", span(trace=7, id=1, parent=9, kind="client", attributes={"db.name": "prices"})),
    of("cart", span(trace=8, id=1, parent=9, kind="client", attributes={"peer.service": "mail"})),
    of("idle", span(trace=9, id=1)),
]


def graph_of(*requests: bytes, service: str = "", depth: int = 0) -> ServiceGraph:
    first, second = (
        ask(
            one.family,
            *requests,
            start_ns=one.start_ns,
            step_ns=one.step_ns,
            by=one.by,
            bounds=one.bounds,
            exemplars=one.exemplars,
            is_graph=one.is_graph,
        )
        for one in graph_questions(START_NS, END_NS, "{}")
    )
    return make_graph(
        first, second, start_ns=START_NS, end_ns=END_NS, service=service, depth_max=depth
    )


def test_nodes_say_what_they_are_and_how_they_do() -> None:
    nodes = {node.name: node for node in graph_of(*SHOP).nodes}

    assert {name: node.type for name, node in nodes.items()} == {
        "cart": NodeType.SERVICE,
        "front": NodeType.SERVICE,
        "idle": NodeType.SERVICE,
        "mail": NodeType.VIRTUAL,
        "price": NodeType.SERVICE,
        "prices": NodeType.DATABASE,
        "user": NodeType.VIRTUAL,
    }
    cart = nodes["cart"]
    assert (cart.incoming.total, cart.incoming.failed, cart.outgoing.total) == (3, 1, 2)
    assert (cart.fan_in, cart.fan_out) == (2, 2)
    assert (nodes["price"].fan_in, nodes["price"].fan_out) == (1, 2)  # itself does not count
    assert cart.server.p50_s == pytest.approx(0.01, rel=0.045)
    assert nodes["mail"].server.p50_s is None  # nobody has seen it


def test_edges_say_whose_time_was_seen() -> None:
    edges = {(edge.client, edge.server): edge for edge in graph_of(*SHOP).edges}

    call = edges["front", "cart"]
    assert (call.requests.total, call.requests.error_ratio) == (2, 0.5)
    assert call.server_latency.p99_s == pytest.approx(0.01, rel=0.045)
    assert call.client_latency.p99_s == pytest.approx(0.02, rel=0.045)
    assert call.slowest_failed is not None
    assert call.slowest_failed.trace_id == f"{3:032x}"
    user, mail, prices = (
        edges[pair] for pair in (("user", "front"), ("cart", "mail"), ("price", "prices"))
    )
    assert (user.virtual_node, mail.virtual_node, prices.virtual_node) == ("client", "server", "")
    assert user.client_latency.p50_s is None
    assert user.server_latency.p50_s is not None
    assert mail.server_latency.p50_s is None
    assert mail.client_latency.p50_s is not None
    assert prices.server_latency == prices.client_latency
    assert prices.slowest_failed is None


def test_circles_are_found() -> None:
    assert graph_of(*SHOP).cycles == (("cart", "price"),)
    assert graph_of(*link(1, "a", "a")).cycles == (("a",),)
    assert graph_of(*link(1, "a", "b")).cycles == ()


def test_a_service_has_a_blast_radius() -> None:
    graph = graph_of(*SHOP, service="prices")
    around = graph.neighbourhood

    assert around is not None
    assert around.dependencies == ()
    assert [(one.name, one.depth) for one in around.dependents] == [
        ("price", 1),
        ("cart", 2),
        ("front", 3),
        ("user", 4),
    ]
    assert {node.name for node in graph.nodes} == {"prices", "price", "cart", "front", "user"}
    near = graph_of(*SHOP, service="prices", depth=1)
    assert {node.name for node in near.nodes} == {"prices", "price"}
    assert graph_of(*SHOP, service="idle").edges == ()
    with pytest.raises(NotFoundError, match="service 'nobody' has no spans in the range"):
        graph_of(*SHOP, service="nobody")


def test_the_body_is_json() -> None:
    body = json.loads(render_graph_json(graph_of(*SHOP, service="cart")))

    (edge,) = [e for e in body["edges"] if (e["client"], e["server"]) == ("front", "cart")]
    assert (edge["total"], edge["failed"], edge["errorRatio"], edge["rate"]) == (2, 1, 0.5, 0.2)
    assert body["cycles"] == [["cart", "price"]]
    assert body["service"]["dependents"][0] == {"name": "front", "type": "service", "depth": 1}
    assert body["startTimeUnixNano"] == str(START_NS)


def test_drawings_quote_names() -> None:
    graph = graph_of(*link(1, 'a"b\\', "c]|d", "error"))

    dot = render_graph_dot(graph).decode()
    assert '"a\\"b\\\\" -> "c]|d" [label="0.1/s 100.0% failed p95' in dot
    mermaid = render_graph_mermaid(graph).decode()
    assert 'n1["c#93;#124;d"]' in mermaid
    assert 'n0 -->|"0.1/s 100.0% failed' in mermaid


def test_a_graph_of_nothing_is_empty() -> None:
    graph = graph_of()

    assert (graph.nodes, graph.edges, graph.cycles) == ((), (), ())
    assert json.loads(render_graph_json(graph))["nodes"] == []


@given(st.lists(st.integers(1_001, 10**13), min_size=1, max_size=50))
def test_quantiles_are_off_by_a_bucket_at_most(durations_ns: list[int]) -> None:
    seconds = np.array(durations_ns) / 1e9
    histogram = np.bincount(np.searchsorted(BOUNDS_S, seconds), minlength=len(BOUNDS_S) + 1)

    found = latency(histogram.astype(np.float64), BOUNDS_S)
    for rank, value in ((0.5, found.p50_s), (0.95, found.p95_s), (0.99, found.p99_s)):
        exact = float(np.quantile(seconds, rank, method="inverted_cdf"))
        assert value == pytest.approx(exact, rel=2 ** (1 / 16) - 1)


def test_questions_are_of_both() -> None:
    families = [one.family for one in graph_questions(0, 5, "{ kind = server }")]

    assert families == [Family.EDGES, Family.CALLS]

"""Span metrics and the service graph are those of a naive count over the same spans."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.generator import Counted, Labels, settings_of
from support.naive_generator import (
    NaiveHistogram,
    NaiveServiceGraph,
    NaiveSpanMetrics,
    SeenSpan,
    Series,
    spans_of,
)
from support.otlp import request, span

from tracestore.model.span_metrics import le_texts
from tracestore.settings.generator_limits import (
    TenantProcessors,
    TenantServiceGraphs,
    TenantSpanMetrics,
)
from tracestore.settings.generator_tree import ProcessorSettings, ServiceGraphsSettings

SPAN_BOUNDS = (0.002, 0.01, 1.5)
EDGE_BOUNDS = (0.001, 0.5)
WAIT_S = 10.0
MAX_ITEMS = 4

values = st.one_of(
    st.sampled_from(["a", "b", "", "200", "é"]),
    st.sampled_from([200, 500, -1]),
    st.booleans(),
    st.sampled_from([0.5, 200.0, 1e-3]),
    st.lists(st.sampled_from(["x", "y"]), max_size=2),
    st.lists(st.integers(0, 2), min_size=1, max_size=2),
    st.just({"k": 1}),
)
KEYS = ("dim.one", "service", "ratio")
PEER_KEYS = ("peer.service", "db.name", "db.system", "server.address", "network.peer.address")

attributes = st.dictionaries(st.sampled_from(KEYS), values, max_size=2)
peers = st.dictionaries(
    st.sampled_from((*PEER_KEYS, "network.peer.port")),
    st.sampled_from(["p", "q", "r", ""]),
    max_size=4,
)


@st.composite
def one_span(draw: st.DrawFn) -> tuple[dict[str, object], bytes]:
    """Draw a span and its resource; IDs are few, so that spans meet, twice too."""
    resource: dict[str, object] = {}
    if (service := draw(st.sampled_from(["web", "shop", "db", "", None]))) is not None:
        resource["service.name"] = service
    if draw(st.booleans()):
        resource |= draw(attributes)
    start = draw(st.integers(0, 3))
    made = span(
        trace=draw(st.integers(1, 2)),
        id=draw(st.integers(1, 4)),
        parent=draw(st.sampled_from([None, None, 1, 2, 3, 4])),
        name=draw(st.sampled_from(["GET /", "", "load"])),
        kind=draw(st.sampled_from(["internal", "server", "client", "producer", "consumer"])),
        status=draw(st.sampled_from(["unset", "ok", "error"])),
        start_ms=start,
        duration_ms=draw(st.sampled_from([0, 1, 2, 10, 1500, 9000])),
        attributes={**draw(attributes), **draw(peers)},
    )
    return resource, request(resource=resource, spans=[made])


requests = st.lists(one_span().map(lambda pair: pair[1]), min_size=1, max_size=8)
steps = st.lists(
    st.one_of(
        requests,
        requests,
        st.sampled_from(["wait", "wait", "flush", "prune"]),
    ),
    min_size=4,
    max_size=12,
)


def ratio(seen: SeenSpan) -> float:
    """Weigh a span by its attribute ``ratio``, or that of its resource, if it is a double."""
    for one in seen.sent:
        if one.key == "ratio" and one.value.WhichOneof("value") == "double_value":
            return 1 / one.value.double_value if one.value.double_value > 0 else 1.0
    return 1.0


@pytest.mark.parametrize("has_prefix", [False, True])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps)
def test_counts_are_those_of_a_naive_count(
    steps: Sequence[list[bytes] | str], has_prefix: bool
) -> None:
    graphs = TenantServiceGraphs(
        dimensions=("dim.one",),
        histogram_buckets=EDGE_BOUNDS,
        enable_client_server_prefix=has_prefix,
        enable_virtual_node_label=has_prefix,
        enable_messaging_system_latency_histogram=True,
    )
    spans = TenantSpanMetrics(dimensions=KEYS[:2], histogram_buckets=SPAN_BOUNDS)
    server = ProcessorSettings(
        service_graphs=ServiceGraphsSettings(wait_s=WAIT_S, max_items=MAX_ITEMS)
    )
    counted = Counted(
        settings=settings_of(processor=server),
        overrides=TenantProcessors(service_graphs=graphs, span_metrics=spans),
    )
    naive_spans = NaiveSpanMetrics(SPAN_BOUNDS, KEYS[:2])
    naive_graph = NaiveServiceGraph(
        EDGE_BOUNDS,
        WAIT_S,
        MAX_ITEMS,
        ("dim.one",),
        has_prefix=has_prefix,
        has_virtual_label=has_prefix,
    )
    for step in steps:
        if step == "flush":
            counted.begin_head()
        elif step == "prune":
            counted.tenant.prune()
        elif step == "wait":
            counted.clock.advance(WAIT_S * 0.6)
            counted.tenant.expire()
            naive_graph.expire(counted.clock.monotonic_ns() / 1e9)
        else:
            counted.take(*step)
            for one in step:
                for seen in spans_of(ExportTraceServiceRequest.FromString(one)):
                    naive_spans.consume(seen)
                    naive_graph.consume(seen, counted.clock.monotonic_ns() / 1e9)
    expected = expected_values(naive_spans, naive_graph)
    found = counted.values()
    assert found.keys() == expected.keys()
    for labels, value in expected.items():
        assert found[labels] == pytest.approx(value), labels
    name = "tempo_metrics_generator_processor_service_graphs_dropped_spans"
    assert counted.metrics.value(name, tenant="single-tenant") == naive_graph.dropped
    for kind, edges in naive_graph.expired.items():
        name = "tempo_metrics_generator_processor_service_graphs_expired_edges"
        labels = {"tenant": "single-tenant", "unmatched_span_kind": kind}
        assert counted.metrics.value(name, **labels) == edges


def expected_values(spans: NaiveSpanMetrics, graph: NaiveServiceGraph) -> dict[Labels, float]:
    """Put the sums of the oracles under the names of their series."""
    found: dict[Labels, float] = {}

    def put(name: str, sums: dict[Series, float]) -> None:
        for labels, value in sums.items():
            found[tuple(sorted((*labels, ("__name__", name))))] = value

    def put_histogram(name: str, histogram: NaiveHistogram) -> None:
        put(f"{name}_sum", {labels: histogram.sums[labels] for labels in histogram.buckets})
        put(f"{name}_count", {labels: cells[-1] for labels, cells in histogram.buckets.items()})
        for labels, cells in histogram.buckets.items():
            for le, count in zip(le_texts(histogram.bounds), cells, strict=True):
                put(f"{name}_bucket", {(*labels, ("le", le)): count})

    put("traces_spanmetrics_calls_total", spans.calls)
    put("traces_spanmetrics_size_total", spans.sizes)
    put_histogram("traces_spanmetrics_latency", spans.latency)
    put("traces_service_graph_request_total", graph.requests)
    put("traces_service_graph_request_failed_total", graph.failed)
    put_histogram("traces_service_graph_request_server_seconds", graph.server)
    put_histogram("traces_service_graph_request_client_seconds", graph.client)
    put_histogram("traces_service_graph_request_messaging_system_seconds", graph.messaging)
    return found


@settings(max_examples=25, deadline=None)
@given(spans=st.lists(one_span(), min_size=1, max_size=12))
def test_multipliers_weigh_spans(spans: Sequence[tuple[dict[str, object], bytes]]) -> None:
    overrides = TenantProcessors(
        span_metrics=TenantSpanMetrics(histogram_buckets=SPAN_BOUNDS, span_multiplier_key="ratio")
    )
    counted = Counted(("span-metrics",), overrides=overrides)
    naive = NaiveSpanMetrics(SPAN_BOUNDS, weight=ratio)
    for _, one in spans:
        counted.take(one)
        for seen in spans_of(ExportTraceServiceRequest.FromString(one)):
            naive.consume(seen)
    expected = expected_values(naive, NaiveServiceGraph(EDGE_BOUNDS, WAIT_S, MAX_ITEMS))
    found = counted.values()
    assert found.keys() == expected.keys()
    for labels, value in expected.items():
        assert found[labels] == pytest.approx(value), labels

"""What dashboards and alerts of Tempo select is there, and counts what it says."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.otlp import request, span
from support.server import Server, running_server

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
BODY = request(resource={"service.name": "shop"}, spans=[span(trace=1, id=1), span(trace=2, id=1)])
GRPC_ROUTE = "opentelemetry_proto_collector_trace_v1_traceservice_export"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    with running_server(tmp_path_factory.mktemp("data") / "store") as server:
        with grpc.insecure_channel(server.otlp_grpc) as channel:
            channel.unary_unary(EXPORT)(BODY, timeout=30)
            with pytest.raises(grpc.RpcError):
                channel.unary_unary(EXPORT)(b"\xff", timeout=30)
        for content in (BODY, b"\xff"):
            headers = {"Content-Type": "application/x-protobuf"}
            httpx.post(f"{server.otlp_http}/v1/traces", content=content, headers=headers)
        httpx.post(f"{server.api_url}/flush", timeout=60)
        httpx.get(f"{server.api_url}/api/search", params={"q": "{}"})
        httpx.get(f"{server.api_url}/api/traces/1")
        httpx.get(f"{server.api_url}/api/nowhere")
        yield read(server)


def read(server: Server) -> Samples:
    text = httpx.get(f"{server.api_url}/metrics").text
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


@pytest.mark.parametrize(
    ("method", "route", "status"),
    [
        ("gRPC", GRPC_ROUTE, "success"),
        ("gRPC", GRPC_ROUTE, "error"),
        ("POST", "otlp_v1_traces", "200"),
        ("POST", "otlp_v1_traces", "400"),
        ("GET", "api_search", "200"),
        ("GET", "api_traces_traceid", "200"),
        ("GET", "notfound", "404"),
    ],
)
def test_requests_are_timed_by_route(
    samples: Samples, method: str, route: str, status: str
) -> None:
    labels = {"method": method, "route": route, "status_code": status, "ws": "false"}

    assert value(samples, "tempo_request_duration_seconds_count", **labels) == 1


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("tempo_distributor_spans_received_total", {"tenant": "single-tenant"}, 4),
        (
            "tempo_receiver_accepted_spans_total",  # so the parser calls it
            {"receiver": "otlp/otlp_receiver", "transport": "grpc"},
            2,
        ),
        ("tempodb_blocklist_length", {"tenant": "single-tenant"}, 1),
        ("tempodb_backend_objects_total", {"tenant": "single-tenant", "status": "live"}, 2),
        ("tempodb_blocklist_tenant_index_builder", {"tenant": "single-tenant"}, 1),
        ("tempo_live_store_blocks_completed_total", {}, 1),
        (
            "tempo_query_frontend_queries_total",
            {"tenant": "single-tenant", "op": "search", "result": "completed"},
            1,
        ),
        ("tempo_query_frontend_queue_duration_seconds_count", {}, 2),
        ("tempo_inflight_requests", {"method": "GET", "route": "api_search"}, 0),
    ],
)
def test_counts_are_true(
    samples: Samples, name: str, labels: dict[str, str], expected: float
) -> None:
    assert value(samples, name, **labels) == expected


def test_the_index_is_fresh(samples: Samples) -> None:
    age_s = value(samples, "tempodb_blocklist_tenant_index_age_seconds", tenant="single-tenant")

    assert age_s is not None
    assert 0 <= age_s < 60

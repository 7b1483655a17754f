"""Questions of every kind, to be asked of several processes that must give the same answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from support.otlp import EPOCH_NS, request, span
from support.server import Server

TRACES = 60
ATTEMPTS = 5
RETRY_S = 1.0
"""What a server asks for with a 503."""
WINDOW = {"start": EPOCH_NS // 10**9 - 10, "end": EPOCH_NS // 10**9 + 600}
PROMQL = (
    "sum by (service) (rate(traces_spanmetrics_calls_total[1m])) / on () group_left "
    "sum(rate(traces_service_graph_request_total[1m])) "
    "or histogram_quantile(0.9, sum by (le) (traces_spanmetrics_latency_bucket))"
)
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
    ("/api/service-graph", WINDOW),
    ("/api/service-graph", {"q": "{ span.n > 30 && kind = server }", "service": "bank", **WINDOW}),
    (
        "/prometheus/api/v1/query_range",
        {"query": PROMQL, "step": "30", **WINDOW},
    ),
    ("/prometheus/api/v1/query", {"query": "1 + 1", "time": "5"}),
    ("/prometheus/api/v1/label/__name__/values", WINDOW),
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


def parts_of(trace: int) -> Iterator[bytes]:
    """A trace in two requests of two services."""
    begin_ms = trace * 1000
    attributes = {"n": trace}
    first = span(
        trace=trace,
        id=trace * 10 + 1,
        name="checkout",
        kind="client",
        attributes=attributes,
        start_ms=begin_ms,
        duration_ms=100,
    )
    second = span(
        trace=trace,
        id=trace * 10 + 2,
        parent=trace * 10 + 1,
        name="pay",
        kind="server",
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


def send_all(pool: ThreadPoolExecutor, servers: Sequence[Server], bodies: Sequence[bytes]) -> None:
    for server in servers:
        list(pool.map(lambda body, server=server: send(server, body), bodies))


def ask(server: Server, path: str, query: dict[str, Any]) -> tuple[int, Any]:
    """Get an answer without what says how much was looked at; 503 is asked again, as clients do."""
    url = f"{server.api_url}{path}"
    for _ in range(ATTEMPTS):
        answer = httpx.get(url, params=query, timeout=60)
        if answer.status_code != 503:
            break
        time.sleep(RETRY_S)
    try:
        content = answer.json()
    except ValueError:
        return answer.status_code, answer.text
    if isinstance(content, dict):
        content.pop("metrics", None)
        for series in content.get("series", ()):
            series.pop("exemplars", None)  # some of many, by how they lie
    return answer.status_code, content

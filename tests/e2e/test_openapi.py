"""What the description promises is served, and nothing that it allows or forbids makes a 5xx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from support.prometheus_queries import GRAFANA, TABLES
from support.reference_dataset import requests
from support.server import Server, running_server

DESCRIPTION = yaml.safe_load(
    (Path(__file__).parents[2] / "tracestore" / "api" / "openapi.yaml").read_text()
)
MATH = "math expressions not supported"
"""The one 500 that the wire contract wants: arithmetic over metrics sent to a search."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("data")
    flags = [
        "--overrides.user-configurable-overrides.enabled=true",
        "--overrides.defaults.metrics-generator.processors=span-metrics,service-graphs",
        f"--metrics-generator.storage.path={data / 'generator'}",
    ]
    with running_server(data / "store", *flags) as server:
        for body in requests():
            headers = {"Content-Type": "application/x-protobuf"}
            httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers)
        server.wait_until_decoded()
        yield server


GOLDEN = Path(__file__).parents[1] / "golden" / "queries.txt"
QUERIES = [line for line in GOLDEN.read_text().splitlines() if line.startswith(("{", "("))]
METRICS = ["rate() by(.env)", "quantile_over_time(duration, .5)", "compare({ status = error })"]

schemathesis.openapi.format(
    "traceql",
    st.sampled_from(QUERIES)
    | st.sampled_from(QUERIES).flatmap(lambda q: st.sampled_from([f"{q} | {m}" for m in METRICS]))
    | st.sampled_from(QUERIES).flatmap(lambda q: st.integers(0, len(q)).map(lambda n: q[:n])),
)
schemathesis.openapi.format("promql", st.sampled_from([*GRAFANA, *TABLES]))
schema = schemathesis.openapi.from_dict(DESCRIPTION)


ALIKE = "rules|alerts|metadata|status/buildinfo|format_query|labels|query_exemplars"
"""Routes that read less than others that are asked."""


@schema.exclude(path_regex=f"^/prometheus/api/v1/({ALIKE})$").parametrize()
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_nothing_makes_a_server_error(case: schemathesis.Case, server: Server) -> None:
    reply = case.call(base_url=server.api_url)

    if reply.text != MATH:
        case.validate_response(reply, checks=[not_a_server_error])


def test_the_description_is_served_and_speaks_of_every_route(server: Server) -> None:
    served = httpx.get(f"{server.api_url}/api/openapi.json").json()
    listed = httpx.get(f"{server.api_url}/status/endpoints").text.splitlines()[1:]

    assert served == DESCRIPTION
    routes = {line.split()[0].replace(":path}", "}") for line in listed}
    described = set(served["paths"])
    assert described <= routes
    assert {route for route in routes - described if route.startswith("/api/")} == set()

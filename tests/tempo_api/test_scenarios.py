"""Runs the scenarios of this folder against a server: ours, or any that a URL names.

    TEMPO_API_URL=http://tempo:3200 TEMPO_GRPC=tempo:9095 TEMPO_OTLP_URL=http://tempo:4318 \\
        pytest tests/tempo_api

asks another server, one that holds nothing else: the reference data set is sent to it first. Files
that need a server of their own (``server:`` flags), and scenarios that are ours
(``only: tracestore``), are left out then.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.otlp import EPOCH_NS
from support.reference_dataset import requests
from support.scenario_calls import ask_grpc, ask_http
from support.scenarios import Scenario, fill, read_scenarios
from support.server import running_server, wait_until

FILES = sorted(Path(__file__).parent.glob("*.yaml"))
SCENARIOS = [scenario for file in FILES for scenario in read_scenarios(file)]
AGE_S = 600
"""How long ago the data begins: within the default windows of any server."""
OTHER_URL = os.environ.get("TEMPO_API_URL", "")  # noqa: TID251 - of tests
OTHER_GRPC = os.environ.get("TEMPO_GRPC", "")  # noqa: TID251 - likewise
OTHER_OTLP_URL = os.environ.get("TEMPO_OTLP_URL", "")  # noqa: TID251 - likewise


@dataclass(frozen=True, slots=True)
class Target:
    """A server that holds the reference data set."""

    urls: Mapping[str, str]
    """Of the API, and of the receivers by name."""
    grpc: tuple[str, ...]
    """host:port of each door for gRPC."""
    t0_s: int


class Servers:
    """The servers of a run, one for each set of flags, started when first asked for."""

    def __init__(self, directory: Path, held: ExitStack) -> None:
        self._directory = directory
        self._held = held
        self._targets: dict[tuple[str, ...], Target] = {}

    def get(self, flags: tuple[str, ...]) -> Target:
        if flags not in self._targets:
            self._targets[flags] = self._start(flags)
        return self._targets[flags]

    def _start(self, flags: tuple[str, ...]) -> Target:
        t0_s = (int(time.time()) - AGE_S) // 60 * 60  # noqa: TID251 - a real server has a real clock
        body = shifted_request(t0_s)
        if OTHER_URL:
            send(OTHER_OTLP_URL, body, {})
            wait_until(lambda: _is_found(OTHER_URL), 60)
            urls = {"api": OTHER_URL, "otlp": OTHER_OTLP_URL}
            return Target(urls, (OTHER_GRPC,), t0_s)
        data = self._directory / f"store-{len(self._targets)}"
        server = self._held.enter_context(running_server(data, *flags))
        send(server.otlp_http, body, {"X-Scope-OrgID": "team-a"})
        server.wait_until_decoded()
        beside_http = server.api_url.removeprefix("http://")
        urls = {
            "api": server.api_url,
            "otlp": server.otlp_http,
            "zipkin": server.zipkin,
            "jaeger": server.jaeger_http,
        }
        return Target(urls, (server.grpc, beside_http), t0_s)


def shifted_request(t0_s: int) -> bytes:
    """Make the reference data set as if it began at a second."""
    request = ExportTraceServiceRequest.FromString(b"".join(requests()))
    shift_ns = t0_s * 10**9 - EPOCH_NS
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                span.start_time_unix_nano += shift_ns
                span.end_time_unix_nano += shift_ns
                for event in span.events:
                    event.time_unix_nano += shift_ns
    content: bytes = request.SerializeToString()
    return content


def send(url: str, body: bytes, headers: dict[str, str]) -> None:
    headers = headers | {"Content-Type": "application/x-protobuf"}
    reply = httpx.post(f"{url}/v1/traces", content=body, headers=headers, timeout=30)
    assert reply.status_code == 200, reply.text


def _is_found(url: str) -> bool:
    return bool(httpx.get(f"{url}/api/search", params={"q": "{}"}, timeout=30).json()["traces"])


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with ExitStack() as held:
        yield Servers(tmp_path_factory.mktemp("scenarios"), held)


def runs_here(scenario: Scenario) -> bool:
    if not OTHER_URL:
        return True
    content = scenario.content
    return not (scenario.flags or "only" in content or content.get("at") in ("zipkin", "jaeger"))


@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if runs_here(s)], ids=lambda scenario: scenario.name
)
def test_scenario(servers: Servers, scenario: Scenario) -> None:
    server = servers.get(scenario.flags)
    now_s = int(time.time())  # noqa: TID251 - as above
    content = fill(dict(scenario.content), t0_s=server.t0_s, now_s=now_s)

    if "grpc" in content:
        problems = [p for target in server.grpc for p in ask_grpc(target, content)]
    else:
        problems = list(ask_http(server.urls[content.get("at", "api")], content))

    assert not problems, "\n".join(problems)

"""Real senders: what their own libraries put on the wire arrives as what was said to them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import npm, venvs
from support.flat_requests import read_request, real, whole, yes
from support.server import Server, free_ports, free_udp_port, running_server, wait_until

SUPPORT = Path(__file__).parents[1] / "support"
NPM = [
    "@opentelemetry/api@1.9.1",
    "@opentelemetry/sdk-trace-base@2.12.1",
    "@opentelemetry/resources@2.12.1",
    "@opentelemetry/exporter-trace-otlp-grpc@0.223.1",
    "@opentelemetry/exporter-trace-otlp-http@0.223.1",
    "@opentelemetry/exporter-trace-otlp-proto@0.223.1",
    "@opentelemetry/exporter-zipkin@2.12.1",
    "jaeger-client@3.19.0",
    "zipkin@0.22.0",
    "zipkin-transport-http@0.22.0",
]
PYPI = [
    "opentelemetry-sdk==1.21.0",
    "opentelemetry-exporter-jaeger-thrift==1.21.0",
    "opentelemetry-exporter-jaeger-proto-grpc==1.21.0",
    "deprecated",
    "py-zipkin==1.2.8",
    "rotel==0.0.1a15",
]
"""What does not go together with our own packages: Jaeger's exporters want an old SDK."""

SENT_S_MAX = 60
US = 1_700_000_000_000_000
OTHER = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")

pytestmark = pytest.mark.timeout(venvs.INSTALL_S_MAX + 120)


@pytest.fixture(scope="module")
def agent() -> str:
    """Where the server takes datagrams."""
    return f"127.0.0.1:{free_udp_port()}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, agent: str) -> Iterator[Server]:
    flags = [
        f"--distributor.receivers.jaeger.thrift-compact.{setting}"
        for setting in ("enabled", f"endpoint={agent}")
    ]
    with running_server(tmp_path_factory.mktemp("data") / "store", *flags) as server:
        yield server


@pytest.fixture(scope="module")
def packages(request: pytest.FixtureRequest) -> Path:
    assert request.config.cache is not None
    return npm.install(request.config.cache, "senders-npm", NPM)


@pytest.fixture(scope="module")
def programs(request: pytest.FixtureRequest) -> Path:
    assert request.config.cache is not None
    return venvs.install(request.config.cache, "senders-venv", PYPI)


def run_sender(command: list[object]) -> dict[str, Any]:
    """Run a sender to its end. Returns: the IDs that it drew."""
    environment = os.environ | {  # noqa: TID251 - the sender's, not ours
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"
    }
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=SENT_S_MAX,
        check=False,
        env=environment if "jaeger-grpc" in command else None,
    )
    assert done.returncode == 0, done.stderr
    sent: dict[str, Any] = json.loads(done.stdout)
    return sent


def read_trace(server: Server, trace: str) -> dict[str, dict[str, Any]]:
    """Read a trace back. Returns: its spans by ID."""
    headers = {"Accept": "application/protobuf"}
    url = f"{server.api_url}/api/traces/{trace}"
    wait_until(lambda: httpx.get(url, headers=headers, timeout=30).status_code == 200)
    reply = httpx.get(url, headers=headers, timeout=30)
    return {span["id"]: span for span in read_request(reply.content)}


def shop_trace(sent: dict[str, Any], **told: Any) -> dict[str, dict[str, Any]]:
    """The trace that the senders of OpenTelemetry make.

    Args:
        told: what differs, since another format cannot say it: ``root`` and ``child``.
    """
    root_id, child_id = sent["ids"]
    common = {"trace": sent["trace"], "scope": ("checkout", "1.2.3"), "state": "", "links": []}
    root = common | {
        "id": root_id,
        "parent": "",
        "name": "GET /cart",
        "kind": "server",
        "start": (US + 1) * 1000,
        "end": (US + 9) * 1000,
        "status": ("unset", ""),
        "attributes": {"text": "käse", "whole": whole(42), "real": real(0.5), "yes": yes(True)},
        "events": [],
        "links": [(*OTHER, {"why": "retry"})],
    }
    child = common | {
        "id": child_id,
        "parent": root_id,
        "name": "SELECT",
        "kind": "client",
        "start": (US + 2) * 1000,
        "end": (US + 5) * 1000,
        "status": ("error", "no rows"),
        "attributes": {},
        "events": [((US + 3) * 1000, "cache miss", {"key": "k", "size": whole(7)})],
    }
    spans = {"root": root, "child": child}
    return {s["id"]: s | told.get("both", {}) | told.get(who, {}) for who, s in spans.items()}


AS_TEXTS = {"text": "käse", "whole": "42", "real": "0.5", "yes": "true"}
ZIPKIN = {
    "root": {"attributes": AS_TEXTS, "links": []},
    "child": {"attributes": {"error": "no rows"}},
}
LISTS = {"texts": ["a", "b"], "wholes": [1, 2]}


@pytest.mark.parametrize("exporter", ["grpc", "json", "protobuf"])
def test_the_sdk_of_javascript(server: Server, packages: Path, exporter: str) -> None:
    script = npm.copy_script(packages, SUPPORT / "otel_sender.mjs")
    url = f"http://{server.otlp_grpc}" if exporter == "grpc" else f"{server.otlp_http}/v1/traces"

    sent = run_sender(["node", script, exporter, url])

    wanted = shop_trace(sent, both={"resource": {"service.name": "shop", "host.name": "js-1"}})
    wanted[sent["ids"][0]]["attributes"] |= LISTS
    assert read_trace(server, sent["trace"]) == wanted


def test_the_sdk_of_javascript_by_zipkin(server: Server, packages: Path) -> None:
    script = npm.copy_script(packages, SUPPORT / "otel_sender.mjs")

    sent = run_sender(["node", script, "zipkin", f"{server.zipkin}/api/v2/spans"])

    wanted = shop_trace(
        sent,
        both={"resource": {"service.name": "shop", "host.name": "js-1"}, "scope": ("", "")},
        root={"attributes": AS_TEXTS | {"texts": "a,b", "wholes": "1,2"}, "links": []},
        child=ZIPKIN["child"] | {"events": [((US + 3) * 1000, "cache miss", {})]},
    )
    assert read_trace(server, sent["trace"]) == wanted


@pytest.mark.parametrize("exporter", ["otlp-grpc", "otlp-http", "zipkin"])
def test_the_sdk_of_python(server: Server, exporter: str) -> None:
    target = {
        "otlp-grpc": server.otlp_grpc,
        "otlp-http": f"{server.otlp_http}/v1/traces",
        "zipkin": f"{server.zipkin}/api/v2/spans",
    }[exporter]

    sent = run_sender([sys.executable, "-P", SUPPORT / "sdk_sender.py", exporter, target])

    resource = {"resource": {"service.name": "shop", "host.name": "py-1"}}
    told = ZIPKIN if exporter == "zipkin" else {}
    assert read_trace(server, sent["trace"]) == shop_trace(sent, both=resource, **told)


@pytest.mark.parametrize("exporter", ["jaeger-grpc", "jaeger-thrift", "jaeger-agent"])
def test_the_sdk_of_python_by_jaeger(
    server: Server, agent: str, programs: Path, exporter: str
) -> None:
    target = {
        "jaeger-grpc": server.jaeger_grpc,
        "jaeger-thrift": f"{server.jaeger_http}/api/traces?format=jaeger.thrift",
        "jaeger-agent": agent,
    }[exporter]

    sent = run_sender([programs / "python", "-P", SUPPORT / "sdk_sender.py", exporter, target])

    fields = {"key": "k", "size": whole(7), "message": "cache miss"}
    wanted = shop_trace(
        sent,
        root={"links": [(*OTHER, {"opentracing.ref_type": "follows_from"})]},
        child={"events": [((US + 3) * 1000, "", fields)]},
    )
    wait_until(lambda: len(read_trace(server, sent["trace"])) == 2)  # datagrams are not answered
    found = read_trace(server, sent["trace"])
    resource = {"service.name": "shop", "host.name": "py-1"}
    for span in found.values():  # the exporter says who it is with each span again
        assert span.pop("resource").items() >= {"service.name": "shop"}.items()
        assert {key: span["attributes"].pop(key) for key in resource} == resource
        in_microseconds(span)  # one of them makes floating-point numbers of times
    assert found == wanted


def in_microseconds(span: dict[str, Any]) -> None:
    for name in ("start", "end"):
        span[name] = round(span[name], -3)
    span["events"] = [(round(at, -3), name, fields) for at, name, fields in span["events"]]


def test_the_client_of_jaeger_by_thrift(server: Server, packages: Path) -> None:
    script = npm.copy_script(packages, SUPPORT / "jaeger_sender.mjs")

    sent = run_sender(["node", script, f"{server.jaeger_http}/api/traces"])

    found = read_trace(server, sent["trace"])
    root, child = (found[id.zfill(16)] for id in sent["ids"])
    ours = {"text": "käse", "real": real(0.5), "yes": yes(True)}
    assert len(found) == 2
    assert root["resource"] == child["resource"]
    assert (
        root["resource"].items()
        >= {
            "service.name": "shop",
            "deployment.environment": "test",
            "opencensus.exporterversion": "Jaeger-Node-3.19.0",
        }.items()
    )
    assert root["trace"] == sent["trace"].zfill(32)
    assert (root["name"], root["kind"], root["parent"]) == ("GET /cart", "server", "")
    assert (root["start"], root["end"]) == (US * 1000, (US + 9000) * 1000)
    assert root["attributes"] == ours | {"sampler.type": "const", "sampler.param": yes(True)}
    assert (child["name"], child["parent"]) == ("SELECT", root["id"])
    assert (child["status"], child["attributes"]) == (("error", ""), {})
    assert child["events"] == [((US + 3000) * 1000, "cache miss", {"key": "k"})]


def test_the_client_of_zipkin(server: Server, packages: Path) -> None:
    script = npm.copy_script(packages, SUPPORT / "zipkin_sender.mjs")

    sent = run_sender(["node", script, f"{server.zipkin}/api/v2/spans"])

    found = read_trace(server, sent["trace"])
    root, child = (found[id] for id in sent["ids"])
    assert len(found) == 2
    assert root["resource"] == child["resource"] == {"service.name": "shop"}
    assert (root["name"], root["kind"], root["parent"]) == ("get /cart", "server", "")
    assert root["attributes"] == {"text": "käse"}
    assert (child["name"], child["kind"], child["parent"]) == ("select", "client", root["id"])
    assert child["attributes"] == {
        "error": "no rows",
        "peer.service": "db",
        "net.peer.port": whole(5432),
    }
    assert child["status"] == ("error", "no rows")
    assert [name for _, name, _ in child["events"]] == ["cache miss"]
    assert root["start"] <= child["start"] <= child["end"] <= root["end"]


@pytest.mark.parametrize("encoding", ["V2_JSON", "V2_PROTO3", "V1_JSON"])
def test_the_client_of_zipkin_for_python(server: Server, programs: Path, encoding: str) -> None:
    script = SUPPORT / "py_zipkin_sender.py"

    url = f"{server.zipkin}/api/{encoding[:2].lower()}/spans"
    sent = run_sender([programs / "python", "-P", script, encoding, url])

    found = read_trace(server, sent["trace"])
    root, child = (found[id] for id in sent["ids"])
    assert len(found) == 2
    assert {span["resource"]["service.name"] for span in found.values()} == {"shop"}
    assert (root["name"], root["kind"], root["parent"]) == ("GET /cart", "server", "")
    assert root["attributes"].items() >= {"text": "käse", "net.host.port": whole(80)}.items()
    assert (child["name"], child["kind"], child["parent"]) == ("SELECT", "client", root["id"])
    assert child["status"] == ("error", "no rows")
    assert {name for _, name, _ in child["events"]} - {"cs", "cr"} == {"cache miss"}


@contextmanager
def running_collector(programs: Path, log: Path, target: str) -> Iterator[str]:
    """A real collector that takes OTLP/gRPC and sends it on. Gives host:port."""
    grpc, http = free_ports(2)
    (agent,) = programs.parent.glob("lib/*/site-packages/rotel/rotel-agent")
    command = [
        *(agent, "start", "--exporter=otlp", f"--otlp-exporter-endpoint={target}"),
        f"--otlp-grpc-endpoint=127.0.0.1:{grpc}",
        f"--otlp-http-endpoint=127.0.0.1:{http}",
        "--otlp-exporter-retry-initial-backoff=200ms",
        "--otlp-exporter-retry-max-backoff=1s",
        "--disable-batching",
    ]
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: is_open(grpc))
        yield f"127.0.0.1:{grpc}"
    finally:
        process.terminate()
        process.wait(30)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def send_to_collector(collector: str) -> dict[str, Any]:
    return run_sender([sys.executable, "-P", SUPPORT / "sdk_sender.py", "otlp-grpc", collector])


def test_a_collector_sends_on_what_it_took(server: Server, programs: Path, tmp_path: Path) -> None:
    target = f"http://{server.otlp_grpc}"
    with running_collector(programs, tmp_path / "collector.log", target) as collector:
        sent = send_to_collector(collector)
        wait_until(lambda: len(read_trace(server, sent["trace"])) == 2)
        found = read_trace(server, sent["trace"])

    resource = {"service.name": "shop", "host.name": "py-1"}
    assert found == shop_trace(sent, both={"resource": resource})


def test_a_collector_keeps_trying_while_there_is_no_server(programs: Path, tmp_path: Path) -> None:
    (grpc,) = free_ports(1)
    log = tmp_path / "collector.log"
    with running_collector(programs, log, f"http://127.0.0.1:{grpc}") as collector:
        sent = send_to_collector(collector)
        wait_until(lambda: "retry" in log.read_text().lower())
        flag = f"--distributor.receivers.grpc.endpoint=127.0.0.1:{grpc}"
        with running_server(tmp_path / "store", flag) as server:
            wait_until(lambda: len(read_trace(server, sent["trace"])) == 2)


def test_a_collector_slows_down_when_it_is_told_to(programs: Path, tmp_path: Path) -> None:
    config = tmp_path / "limits.yaml"
    limits = "{rate_limit_bytes: 100, burst_size_bytes: 300}"  # one of the two spans at a time
    config.write_text(f"overrides: {{defaults: {{ingestion: {limits}}}}}\n")
    flags = [f"--config={config}", "--distributor.retry-after-on-resource-exhausted-s=0.5"]
    with running_server(tmp_path / "store", *flags) as server:
        log = tmp_path / "collector.log"
        target = f"http://{server.otlp_grpc}"
        with running_collector(programs, log, target) as collector:
            sent = send_to_collector(collector)
            wait_until(lambda: len(read_trace(server, sent["trace"])) == 2)
        refused = server.metric("tempo_discarded_spans_total")

    assert refused > 0

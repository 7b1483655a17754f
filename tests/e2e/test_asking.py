"""A server and its data directory give the same answers, through the command and from Python."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from support.otlp import EPOCH_NS, request, span
from support.server import Server, running_server
from support.written_blocks import diverse_requests

import tracestore
from tracestore.client.found import FoundTrace
from tracestore.client.request import SORTS

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TRACESTORE = (sys.executable, "-P", "-m", "tracestore.cli.main")
TIMEOUT_S = 60.0
SPLIT_A = request(
    resource={"service.name": "shop"},
    spans=[span(trace=0xAB, id=1, name="GET /", kind="server", duration_ms=120)],
)
SPLIT_B = request(
    resource={"service.name": "bank"},
    spans=[span(trace=0xAB, id=2, parent=1, name="charge", status="error", start_ms=5)],
)
QUERIES = (
    "{}",
    "{ status = error }",
    '{ resource.service.name = "bank" }',
    "{ span.http.status_code >= 404 && duration > 5ms }",
    "{ span.retried = true || span.ratio = 0.5 }",
    '{ resource.service.name = "shop" } > { status = error }',
    "{} | by(resource.service.name) | count() > 1",
    "{ status = error } | avg(duration) > 1ms",
    '{ name = "none" }',
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server with blocks, with spans that are in no block yet, and with a trace in both."""
    data = tmp_path_factory.mktemp("asking") / "store"
    first, second = [SPLIT_A, *diverse_requests()], [SPLIT_B, *diverse_requests(seed=8)]
    keep = "--compactor.compaction.block-retention=87600h"  # the spans are years old
    with running_server(data, keep) as server:
        with grpc.insecure_channel(server.otlp_grpc) as channel:
            export = channel.unary_unary(EXPORT)
            for body in first:
                export(body, timeout=30)
            httpx.post(f"{server.api_url}/flush", timeout=60).raise_for_status()
            for body in second:
                export(body, timeout=30)
        server.wait_until_decoded()
        yield server, data


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TRACESTORE, *argv], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def output(*argv: str) -> str:
    done = run(*argv)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("query", QUERIES)
def test_from_python(query: str, store: tuple[Server, Path]) -> None:
    server, data = store
    of_server = tracestore.open(server.api_url).search(query, limit=100)
    of_directory = tracestore.open(data).search(query, limit=100)

    assert of_server.to_arrow().equals(of_directory.to_arrow())
    assert of_server.to_arrow("traces").equals(of_directory.to_arrow("traces"))
    assert bool(of_server.traces) == ("none" not in query)
    assert None not in of_server.to_arrow()["service"].to_pylist()


RANGE = ("--start", str(EPOCH_NS // 10**9 - 1), "--end", str(EPOCH_NS // 10**9 + 3600))


def test_graph(store: tuple[Server, Path]) -> None:
    server, data = store
    places = (("--server", server.api_url), ("--data", str(data)))

    answers = [output("graph", *RANGE, "--output", "json", *place) for place in places]
    bodies = [json.loads(answer) for answer in answers]
    for body in bodies:
        body.pop("metrics")
    assert bodies[0] == bodies[1]
    (edge,) = [edge for edge in bodies[0]["edges"] if edge["server"] == "shop"]
    assert (edge["client"], edge["connectionType"]) == ("user", "virtual_node")
    assert [output("graph", "shop", *RANGE, *place) for place in places] == [
        output("graph", "shop", *RANGE, *places[0])
    ] * 2
    assert "depends on shop: user (1)" in output("graph", "shop", *RANGE, *places[1])
    assert '"user" -> "shop"' in output("graph", *RANGE, "--output", "dot", *places[0])
    for place in places:
        done = run("graph", "nobody", *RANGE, *place)
        assert done.returncode == 1
        assert done.stderr == "tracestore: service 'nobody' has no spans in the range\n"


@pytest.mark.parametrize("sort", SORTS)
def test_pages_in_any_order(sort: str, store: tuple[Server, Path]) -> None:
    """A page of the one goes on in the other: they agree on the query, the order and the place."""
    server, data = store
    stores = [tracestore.open(server.api_url), tracestore.open(data)]
    query = "{ status = error || name =~ `.*a.*` }"
    whole = stores[1].search(query, sort=sort, limit=1000, count=True)
    assert whole.total is not None
    assert whole.total.traces == len(whole.traces) > 10
    shown: list[FoundTrace] = []
    cursor: str | None = None
    while cursor is not None or not shown:
        pages = [one.search(query, sort=sort, limit=7, count=True, cursor=cursor) for one in stores]
        assert pages[0].traces == pages[1].traces
        assert pages[0].total == pages[1].total == whole.total
        assert (pages[0].next_cursor is None) == (pages[1].next_cursor is None)
        shown += pages[0].traces
        cursor = pages[len(shown) % 2].next_cursor
    assert tuple(shown) == whole.traces


def test_a_trace_from_python(store: tuple[Server, Path]) -> None:
    server, data = store
    of_server = tracestore.open(server.api_url).trace("ab")
    of_directory = tracestore.open(data).trace("ab")

    assert of_server.spans == of_directory.spans
    assert [(row.depth, row.span.service) for row in of_directory.tree()] == [
        (0, "shop"),
        (1, "bank"),
    ]


@pytest.mark.parametrize("form", ["table", "json", "ndjson"])
def test_the_query_command(form: str, store: tuple[Server, Path]) -> None:
    server, data = store
    flags = ("{ status = error }", "--limit=5", "--start=2023-11-14", "--end=2023-11-15")
    of_server = output("query", *flags, "--output", form, "--server", server.api_url)
    of_directory = output("query", *flags, "--output", form, "--data", str(data))

    if form == "json":
        server_traces, directory_traces = (
            json.loads(text)["traces"] for text in (of_server, of_directory)
        )
        assert len(server_traces) == 5
        assert server_traces == directory_traces
    else:
        assert of_server == of_directory
        assert len(of_server.splitlines()) == (6 if form == "table" else 5)
    assert "\x1b" not in of_server


def test_the_trace_command(store: tuple[Server, Path]) -> None:
    server, data = store
    of_server = output("trace", "ab", "--server", server.api_url)

    assert of_server == output("trace", "ab", "--data", str(data))
    root, child = of_server.splitlines()[2:]
    assert root.endswith(" shop     GET /")
    assert child.endswith(" bank     └─ charge  ERROR")
    body = json.loads(output("trace", "AB", "--output=json", "--data", str(data)))
    assert len(body["trace"]["resourceSpans"]) == 2


def test_a_terminal_gets_colour_unless_it_wants_none(store: tuple[Server, Path]) -> None:
    server, _ = store
    argv = ["query", "{ status = error }", "--server", server.api_url]
    coloured = on_terminal(argv)
    plain = on_terminal(argv, "NO_COLOR=1")
    assert "\x1b[1mTRACE" in coloured
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= 80


def on_terminal(argv: list[str], *variables: str) -> str:
    """Run a command whose output is a terminal of 80 columns."""
    master, slave = pty.openpty()
    command = ["env", "-u", "NO_COLOR", "TERM=xterm", "COLUMNS=80", *variables, *TRACESTORE, *argv]
    process = subprocess.Popen(command, stdout=slave, stderr=subprocess.PIPE)
    os.close(slave)
    parts = []
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # how Linux says that nobody writes any more
            break
        if not part:
            break
        parts.append(part)
    os.close(master)
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, errors) == (0, b"")
    return b"".join(parts).decode()


def test_what_is_not_there_and_what_is_no_query(store: tuple[Server, Path]) -> None:
    server, data = store
    for where in (("--server", server.api_url), ("--data", str(data))):
        missing = run("trace", "ffff", *where)
        wrong = run("query", "{ statsu = error }", *where)
        assert (missing.returncode, missing.stdout) == (1, "")
        assert missing.stderr == f"tracestore: trace ffff is not in {where[1]}\n"
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert "  ^^^^^^ " in wrong.stderr


def test_a_killed_server_leaves_all_that_it_acknowledged(tmp_path: Path) -> None:
    data = tmp_path / "store"
    with running_server(data) as server:
        with grpc.insecure_channel(server.otlp_grpc) as channel:
            channel.unary_unary(EXPORT)(SPLIT_A, timeout=30)
        server.kill()

    (trace,) = tracestore.open(data).search().traces
    assert trace.root_name == "GET /"


@pytest.mark.parametrize(
    "argv",
    [
        ("tags",),
        ("tags", "--scope", "span", "--query", "{ status = error }", "--output", "text"),
        ("tags", "resource.service.name"),
        ("tags", "service.name", "--limit", "2", "--output", "json"),
        ("tags", "name", "--query", '{ resource.service.name = "bank" }', "--output", "ndjson"),
        ("tags", 'span."http.status_code"', "--output", "text"),
    ],
)
def test_names_and_values(argv: tuple[str, ...], store: tuple[Server, Path]) -> None:
    server, data = store

    of_server = output(*argv, "--server", server.api_url)

    assert of_server.count("\n") >= 1
    assert output(*argv, "--data", str(data)) == of_server


def test_names_and_values_from_python(store: tuple[Server, Path]) -> None:
    for target in (store[0].api_url, store[1]):
        asked = tracestore.open(target)
        assert asked.names(scope="instrumentation") == {"instrumentation": ["flavour"]}
        bank = asked.values("name", query='{ resource.service.name = "bank" }')
        assert bank == [("string", "charge")]


def test_a_mistake_in_a_tag_is_drawn(store: tuple[Server, Path]) -> None:
    done = run("tags", "a b", "--server", store[0].api_url)

    assert done.returncode == 1
    assert done.stderr.splitlines()[1:2] == ["a b"]

"""Both recordings of real systems, through the network, against a naive evaluation of the messages.

The server cuts blocks while the data arrives, so that traces lie in live tables and several blocks.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData
from support.naive_metrics_generator import DATABASE_KEYS, PEER_KEYS, NaiveSpan, edges
from support.naive_store import NaiveStore, StoredSpan
from support.recordings import ONLINE_BOUTIQUE, TRAIN_TICKET, read_recording
from support.server import Server, running_server

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
MILLISECOND = 1_000_000
SERVER, CLIENT = 2, 3
ERROR = 2

Matches = Callable[[StoredSpan], bool]


def text_matches(pattern: str, value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value, re.DOTALL) is not None


QUERIES: dict[str, Matches] = {
    "{}": lambda span: True,
    "{ status = error }": lambda span: span.message.status.code == ERROR,
    "{ kind = client && duration > 50ms }": lambda span: (
        span.message.kind == CLIENT and span.duration_ns > 50 * MILLISECOND
    ),
    '{ resource.service.name = "ts-order-service" && span.db.operation = "UPDATE" }': lambda span: (
        span.resource["service.name"] == "ts-order-service"
        and span.attributes.get("db.operation") == "UPDATE"
    ),
    '{ name = "HTTP POST" && duration >= 1s }': lambda span: (
        span.message.name == "HTTP POST" and span.duration_ns >= 1000 * MILLISECOND
    ),
    '{ .rpc.method =~ "Get(Product|Cart)" && kind = server }': lambda span: (
        text_matches("Get(Product|Cart)", span.attributes.get("rpc.method"))
        and span.message.kind == SERVER
    ),
    '{ name =~ "(?i).*select.*order.*" }': lambda span: text_matches(
        "(?i).*select.*order.*", span.message.name
    ),
    '{ span.db.operation != "SELECT" }': lambda span: (
        span.attributes.get("db.operation", "SELECT") != "SELECT"
    ),
    '{ !(span.db.operation = "SELECT") && status = error }': lambda span: (
        span.attributes.get("db.operation") != "SELECT" and span.message.status.code == ERROR
    ),
    '{ span.http.method = nil && resource.k8s.namespace.name = "ts" && kind = server }': (
        lambda span: (
            "http.method" not in span.attributes
            and span.resource["k8s.namespace.name"] == "ts"
            and span.message.kind == SERVER
        )
    ),
    '{ span.http.method != nil && (span.http.method = "PUT" || duration > 2s) }': lambda span: (
        "http.method" in span.attributes
        and (span.attributes["http.method"] == "PUT" or span.duration_ns > 2000 * MILLISECOND)
    ),
    '{ resource.service.name =~ "ad.*" && duration < 100us }': lambda span: (
        text_matches("ad.*", span.resource["service.name"]) and span.duration_ns < 100_000
    ),
    '{ .service.name !~ "ts-.*" && span.db.system = "mysql" && duration > 5ms }': lambda span: (
        not text_matches("ts-.*", span.resource["service.name"])
        and span.attributes.get("db.system") == "mysql"
        and span.duration_ns > 5 * MILLISECOND
    ),
    '{ resource.k8s.node.ip = "nowhere" }': lambda span: False,
}


@pytest.fixture(scope="module", params=[ONLINE_BOUTIQUE, TRAIN_TICKET])
def recording(request: pytest.FixtureRequest) -> list[bytes]:
    return list(read_recording(request.param))


@pytest.fixture(scope="module")
def naive(recording: list[bytes]) -> NaiveStore:
    return NaiveStore(recording)


@pytest.fixture(scope="module")
def server(recording: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory: Path = tmp_path_factory.mktemp("data")
    keep = "--compactor.compaction.block-retention=87600h"  # the recordings are years old
    with running_server(directory, "--ingester.max-block-bytes=12MiB", keep) as server:
        with grpc.insecure_channel(server.otlp_grpc) as channel:
            export = channel.unary_unary(EXPORT)
            for futures in [recording[i : i + 16] for i in range(0, len(recording), 16)]:
                for future in [export.future(request) for request in futures]:
                    future.result(timeout=60)
        server.wait_until_decoded()
        yield server


def search(server: Server, query: str, **parameters: object) -> list[tuple[bytes, int]]:
    reply = httpx.get(
        f"{server.api_url}/api/search",
        params={"q": query, "limit": 100_000, "spss": 1, **parameters},
        timeout=60,
    )
    assert reply.status_code == 200, reply.text
    return [
        (bytes.fromhex(trace["traceID"].zfill(32)), trace["spanSet"]["matched"])
        for trace in reply.json()["traces"]
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("query", QUERIES)
def test_search_finds_what_the_messages_hold(server: Server, naive: NaiveStore, query: str) -> None:
    expected = naive.search(QUERIES[query])

    assert expected == search(server, query)


def test_a_limit_keeps_the_newest(server: Server, naive: NaiveStore) -> None:
    expected = naive.search(lambda span: span.message.kind == SERVER)[:7]

    assert expected == search(server, "{ kind = server }", limit=7)


def with_status(span: Span) -> bytes:
    """A span as a trace by ID shows it: the status message is always there."""
    shown = Span()
    shown.CopyFrom(span)
    shown.status.SetInParent()
    return shown.SerializeToString(deterministic=True)


def test_every_trace_is_whole_by_id(server: Server, naive: NaiveStore) -> None:
    chosen = sorted(naive.traces)[:: len(naive.traces) // 25]
    assert len(chosen) >= 25
    with httpx.Client(timeout=60) as client:
        for trace_id in chosen:
            reply = client.get(
                f"{server.api_url}/api/traces/{trace_id.hex()}",
                headers={"Accept": "application/protobuf"},
            )
            assert reply.status_code == 200, reply.text
            got = Counter(
                (one.SerializeToString(deterministic=True), resource)
                for group in TracesData.FromString(reply.content).resource_spans
                for resource in [group.resource.SerializeToString(deterministic=True)]
                for scope in group.scope_spans
                for one in scope.spans
            )
            assert set(got.values()) == {1}
            assert {content for content, _ in got} == {
                with_status(span.message) for span in naive.traces[trace_id].spans.values()
            }


def test_counts_are_those_of_the_recording(
    server: Server, naive: NaiveStore, recording: list[bytes]
) -> None:
    traces = search(server, "{}")

    assert naive.spans == sum(matched for _, matched in traces)
    assert len(naive.traces) == len(traces)


NAMING = frozenset({"service.name", "server.address", *PEER_KEYS, *DATABASE_KEYS})


def naive_edges(naive: NaiveStore) -> tuple[Counter[tuple[str, str, str]], range]:
    """Count the requests between services, one by one, and find when they were over."""
    spans = [
        NaiveSpan(one.message, texts(one.resource), texts(one.attributes))
        for trace in naive.traces.values()
        for one in trace.spans.values()
        if one.message.kind > 1
    ]
    spans.sort(key=lambda one: one.end_ns)
    found = edges(spans, every_server=True)
    ends_s = [edge.end_ns // 10**9 for edge in found]
    counts = Counter((one.client_name, one.server_name, one.connection) for one in found)
    return counts, range(min(ends_s) - 1, max(ends_s) + 1)


def texts(values: dict[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items() if key in NAMING}


def test_the_service_graph_has_each_request(server: Server, naive: NaiveStore) -> None:
    expected, seconds = naive_edges(naive)

    reply = httpx.get(
        f"{server.api_url}/api/service-graph",
        params={"start": seconds.start, "end": seconds.stop},
        timeout=60,
    )
    assert reply.status_code == 200, reply.text
    found = {
        (one["client"], one["server"], one["connectionType"]): one["total"]
        for one in reply.json()["edges"]
    }
    assert found == expected
    assert len(found) >= 5

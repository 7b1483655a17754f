"""Whatever tenants do, none sees what is another's: a real server, random operations, every door.

Tenants use the same trace and span IDs on purpose. Each marks what it sends with its own name, in
span names, keys and values; no answer may hold the mark of a tenant that was not asked for, and
each must hold what is the asker's.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from support.otlp import EPOCH_NS, event, request, span
from support.server import Server, running_server, start_server, wait_ready
from support.tempopb import message, method

TENANTS = ["red", "Red", "red.1", "blue"]
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
START_S = EPOCH_NS // 10**9 - 60
WINDOW = {"start": START_S, "end": START_S + 3600}
STEPS = 12
HTTP = httpx.Client(timeout=60)
"""One for all requests: making one costs more than asking."""


@pytest.fixture(autouse=True, scope="module")
def _closed() -> Iterator[None]:
    with HTTP:
        yield


FLAGS = ("-multitenancy.enabled", "--ingester.tenant-idle-s=1", "--query.mcp-enabled=false")


def mark(tenant: str) -> str:
    """A text that stands in no other tenant's mark."""
    return f"<{tenant}>"


class Model:
    """What each tenant has sent: trace -> span -> name."""

    def __init__(self) -> None:
        self.sent: dict[str, dict[int, dict[int, str]]] = {
            tenant: defaultdict(dict) for tenant in TENANTS
        }

    def of(self, tenants: list[str]) -> dict[int, set[str]]:
        found: dict[int, set[str]] = defaultdict(set)
        for tenant in tenants:
            for trace, spans in self.sent[tenant].items():
                found[trace] |= set(spans.values())
        return dict(found)


class Run:
    """One server, and what was sent to it."""

    def __init__(self, data: Path, seed: int) -> None:
        self.data = data
        self.random = random.Random(seed)
        self.model = Model()
        self.number = 0

    def send(self, server: Server) -> None:
        tenant = self.random.choice(TENANTS)
        trace = self.random.randrange(1, 5)
        made = []
        for _ in range(self.random.randrange(1, 4)):
            self.number += 1
            name = f"{mark(tenant)} {self.number}"
            # span IDs are the tenant's own, or one that all of them use once per trace
            id = 999 if not self.model.sent[tenant][trace] else self.number
            self.model.sent[tenant][trace][id] = name
            attributes = {f"key {mark(tenant)}": 1, "who": mark(tenant)}
            made.append(
                span(
                    trace=trace,
                    id=id,
                    name=name,
                    start_ms=self.number,
                    attributes=attributes,
                    events=[event(mark(tenant), attributes={"event.who": mark(tenant)})],
                )
            )
        body = request(resource={"service.name": mark(tenant)}, spans=made)
        if self.random.random() < 0.5:
            headers = {"Content-Type": "application/x-protobuf", "X-Scope-OrgID": tenant}
            HTTP.post(
                f"{server.otlp_http}/v1/traces", content=body, headers=headers
            ).raise_for_status()
        else:
            with grpc.insecure_channel(server.otlp_grpc) as channel:
                channel.unary_unary(EXPORT)(body, metadata=[("x-scope-orgid", tenant)], timeout=30)

    def flush(self, server: Server) -> None:
        params = {"tenant": self.random.choice(TENANTS)} if self.random.random() < 0.5 else {}
        assert HTTP.post(f"{server.api_url}/flush", params=params).status_code == 204

    def check(self, server: Server, asked: list[str]) -> None:
        expected = self.model.of(asked)
        others = [mark(tenant) for tenant in TENANTS if tenant not in asked]
        answers = ask_everything(server, "|".join(asked))
        for door, content in answers.items():
            for other in others:
                assert other.encode() not in content, f"{door} tells {asked} of {other}"
        own = [mark(tenant).encode() for tenant in asked if self.model.sent[tenant]]
        for door, content in answers.items():
            if door.startswith("all:"):
                assert all(text in content for text in own), f"{door} leaves out {asked}"
        for trace in range(1, 5):
            assert names_of(server, "|".join(asked), trace) <= expected.get(trace, set())
        if len(asked) == 1:
            for trace, names in expected.items():
                assert names_of(server, asked[0], trace) == names


def get(server: Server, org: str, path: str, **params: object) -> httpx.Response:
    headers = {"X-Scope-OrgID": org}
    return HTTP.get(f"{server.api_url}{path}", headers=headers, params=params)


def names_of(server: Server, org: str, trace: int) -> set[str]:
    reply = get(server, org, f"/api/v2/traces/{trace:x}").json()["trace"]
    scopes = [s for group in reply.get("resourceSpans", []) for s in group["scopeSpans"]]
    return {one["name"] for scope in scopes for one in scope["spans"]}


def ask_everything(server: Server, org: str) -> dict[str, bytes]:
    """Ask every door that reads. Those named ``all:`` show every tenant that was asked for."""
    by_who = "{} | count_over_time() by(span.who)"
    http = {
        "all: search": ("/api/search", {"q": "{} | select(span.who)", "limit": 100, "spss": 100}),
        "search by any": ("/api/search", {"q": '{ any =~ ".*red.*" }', "limit": 100}),
        "search by tags": ("/api/search", {"tags": "service.name=red"}),
        "all: tags v1": ("/api/search/tags", {}),
        "all: tags v2": ("/api/v2/search/tags", {}),
        "all: values v1": ("/api/search/tag/who/values", {}),
        "all: values v2": ("/api/v2/search/tag/span.who/values", {}),
        "all: values filtered": ("/api/v2/search/tag/.who/values", {"q": "{ kind = internal }"}),
        "all: services": ("/api/v2/search/tag/resource.service.name/values", {}),
        "event values": ("/api/v2/search/tag/event.event.who/values", {}),
        "all: names": ("/api/v2/search/tag/name/values", {}),
        "all: range": ("/api/metrics/query_range", WINDOW | {"q": by_who, "step": "60"}),
        "all: instant": ("/api/metrics/query", WINDOW | {"q": by_who}),
    }
    for trace in range(1, 5):
        http[f"trace v1 {trace}"] = (f"/api/traces/{trace:x}", {})
        http[f"text {trace}"] = (f"/api/v2/traces/{trace:x}", {"format": "text"})
    answers = {}
    for door, (path, params) in http.items():
        reply = get(server, org, path, **params)
        assert reply.status_code in (200, 404), f"{door}: {reply.text}"
        answers[door] = reply.text.replace("\\u003c", "<").replace("\\u003e", ">").encode()
    return answers | stream_everything(server, org)


def stream_everything(server: Server, org: str) -> dict[str, bytes]:
    calls = {
        "all: stream search": ("Search", "SearchRequest", {"Query": "{}", "Limit": 100}),
        "all: stream tags": ("SearchTagsV2", "SearchTagsRequest", {}),
        "all: stream values": (
            "SearchTagValuesV2",
            "SearchTagValuesRequest",
            {"tagName": "span.who"},
        ),
    }
    answers = {}
    with grpc.insecure_channel(server.grpc) as channel:
        for door, (name, kind, fields) in calls.items():
            call = method(channel, name)
            metadata = [("x-scope-orgid", org)]
            parts = call(message(kind)(**fields), metadata=metadata, timeout=30)
            answers[door] = b"".join(part.SerializeToString() for part in parts)
    return answers


def test_no_door_shows_what_is_anothers(tmp_path: Path) -> None:
    run = Run(tmp_path / "store", seed=1)
    with running_server(run.data, *FLAGS) as server:
        current = server
        for step in range(STEPS):
            run.send(current)
            if run.random.random() < 0.3:
                run.flush(current)
            if step == STEPS // 2:
                current.kill()
                current = start_server(run.data, *FLAGS)
                wait_ready(current)
            if step % 4 == 3:
                run.check(current, run.random.sample(TENANTS, run.random.randrange(1, 4)))
        for tenant in TENANTS:
            run.check(current, [tenant])
        run.check(current, TENANTS)
        assert current.stop() == 0

"""The metrics-generator, span by span: dictionaries, no arrays, nothing shared with the engine.

Spans are protobuf messages with their resource's attributes. It reads the wire contract's sections
17.2 and 17.3 as a state machine over spans in the order in which they end, that waits for ever.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

KIND_NAMES = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
STATUS_NAMES = ["UNSET", "OK", "ERROR"]
PEER_KEYS = ["peer.service", "db.name", "db.system", "db.system.name"]
DATABASE_KEYS = ["db.namespace", "db.name", "db.system", "db.system.name"]
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class NaiveSpan:
    span: Span
    resource: Mapping[str, str]
    own: Mapping[str, str]

    @property
    def key(self) -> tuple[bytes, bytes, int]:
        return self.span.trace_id, self.span.span_id, self.span.kind

    @property
    def service(self) -> str:
        return self.resource.get("service.name", "")

    @property
    def end_ns(self) -> int:
        return self.span.end_time_unix_nano

    @property
    def seconds(self) -> float:
        return max(0, self.end_ns - self.span.start_time_unix_nano) / 1e9

    @property
    def parent(self) -> bytes:
        return self.span.parent_span_id.strip(b"\0") and self.span.parent_span_id

    def either(self, key: str) -> str:
        return self.resource.get(key) or self.own.get(key, "")


def text_of(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    return "" if kind is None else str(getattr(value, kind))


def texts_of(pairs: Iterable[KeyValue]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        found.setdefault(pair.key, text_of(pair.value))
    return found


def spans_of(requests: Iterable[bytes]) -> list[NaiveSpan]:
    """Read the spans of requests, each (trace, span ID, kind) once, in the order of their ends."""
    found: dict[tuple[bytes, bytes, int], NaiveSpan] = {}
    for request in requests:
        for group in ExportTraceServiceRequest.FromString(request).resource_spans:
            resource = texts_of(group.resource.attributes)
            for scope in group.scope_spans:
                for span in scope.spans:
                    one = NaiveSpan(span, resource, texts_of(span.attributes))
                    found.setdefault(one.key, one)
    return sorted(found.values(), key=lambda one: (one.end_ns, one.span.span_id, one.span.kind))


@dataclass
class Total:
    """What is known of a series in one interval."""

    count: int = 0
    failed: int = 0
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


Totals = dict[tuple[Labels, int], Total]


@dataclass(frozen=True)
class Range:
    origin_ns: int
    step_ns: int
    points: int

    def point(self, time_ns: int) -> int | None:
        place = (time_ns - self.origin_ns - 1) // self.step_ns
        return place if 0 <= place < self.points else None


def labels_of(**texts: str) -> Labels:
    return tuple(sorted((name, text) for name, text in texts.items() if text))


def span_metrics(spans: Iterable[NaiveSpan], over: Range, dimensions: Iterable[str] = ()) -> Totals:
    totals: Totals = defaultdict(Total)
    for one in spans:
        point = over.point(one.end_ns)
        if point is None:
            continue
        labels = labels_of(
            service=one.service,
            span_name=one.span.name,
            span_kind=f"SPAN_KIND_{KIND_NAMES[one.span.kind]}",
            status_code=f"STATUS_CODE_{STATUS_NAMES[one.span.status.code]}",
            **{key.replace(".", "_"): one.either(key) for key in dimensions},
        )
        total = totals[labels, point]
        total.count += 1
        total.failed += one.span.status.code == 2
        total.seconds["span"].append(one.seconds)
    return totals


@dataclass
class Edge:
    """A request, as far as its sides have come."""

    client: NaiveSpan | None = None
    server: NaiveSpan | None = None
    client_name: str = ""
    server_name: str = ""
    connection: str = ""
    virtual: str = ""
    has_failed: bool = False

    @property
    def sides(self) -> list[NaiveSpan]:
        return [side for side in (self.client, self.server) if side is not None]

    @property
    def end_ns(self) -> int:
        return max(side.end_ns for side in self.sides)


def _database(one: NaiveSpan) -> str:
    name = next((one.either(key) for key in DATABASE_KEYS if one.either(key)), "")
    if not name:
        return ""
    address, port = one.either("network.peer.address"), one.either("network.peer.port")
    peer = f"{address}:{port}" if address and port else address
    return one.either("peer.service") or one.either("server.address") or peer or name


def _peer(one: NaiveSpan) -> str:
    return next((one.own[key] for key in PEER_KEYS if one.own.get(key)), "")


def edges(spans: list[NaiveSpan], *, every_server: bool = False) -> list[Edge]:
    """Find the requests.

    Args:
        spans: in the order of their ends.
        every_server: each server span below a client span is one; else as the generator pairs.
    """
    taking = [one for one in spans if one.service and one.span.kind in (2, 3, 4, 5)]
    made = _joined(taking) if every_server else _paired(taking)
    for one in taking:
        if one.span.kind in (2, 5) and not one.parent:
            caller = _peer(one) or "user"
            made.append(Edge(None, one, caller, one.service, "virtual_node", "client"))
    return made


def _paired(taking: list[NaiveSpan]) -> list[Edge]:
    """Take one span after another; what is whole leaves, what waits for ever is looked at."""
    waiting: dict[tuple[bytes, bytes], Edge] = {}
    made: list[Edge] = []
    for one in taking:
        is_client = one.span.kind in (3, 4)
        if not is_client and not one.parent:
            continue
        key = one.span.trace_id, one.span.span_id if is_client else one.parent
        edge = waiting.setdefault(key, Edge())
        edge.has_failed |= one.span.status.code == 2
        if is_client:
            edge.client, edge.client_name = one, one.service
        else:
            edge.server, edge.server_name = one, one.service
        is_message = any(side.span.kind in (4, 5) for side in edge.sides)
        edge.connection = "messaging_system" if is_message else ""
        if one.span.kind == 3 and (name := _database(one)):
            edge.server, edge.server_name, edge.connection = None, name, "database"
        if edge.client_name and edge.server_name:
            made.append(waiting.pop(key))
    for edge in waiting.values():
        if edge.client and (peer := _peer(edge.client)):
            edge.server_name, edge.connection, edge.virtual = peer, "virtual_node", "server"
            made.append(edge)
    return made


def _joined(taking: list[NaiveSpan]) -> list[Edge]:
    """Join each server span to its client span."""
    clients = {
        (one.span.trace_id, one.span.span_id): one for one in taking if one.span.kind in (3, 4)
    }
    called = set()
    made = []
    for one in taking:
        key = one.span.trace_id, one.parent
        client = clients.get(key)
        if one.span.kind in (3, 4) or client is None:
            continue
        if client.span.kind == 3 and _database(client):
            continue
        called.add(key)
        is_message = client.span.kind == 4 or one.span.kind == 5
        kind = "messaging_system" if is_message else ""
        made.append(Edge(client, one, client.service, one.service, kind))
    for key, client in clients.items():
        if client.span.kind == 3 and (name := _database(client)):
            made.append(Edge(client, None, client.service, name, "database"))
        elif key not in called and (peer := _peer(client)):
            made.append(Edge(client, None, client.service, peer, "virtual_node", "server"))
    return made


def edge_metrics(
    spans: list[NaiveSpan],
    over: Range,
    *,
    every_server: bool = False,
    wanted: Any = lambda one: True,
) -> Totals:
    totals: Totals = defaultdict(Total)
    for edge in edges(spans, every_server=every_server):
        point = over.point(edge.end_ns)
        if point is None or not any(map(wanted, edge.sides)):
            continue
        labels = labels_of(
            client=edge.client_name,
            server=edge.server_name,
            connection_type=edge.connection,
            virtual_node=edge.virtual if every_server else "",
        )
        total = totals[labels, point]
        total.count += 1
        failed = any(side.span.status.code == 2 for side in edge.sides)
        total.failed += edge.has_failed or failed
        _observe(total, edge, is_graph=every_server)
    return totals


def _observe(total: Total, edge: Edge, *, is_graph: bool) -> None:
    client, server = edge.client, edge.server
    client_s = client.seconds if client else 0.0
    server_s = server.seconds if server else 0.0
    if edge.connection == "database":
        server_s = client_s
    if not (is_graph and edge.virtual == "client"):
        total.seconds["client"].append(client_s)
    if not (is_graph and edge.virtual == "server"):
        total.seconds["server"].append(server_s)
    if is_graph and edge.connection == "messaging_system" and client and server:
        waited = server.span.start_time_unix_nano - client.end_ns
        if waited > 0:
            total.seconds["messaging"].append(waited / 1e9)

"""Metrics of spans as anybody would write them down: a loop over spans, a dictionary of sums.

The oracle for ``services/generator``. It reads protobuf messages and knows nothing of columns.

Source: wire contract, section 17.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

Series = tuple[tuple[str, str], ...]
Attributes = list[tuple[str, str]]


def text(value: AnyValue) -> str:
    """Write a value as Tempo does."""
    kind = value.WhichOneof("value")
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "int_value":
        return str(value.int_value)
    if kind == "double_value":
        number = f"{value.double_value:.17f}" if value.double_value % 1 else ""
        return (number and repr(value.double_value)) or str(int(value.double_value))
    if kind == "array_value":
        return "[" + "".join(text(one) for one in value.array_value.values) + "]"
    if kind == "kvlist_value":
        pairs = (f"{one.key}:{text(one.value)}" for one in value.kvlist_value.values)
        return "{" + "".join(pairs) + "}"
    return value.string_value


def _first(pairs: Attributes, key: str) -> str | None:
    return next((value for name, value in pairs if name == key), None)


@dataclass
class SeenSpan:
    """A span, its attributes as texts."""

    span: Span
    resource: Attributes
    own: Attributes
    sent: list[KeyValue]
    """All attributes as they were sent, those of the span first."""

    def find(self, key: str) -> str | None:
        """Look in the resource, then in the span."""
        return _first(self.resource, key) or self.find_own(key)

    def find_own(self, key: str) -> str | None:
        """Look in the span."""
        return _first(self.own, key)

    @property
    def seconds(self) -> float:
        """Its duration."""
        ends, starts = self.span.end_time_unix_nano, self.span.start_time_unix_nano
        return max(0, ends - starts) / 1e9


def spans_of(request: ExportTraceServiceRequest) -> Iterator[SeenSpan]:
    """Go through the spans of a request."""
    for group in request.resource_spans:
        resource = [(one.key, text(one.value)) for one in group.resource.attributes]
        for scope in group.scope_spans:
            for span in scope.spans:
                own = [(one.key, text(one.value)) for one in span.attributes]
                sent = [*span.attributes, *group.resource.attributes]
                yield SeenSpan(span, resource, own, sent)


@dataclass
class NaiveHistogram:
    """Bounds and what was observed."""

    bounds: tuple[float, ...]
    buckets: dict[Series, list[float]] = field(default_factory=dict)
    sums: dict[Series, float] = field(default_factory=lambda: defaultdict(float))

    def observe(self, labels: Series, seconds: float, weight: float) -> None:
        buckets = self.buckets.setdefault(labels, [0.0] * (len(self.bounds) + 1))
        for at, bound in enumerate((*self.bounds, float("inf"))):
            if seconds <= bound:
                buckets[at] += weight
        self.sums[labels] += seconds * weight


def series(labels: dict[str, str]) -> Series:
    """Make the labels of a series: sorted, without those that are empty."""
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def label(key: str) -> str:
    """Write a key as a label."""
    return re.sub("[^a-zA-Z0-9_]", "_", key)


@dataclass
class NaiveSpanMetrics:
    """Counts every span."""

    bounds: tuple[float, ...]
    dimensions: tuple[str, ...] = ()
    weight: Callable[[SeenSpan], float] = lambda _: 1.0
    calls: dict[Series, float] = field(default_factory=lambda: defaultdict(float))
    sizes: dict[Series, float] = field(default_factory=lambda: defaultdict(float))

    def __post_init__(self) -> None:
        self.latency = NaiveHistogram(self.bounds)

    def consume(self, seen: SeenSpan) -> None:
        labels = {
            "service": seen.find("service.name") or "",
            "span_name": seen.span.name,
            "span_kind": Span.SpanKind.Name(seen.span.kind),
            "status_code": Status.StatusCode.Name(seen.span.status.code),
        }
        for key in self.dimensions:
            name = label(key)
            if name in ("service", "span_name", "span_kind", "status_code"):
                name = f"__{name}"
            labels[name] = seen.find(key) or ""
        found, weight = series(labels), self.weight(seen)
        self.calls[found] += weight
        self.sizes[found] += seen.span.ByteSize()
        self.latency.observe(found, seen.seconds, weight)


@dataclass
class _Edge:
    born: float
    kind: int
    is_root: bool = False
    client: str = ""
    server: str = ""
    peer: str | None = None
    connection: str = ""
    messages: dict[str, bool] = field(default_factory=dict)
    failed: bool = False
    weight: float = 1.0
    client_seconds: float = 0.0
    server_seconds: float = 0.0
    labels: dict[str, str] = field(default_factory=dict)
    client_end: int = 0
    server_start: int = 0
    sides: set[str] = field(default_factory=set)


@dataclass
class NaiveServiceGraph:
    """Pairs spans one after another."""

    bounds: tuple[float, ...]
    wait_s: float
    max_items: int
    dimensions: tuple[str, ...] = ()
    has_prefix: bool = False
    has_virtual_label: bool = False
    peers: tuple[str, ...] = ("peer.service", "db.name", "db.system", "db.system.name")
    databases: tuple[str, ...] = ("db.namespace", "db.name", "db.system", "db.system.name")
    weight: Callable[[SeenSpan], float] = lambda _: 1.0
    requests: dict[Series, float] = field(default_factory=lambda: defaultdict(float))
    failed: dict[Series, float] = field(default_factory=lambda: defaultdict(float))
    dropped: int = 0
    expired: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.server, self.client, self.messaging = (NaiveHistogram(self.bounds) for _ in range(3))
        self.waiting: dict[Any, _Edge] = {}

    def consume(self, seen: SeenSpan, now_s: float) -> None:
        span, service = seen.span, seen.find("service.name")
        if not service or span.kind not in (2, 3, 4, 5):
            return
        is_client = span.kind in (Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_PRODUCER)
        is_root = not is_client and span.parent_span_id in (b"", bytes(8))
        other = span.span_id if is_client or is_root else span.parent_span_id
        key = (span.trace_id, other, span.kind if is_root else 0)
        database = self._database(seen) if span.kind == Span.SPAN_KIND_CLIENT else ""
        edge = self.waiting.get(key)
        if edge is None:
            if len(self.waiting) >= self.max_items and not database:
                self.dropped += 1
                return
            edge = self.waiting[key] = _Edge(now_s, span.kind, is_root)
        if is_client:
            edge.client, edge.client_seconds = service, seen.seconds
            edge.client_end = span.end_time_unix_nano
        else:
            edge.server, edge.server_seconds = service, seen.seconds
            edge.server_start = span.start_time_unix_nano
        edge.sides.add("client" if is_client else "server")
        peer = next((p for one in self.peers if (p := seen.find_own(one))), None)
        edge.peer = edge.peer if peer is None else peer
        message_kinds = (Span.SPAN_KIND_PRODUCER, Span.SPAN_KIND_CONSUMER)
        edge.messages["client" if is_client else "server"] = span.kind in message_kinds
        edge.connection = "messaging_system" if any(edge.messages.values()) else ""
        if database:
            edge.connection, edge.server = "database", database
            edge.server_seconds = seen.seconds
        edge.failed = edge.failed or span.status.code == Status.STATUS_CODE_ERROR
        edge.weight = self.weight(seen)
        side = ("client_" if is_client else "server_") if self.has_prefix else ""
        for one in self.dimensions:
            if (value := seen.find(one)) is not None:
                edge.labels[side + label(one)] = value
        if edge.client and edge.server:
            del self.waiting[key]
            self._emit(edge)

    def _database(self, seen: SeenSpan) -> str:
        name = next((v for one in self.databases if (v := seen.find(one))), "")
        if not name:
            return ""
        address, port = seen.find("network.peer.address"), seen.find("network.peer.port")
        if address and port:
            address = f"{address}:{port}"
        return seen.find("peer.service") or seen.find("server.address") or address or name

    def expire(self, now_s: float) -> None:
        for key, edge in list(self.waiting.items()):
            if edge.born >= now_s - self.wait_s:
                continue
            del self.waiting[key]
            if not edge.client and edge.is_root:
                edge.client, edge.connection = edge.peer or "user", "virtual_node"
                self._emit(edge, "client")
            elif edge.client and not edge.server and edge.peer:
                edge.server, edge.connection = edge.peer, "virtual_node"
                self._emit(edge, "server")
            else:
                self.expired[Span.SpanKind.Name(edge.kind)] += 1

    def _emit(self, edge: _Edge, virtual: str = "") -> None:
        found = series(
            edge.labels
            | {"client": edge.client, "server": edge.server, "connection_type": edge.connection}
            | ({"virtual_node": virtual} if self.has_virtual_label else {})
        )
        self.requests[found] += edge.weight
        if edge.failed:
            self.failed[found] += edge.weight
        self.server.observe(found, edge.server_seconds, edge.weight)
        self.client.observe(found, edge.client_seconds, edge.weight)
        between = (edge.server_start - edge.client_end) / 1e9
        is_message = edge.connection == "messaging_system" and len(edge.sides) == 2
        if is_message and between > 0:
            self.messaging.observe(found, between, edge.weight)

"""The synthetic load of all benchmarks: a shop of 30 services, 12 attributes a span, about 470 B.

Deterministic: the same numbers give the same bytes. A trace is a tree of 8 spans on average; spans
come out in order of end time, mixed with those of other traces, as a Collector batches them.
Attributes are strings of few, some and many values, integers, doubles and booleans; one span in ten
has an event, one in fifty a link.

Messages are written by opentelemetry-proto, piece by piece: protobuf reads pieces one after another
as one message, so that a span costs a dozen joins rather than a dozen objects.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

START_NS = 1_760_000_000_000_000_000
SERVICES = [
    f"{domain}-{part}"
    for domain in ("cart", "catalogue", "checkout", "payment", "shipping", "user")
    for part in ("api", "worker", "gateway", "cache", "db-proxy")
]
ROUTES = [f"/api/v{v}/{noun}/{{id}}" for v in (1, 2) for noun in ("items", "orders", "users")]
METHODS = ["GET", "GET", "GET", "POST", "PUT", "DELETE"]
STATUS_CODES = [200] * 40 + [201, 204, 304, 400, 404, 404, 500, 503]
TABLES = ["items", "orders", "users", "prices", "stock", "addresses", "sessions", "vouchers"]
REGIONS = ["eu-west-1", "eu-central-1", "us-east-1"]
OPEN_TRACES = 64
"""Traces under way at the same time."""


@lru_cache(maxsize=200_000)
def attribute(key: str, value: str | int | float | bool) -> bytes:
    """Write a span that has nothing but one attribute."""
    return Span(attributes=[pair(key, value)]).SerializeToString()


def pair(key: str, value: str | int | float | bool) -> KeyValue:
    """Make a KeyValue of the type of the Python value."""
    if isinstance(value, bool):
        return KeyValue(key=key, value=AnyValue(bool_value=value))
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    if isinstance(value, float):
        return KeyValue(key=key, value=AnyValue(double_value=value))
    return KeyValue(key=key, value=AnyValue(string_value=value))


def resource(service: int, instance: int) -> bytes:
    """Write the ResourceSpans of an instance of a service, without spans."""
    name = SERVICES[service]
    attributes = [
        pair("service.name", name),
        pair("service.version", f"1.{service}.{instance % 3}"),
        pair("service.instance.id", f"{name}-{instance:02}"),
        pair("k8s.pod.name", f"{name}-7d9c5b8f6-{instance:05}"),
        pair("k8s.namespace.name", "shop"),
        pair("cloud.region", REGIONS[service % len(REGIONS)]),
        pair("telemetry.sdk.language", "go" if service % 2 else "java"),
    ]
    return ResourceSpans(resource=Resource(attributes=attributes)).SerializeToString()


def event(rng: random.Random, time_ns: int) -> Span.Event:
    """Make an exception, as SDKs record them."""
    attributes = [
        pair("exception.type", rng.choice(["TimeoutError", "IOError", "KeyError"])),
        pair("exception.message", f"upstream took {rng.randrange(1000)} ms"),
        pair("exception.escaped", False),
    ]
    return Span.Event(name="exception", time_unix_nano=time_ns, attributes=attributes)


def attributes(rng: random.Random, service: int, kind: int) -> list[bytes]:
    """Write the 12 attributes of a span."""
    route = rng.choice(ROUTES)
    target = rng.randrange(20_000)
    written = [
        attribute("http.request.method", rng.choice(METHODS)),
        attribute("http.route", route),
        attribute("http.response.status_code", rng.choice(STATUS_CODES)),
        attribute("url.path", route.replace("{id}", str(target))),
        attribute("server.address", f"{SERVICES[(service + 7) % 30]}.shop"),
        attribute("server.port", 8080 + service % 4),
        attribute("user.id", rng.randrange(50_000)),
        attribute("cache.hit", rng.random() < 0.8),
        attribute("queue.wait_ms", round(rng.expovariate(0.2), 1)),
        attribute("thread.name", f"worker-{rng.randrange(16)}"),
    ]
    if kind == Span.SPAN_KIND_CLIENT:
        table = rng.choice(TABLES)
        written.append(attribute("db.system", "postgresql"))
        written.append(attribute("db.query.text", f"SELECT * FROM {table} WHERE id = $1"))
    else:
        written.append(attribute("network.protocol.version", "1.1"))
        # Unlike all others: too many values to be worth remembering.
        unique = pair("request.id", rng.randbytes(8).hex())
        written.append(Span(attributes=[unique]).SerializeToString())
    return written


def trace(rng: random.Random, start_ns: int) -> list[tuple[int, int, bytes]]:
    """Make the spans of a trace: end time, service, Span message; in order of end time."""
    trace_id = rng.randbytes(16)
    spans: list[tuple[int, int, bytes]] = []
    placed: list[tuple[bytes, int, int, int]] = []  # span ID, start, end, service
    for number in range(1 + int(rng.expovariate(1 / 7.5))):
        span_id = rng.randbytes(8)
        if number == 0:
            parent_id, begin, end = b"", start_ns, start_ns + rng.randrange(5_000_000, 500_000_000)
            service = rng.randrange(len(SERVICES))
        else:
            parent_id, parent_begin, parent_end, service = rng.choice(placed[-4:])
            begin = rng.randrange(parent_begin, parent_end)
            end = rng.randrange(begin, parent_end) + 1
            service = (service * 5 + rng.randrange(3)) % len(SERVICES)
        placed.append((span_id, begin, end, service))
        kind = Span.SPAN_KIND_SERVER if number % 2 == 0 else Span.SPAN_KIND_CLIENT
        span = Span(
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=parent_id,
            name=f"{METHODS[service % 6]} {ROUTES[(service + number) % len(ROUTES)]}",
            kind=kind,
            start_time_unix_nano=begin,
            end_time_unix_nano=end,
            flags=257,
        )
        if rng.random() < 0.02:
            span.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message="upstream failed"))
        if rng.random() < 0.1:
            span.events.append(event(rng, end))
        if rng.random() < 0.02:
            linked = Span.Link(trace_id=rng.randbytes(16), span_id=rng.randbytes(8))
            linked.attributes.append(pair("messaging.operation", "process"))
            span.links.append(linked)
        written = b"".join([span.SerializeToString(), *attributes(rng, service, kind)])
        spans.append((end, service, written))
    return sorted(spans)


def batch(spans: list[tuple[int, int, bytes]], resources: list[bytes]) -> bytes:
    """Write a request, its spans grouped by service."""
    groups: dict[int, list[bytes]] = {}
    for _, service, span in spans:
        groups.setdefault(service, []).append(span)
    scope = ScopeSpans(scope=InstrumentationScope(name="io.shop.http", version="2.4.0"))
    head = scope.SerializeToString()
    written = []
    for service, members in groups.items():
        group = head + b"".join(field(2, span) for span in members)
        written.append(field(1, resources[service] + field(2, group)))
    return b"".join(written)


def field(number: int, payload: bytes) -> bytes:
    """Write a length-delimited field, which protobuf has no function for."""
    size, prefix = len(payload), bytearray([number << 3 | 2])
    while size > 127:
        prefix.append(size & 127 | 128)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + payload


def requests(spans: int, *, spans_per_request: int = 1000, seed: int = 1) -> Iterator[bytes]:
    """Yield ExportTraceServiceRequests that hold ``spans`` spans together.

    Cost: about 30 us a span; a million spans take 470 MB if all requests are kept.
    """
    rng = random.Random(seed)
    resources = [resource(service, service % 5) for service in range(len(SERVICES))]
    waiting: list[tuple[int, int, bytes]] = []
    left, now_ns = spans, START_NS
    while left:
        while len(waiting) < min(left, spans_per_request + 8 * OPEN_TRACES):
            waiting += trace(rng, now_ns)
            now_ns += rng.randrange(2_000_000)
        waiting.sort()
        count = min(left, spans_per_request)
        yield batch(waiting[:count], resources)
        del waiting[:count]
        left -= count

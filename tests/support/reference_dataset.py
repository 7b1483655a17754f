"""The five traces of the TraceQL reference, section 8.1, as OTLP.

A span is known by its label: A1 is span 1 of trace A. ``label_of`` goes back from what an answer
shows.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from support.otlp import event, link, request_of, resource_spans, scope_spans, span

TRACE_IDS = {
    "A": bytes.fromhex("000000000000000000000000000000aa"),
    "B": bytes.fromhex("b0" * 16),
    "C": bytes.fromhex("0c" * 16),
    "D": bytes.fromhex("d1" * 16),
    "E": bytes.fromhex("e2" * 16),
}
SHARED_ID = bytes.fromhex("00000000000000e2")
"""E2 and E3 have one ID, as Zipkin's shared spans do."""


def id_of(label: str) -> bytes:
    """Get the span ID of a label."""
    if label in ("E2", "E3"):
        return SHARED_ID
    return bytes.fromhex(label[0].lower() + label[1:].zfill(15))


def label_of(trace_id: bytes, span_id: bytes, duration_ns: int) -> str:
    """Get the label of a span; E2 and E3 differ by duration."""
    letter = next(letter for letter, known in TRACE_IDS.items() if known == trace_id)
    if span_id == SHARED_ID:
        return "E2" if duration_ns == 150_000_000 else "E3"
    return letter + span_id.hex()[1:].lstrip("0")


def _span(
    label: str,
    name: str,
    kind: str,
    status: str,
    start_and_duration: tuple[float, float],
    parent: str | None,
    attributes: dict[str, Any] | None = None,
    **fields: Any,
) -> Span:
    start_ms, duration_ms = start_and_duration
    parent_id = None
    if parent is not None:
        parent_id = id_of(parent) if len(parent) < 4 else bytes.fromhex(parent)
    return span(
        trace=TRACE_IDS[label[0]],
        id=id_of(label),
        parent=parent_id,
        name=name,
        kind=kind,
        status=status,
        start_ms=start_ms,
        duration_ms=duration_ms,
        attributes=attributes or {},
        **fields,
    )


GATEWAY = {"service.name": "gateway", "env": "prod", "region": "eu", "replicas": 3}


def _trace_a_gateway() -> ResourceSpans:
    return resource_spans(
        [
            scope_spans(
                [
                    _span(
                        "A1",
                        "GET /checkout",
                        "server",
                        "ok",
                        (0, 1000),
                        None,
                        {"http.code": 200, "cached": False, "env": "canary"},
                    ),
                    _span(
                        "A2",
                        "auth",
                        "internal",
                        "unset",
                        (10, 90),
                        "A1",
                        {"retries": 0, "ratio": 0.25},
                    ),
                ],
                scope="io.http",
                version="1.2.0",
                attributes={"lang": "go"},
            )
        ],
        resource=GATEWAY,
    )


def _trace_a_cart() -> ResourceSpans:
    cart = {"service.name": "cart", "env": "prod", "region": "us"}
    item_events = [
        event("exception", at_ms=460, attributes={"exception.type": "Timeout", "attempt": 1}),
        event("exception", at_ms=500, attributes={"exception.type": "Fatal", "attempt": 2}),
    ]
    return resource_spans(
        [
            scope_spans(
                [
                    _span(
                        "A3",
                        "POST /cart",
                        "server",
                        "ok",
                        (120, 400),
                        "A1",
                        {"http.code": 200, "tags": ["red", "blue"], "sizes": [1, 5, 9]},
                    ),
                    _span(
                        "A4",
                        "SELECT cart",
                        "client",
                        "ok",
                        (150, 100),
                        "A3",
                        {"db.system": "postgresql", "rows": 12},
                    ),
                    _span(
                        "A5",
                        "SELECT item",
                        "client",
                        "error",
                        (260, 250),
                        "A3",
                        {"db.system": "postgresql", "rows": 0, "retries": 2},
                        status_message="timeout",
                        events=item_events,
                    ),
                ],
                scope="io.http",
                version="2.0.0",
            )
        ],
        resource=cart,
    )


def _trace_a_payment() -> ResourceSpans:
    return resource_spans(
        [
            scope_spans(
                [
                    _span(
                        "A6",
                        "charge",
                        "client",
                        "error",
                        (550, 400),
                        "A1",
                        {"amount": 19.99, "currency": "EUR", "tags": ["red"]},
                    ),
                    _span(
                        "A7",
                        "charge",
                        "server",
                        "error",
                        (600, 300),
                        "A6",
                        {"http.code": "402", "cached": True},
                        status_message="declined",
                    ),
                    _span("A8", "audit", "producer", "unset", (880, 10), "A7", {"note": "nil"}),
                ],
                scope="",
            )
        ],
        resource={"service.name": "payment", "env": "stage"},
    )


def _trace_a() -> list[ResourceSpans]:
    return [_trace_a_gateway(), _trace_a_cart(), _trace_a_payment()]


def _trace_b_gateway() -> ResourceSpans:
    return resource_spans(
        [
            scope_spans(
                [
                    _span(
                        "B1",
                        "GET /search",
                        "server",
                        "ok",
                        (30000, 2000),
                        None,
                        {"http.code": 404, "cached": True},
                    ),
                    _span("B2", "auth", "internal", "unset", (30010, 100), "B1", {"retries": 1}),
                ],
                scope="io.http",
                version="1.2.0",
                attributes={"lang": "go"},
            )
        ],
        resource=GATEWAY,
    )


def _trace_b_search() -> ResourceSpans:
    query_events = [
        event("retry", at_ms=30300, attributes={"attempt": 1}),
        event("exception", at_ms=31600, attributes={"exception.type": "IO"}),
    ]
    query = {"http.code": 500, "retries": 3, "ratio": 1.5, "tags": ["green", "blue"]}
    return resource_spans(
        [
            scope_spans(
                [
                    _span(
                        "B3",
                        "query",
                        "client",
                        "error",
                        (30200, 1500),
                        "B1",
                        query,
                        events=query_events,
                    ),
                    _span("B4", "shard", "server", "ok", (30300, 300), "B3", {"sizes": [2, 4]}),
                    _span(
                        "B5",
                        "shard",
                        "server",
                        "ok",
                        (30700, 200),
                        "bfffffffffffffff",
                        {"http.code": 200.0},
                    ),
                    _span(
                        "B6",
                        "scan",
                        "internal",
                        "unset",
                        (30750, 100),
                        "B5",
                        {"empty": [], "blob": {"k": 1}},
                    ),
                ],
                scope="io.grpc",
                version="0.9",
                attributes={"lang": "java", "stable": True},
            )
        ],
        resource={"service.name": "search", "env": "prod", "region": "eu"},
    )


def _trace_b() -> list[ResourceSpans]:
    return [_trace_b_gateway(), _trace_b_search()]


def _trace_c() -> list[ResourceSpans]:
    spans = [
        _span(
            "C1",
            "consume",
            "consumer",
            "unset",
            (60000, 50),
            "cfffffffffffffff",
            {"retries": -1, "ratio": -0.5},
        ),
        _span("C2", "handle", "internal", "ok", (60010, 30), "C1", {"mixed": [1, "a"]}),
        _span(
            "C3",
            "consume",
            "consumer",
            "error",
            (60500, 50),
            "cffffffffffffffe",
            {"user id": "u 1"},
        ),
    ]
    return [resource_spans([scope_spans(spans, scope="")], resource={"env": "dev"})]


def _trace_d() -> list[ResourceSpans]:
    links = [
        link(TRACE_IDS["A"], id_of("A1"), attributes={"rel": "follows"}),
        link(TRACE_IDS["B"], id_of("B1"), attributes={"rel": "retry"}),
    ]
    events = [
        event("exception", at_ms=93200, attributes={"exception.type": "IO", "attempt": 3}),
        event("retry", at_ms=93250, attributes={"attempt": 9}),
    ]
    spans = [
        _span(
            "D1",
            "nightly",
            "internal",
            "ok",
            (90000, 5000),
            None,
            {"flags": [True, False]},
            links=links,
        ),
        _span("D2", "step", "internal", "ok", (90100, 1000), "D1", {"weights": [0.5, 2.5]}),
        _span("D3", "step", "internal", "ok", (91200, 1000), "D1", {"retries": 0}),
        _span(
            "D4",
            "step",
            "internal",
            "error",
            (92300, 1000),
            "D1",
            {"retries": 5},
            status_message="disk",
            events=events,
        ),
        _span("D5", "cleanup", "internal", "unset", (95100, 20), None),
        _span("D6", "rm", "client", "unset", (95105, 1), "D5"),
    ]
    resource = {"service.name": "batch", "env": "prod", "region": "ap"}
    return [resource_spans([scope_spans(spans, scope="cron", version="3")], resource=resource)]


def _trace_e() -> list[ResourceSpans]:
    client = [
        _span("E1", "page", "server", "ok", (120000, 200), None, {"http.code": 200}),
        _span("E2", "rpc", "client", "ok", (120010, 150), "E1"),
    ]
    server = [
        _span("E3", "rpc", "server", "ok", (120020, 100), "E1"),
        _span("E4", "work", "internal", "unset", (120030, 50), "E3", {"retries": 2}),
    ]
    return [
        resource_spans(
            [scope_spans(spans, scope="io.http", version="1.2.0", attributes={"lang": "go"})],
            resource={"service.name": service, "env": "prod"},
        )
        for service, spans in (("web", client), (7, server))
    ]


TRACES = {
    "A": _trace_a(),
    "B": _trace_b(),
    "C": _trace_c(),
    "D": _trace_d(),
    "E": _trace_e(),
}
"""Resources, scopes and spans of each trace in the order of the reference."""


def requests() -> list[bytes]:
    """Make one request a trace."""
    return [request_of(groups) for groups in TRACES.values()]

"""Traces of calls between services: databases, queues, missing sides, shared IDs, repeats."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.otlp import span
from support.search_cases import Placed

SERVICES = ["shop", "cart", "bank", "", None]
KINDS = ["server", "client", "server", "client", "internal", "producer", "consumer", "unspecified"]
ATTRIBUTES: list[tuple[str, Any]] = [
    ("peer.service", "mail"),
    ("peer.service", ""),
    ("db.system", "redis"),
    ("db.name", "orders"),
    ("db.namespace", "ns"),
    ("server.address", "10.0.0.1"),
    ("network.peer.address", "10.0.0.2"),
    ("network.peer.port", 5432),
    ("region", "eu"),
    ("region", True),
    ("other", 1.5),
]
TRACES = [1, 2, 3 << 64]


def call_spans(seed: int, sources: int) -> list[Placed]:
    """Make the spans of a few traces, spread over sources; some are in several of them."""
    rng = random.Random(seed)
    resources = [_resource(rng) for _ in range(rng.randint(1, 4))]
    found: dict[tuple[bytes, bytes, int], Placed] = {}
    for _ in range(rng.randint(1, 24)):
        made = _span(rng)
        held = frozenset(rng.choices(range(sources), k=rng.choice([1, 1, 2])))
        placed = Placed(made, rng.choice(resources), ("io", "", []), held, rng.choice([1, 1, 1, 2]))
        other = {Span.SPAN_KIND_CLIENT: 4, Span.SPAN_KIND_PRODUCER: 3}.get(made.kind)
        if (made.trace_id, made.span_id, other) not in found:  # two clients under one ID: nobody
            found.setdefault((made.trace_id, made.span_id, made.kind), placed)
    return list(found.values())


def _resource(rng: random.Random) -> list[tuple[str, Any]]:
    service = rng.choice(SERVICES)
    pairs: list[tuple[str, Any]] = [] if service is None else [("service.name", service)]
    if rng.randrange(6) == 0:
        pairs.append(rng.choice(ATTRIBUTES))
    return pairs


def _span(rng: random.Random) -> Span:
    return span(
        trace=rng.choice(TRACES),
        id=rng.randint(1, 9),
        parent=rng.choice([None, 0, *range(1, 9)]),
        name=rng.choice(["", "get", "put"]),
        kind=rng.choice(KINDS),
        status=rng.choice([None, "ok", "error"]),
        start_ms=rng.choice([0, 1, 5, 900, 1000, 5000]),
        duration_ms=rng.choice([-1, 0, 1, 2, 120, 1000]),
        attributes=rng.sample(ATTRIBUTES, rng.choice([0, 0, 0, 1, 2])),
    )


def placed_calls(*, sources: int) -> st.SearchStrategy[list[Placed]]:
    """Draw what ``call_spans`` makes."""
    return st.integers(0, 2**48).map(lambda seed: call_spans(seed, sources))

"""Small traces whose values come from small pools, so that queries match some.

They are made from a seed: a draw for each value would cost Hypothesis more than the whole search.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from support.otlp import (
    KINDS,
    STATUSES,
    event,
    link,
    request_of,
    resource_spans,
    scope_spans,
    span,
)

BIG = 2**53
STRINGS = ["", "a", "ab", "b", "1", "nil", "true", "a\nb", "é", "00A", "0b"]
INTS = [0, 1, 2, -1, 7, BIG, BIG + 1, 2**63 - 1, -(2**63)]
FLOATS = [0.5, 1.0, 2.0, -1.0, -0.0, float(BIG), float("nan"), float("inf"), 1e300]
KEYS = ["a", "b", "service.name", "x y"]
NAMES = ["", "a", "ab", "get /a"]
TRACES = [1, 2, 0xAA << 64]
SUMMANDS = [0, 1, 2, 3, -1, -2, 0.5, 1.0, 2.5, "1", True]
"""Values under ``n``, whose sums are exact in any order."""

Pairs = list[tuple[str, Any]]


def _value(rng: random.Random) -> Any:
    """Make a value as senders make them, the strange ones less often."""
    pool: list[Any] = rng.choice([STRINGS, STRINGS, INTS, INTS, FLOATS, [True, False]])
    form = rng.randrange(10)
    if form < 6:
        return rng.choice(pool)
    if form < 8:
        return rng.choices(pool, k=rng.randrange(4))
    if form == 8:
        return rng.choices([*STRINGS, *INTS, True], k=rng.randrange(4))
    return rng.choice([{"k": 1}, b"a", AnyValue(), None])


def _attributes(rng: random.Random, most: int) -> Pairs:
    pairs: Pairs = []
    for _ in range(rng.randrange(most + 1)):
        if rng.randrange(3):
            pairs.append((rng.choice(KEYS), _value(rng)))
        else:
            pairs.append(("n", rng.choice(SUMMANDS)))
    return pairs


def _event(rng: random.Random) -> Span.Event:
    at_ms = rng.choice([0, 1, 5, 1001])
    return event(rng.choice(NAMES), at_ms=at_ms, attributes=_attributes(rng, 2))


def _link(rng: random.Random) -> Span.Link:
    pairs = _attributes(rng, 2)
    if rng.randrange(6) == 0:
        pairs = [("opentracing.ref_type", "child_of")]
    return link(rng.choice([*TRACES, 0xAB]), rng.randint(1, 6), attributes=pairs)


def _some(rng: random.Random, make: Callable[[random.Random], Any]) -> list[Any]:
    """Make often none, else a few."""
    return [make(rng) for _ in range(rng.choice([0, 0, 0, 1, 2, 3]))]


def _tangle(rng: random.Random) -> list[Span]:
    """Make spans with any parents: orphans, several roots, shared IDs, cycles."""
    return [
        _span(
            rng,
            rng.choice([TRACES[0], *TRACES]),
            rng.randint(1, 6),
            rng.choice([None, None, *range(8)]),
        )
        for _ in range(rng.randint(1, 14))
    ]


def _tree(rng: random.Random) -> list[Span]:
    """Make a trace that is mostly a tree, with an orphan or another root at times."""
    made = []
    for own_id in range(1, rng.randint(2, 14)):
        parent = rng.randrange(1, own_id) if own_id > 1 else None
        if rng.randrange(8) == 0:
            parent = rng.choice([None, 99, own_id])
        made.append(_span(rng, TRACES[1], own_id, parent))
    return made


def _span(rng: random.Random, trace: int, own_id: int, parent: int | None) -> Span:
    return span(
        trace=trace,
        id=own_id,
        parent=parent,
        name=rng.choice(NAMES),
        kind=rng.choice(list(KINDS)),
        status=rng.choice([None, *STATUSES]),
        status_message=rng.choice(["", "", "a"]),
        start_ms=rng.choice([0, 1, 5, 1000, 5000]),
        duration_ms=rng.choice([-1, 0, 1, 2, 1000]),
        attributes=_attributes(rng, 4),
        events=_some(rng, _event),
        links=_some(rng, _link),
    )


@dataclass(frozen=True)
class Placed:
    """A span, what it belongs to, and the sources that hold it."""

    span: Span
    resource: list[tuple[str, Any]]
    scope: tuple[str, str, list[tuple[str, Any]]]
    sources: frozenset[int]
    copies: int = 1
    """How often each of them was sent it: senders deliver at least once."""

    def group(self) -> ResourceSpans:
        name, version, pairs = self.scope
        return resource_spans(
            [scope_spans([self.span], scope=name, version=version, attributes=pairs)],
            resource=self.resource,
        )


def place_spans(seed: int, sources: int) -> list[Placed]:
    """Make the spans of a few traces, spread over sources; some are in several."""
    rng = random.Random(seed)
    resources = [_attributes(rng, 4) for _ in range(rng.randint(1, 3))]
    names = ["", "io", "lib"]
    scopes = [(rng.choice(names), rng.choice(names), _attributes(rng, 4)) for _ in range(2)]
    found: dict[tuple[bytes, bytes, int], Placed] = {}
    for made in rng.choice([_tangle, _tree, _tree])(rng):
        held = frozenset(rng.choices(range(sources), k=rng.choice([1, 1, 2])))
        copies = rng.choice([1, 1, 1, 1, 2])
        found[made.trace_id, made.span_id, made.kind] = Placed(
            made, rng.choice(resources), rng.choice(scopes), held, copies
        )
    return list(found.values())


def placed_spans(*, sources: int) -> st.SearchStrategy[list[Placed]]:
    """Draw what ``place_spans`` makes."""
    return st.integers(0, 2**48).map(lambda seed: place_spans(seed, sources))


def request_for(placed: list[Placed], source: int) -> bytes:
    """Make the request that one source was sent."""
    held = [each for each in placed if source in each.sources]
    return request_of([each.group() for each in held for _ in range(each.copies)])

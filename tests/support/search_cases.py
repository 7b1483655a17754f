"""Strategies: small traces whose values come from small pools, so that queries match some."""

from __future__ import annotations

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

scalars = st.one_of(
    st.sampled_from(STRINGS), st.sampled_from(INTS), st.sampled_from(FLOATS), st.booleans()
)
values = st.one_of(
    scalars,
    scalars,
    st.lists(st.sampled_from(STRINGS), max_size=3),
    st.lists(st.sampled_from(INTS), max_size=3),
    st.lists(st.sampled_from(FLOATS), max_size=3),
    st.lists(st.booleans(), max_size=3),
    st.lists(scalars, max_size=3),
    st.just({"k": 1}),
    st.just(b"a"),
    st.just(AnyValue()),
    st.none(),
)
_pairs = st.one_of(
    st.tuples(st.sampled_from(KEYS), values),
    st.tuples(st.sampled_from(KEYS), values),
    st.tuples(st.just("n"), st.sampled_from(SUMMANDS)),
)
attributes = st.lists(_pairs, max_size=4)
_few_attributes = st.lists(_pairs, max_size=2)
events = st.builds(
    event,
    st.sampled_from(NAMES),
    at_ms=st.sampled_from([0, 1, 5, 1001]),
    attributes=_few_attributes,
)
_links = st.builds(
    link,
    st.sampled_from([*TRACES, 0xAB]),
    st.integers(1, 6),
    attributes=st.one_of(_few_attributes, st.just([("opentracing.ref_type", "child_of")])),
)


def _some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Draw often none, else a few."""
    return st.one_of(st.just([]), st.lists(strategy, max_size=3))


@dataclass(frozen=True)
class Placed:
    """A span, what it belongs to, and the sources that hold it."""

    span: Span
    resource: list[tuple[str, Any]]
    scope: tuple[str, str, list[tuple[str, Any]]]
    sources: frozenset[int]

    def group(self) -> ResourceSpans:
        name, version, pairs = self.scope
        return resource_spans(
            [scope_spans([self.span], scope=name, version=version, attributes=pairs)],
            resource=self.resource,
        )


@st.composite
def placed_spans(draw: st.DrawFn, *, sources: int) -> list[Placed]:
    """Draw the spans of a few traces, spread over sources; some are in several."""
    resources = draw(st.lists(attributes, min_size=1, max_size=3))
    names = st.sampled_from(["", "io", "lib"])
    scopes = draw(st.lists(st.tuples(names, names, attributes), min_size=1, max_size=2))
    found: dict[tuple[int, int, str], Placed] = {}
    for _ in range(draw(st.integers(1, 12))):
        trace = draw(st.sampled_from([TRACES[0], *TRACES]))
        own_id = draw(st.integers(1, 6))
        kind = draw(st.sampled_from(list(KINDS)))
        made = span(
            trace=trace,
            id=own_id,
            parent=draw(st.one_of(st.none(), st.integers(0, 7))),
            name=draw(st.sampled_from(NAMES)),
            kind=kind,
            status=draw(st.one_of(st.none(), st.sampled_from(list(STATUSES)))),
            status_message=draw(st.sampled_from(["", "a"])),
            start_ms=draw(st.sampled_from([0, 1, 5, 1000, 5000])),
            duration_ms=draw(st.sampled_from([-1, 0, 1, 2, 1000])),
            attributes=draw(attributes),
            events=draw(_some(events)),
            links=draw(_some(_links)),
        )
        held = draw(st.sets(st.integers(0, sources - 1), min_size=1, max_size=2))
        found[trace, own_id, kind] = Placed(
            made, draw(st.sampled_from(resources)), draw(st.sampled_from(scopes)), frozenset(held)
        )
    return list(found.values())


def request_for(placed: list[Placed], source: int) -> bytes:
    """Make the request that one source was sent."""
    return request_of([each.group() for each in placed if source in each.sources])

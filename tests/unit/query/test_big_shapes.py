"""Structural operators on a chain of 10,000 spans and on 100,000 siblings, against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from support.otlp import request, span
from support.query import run_search

from tracestore.kernel import build_tables
from tracestore.query.tables_source import TablesSource

Numbers = set[int]
CHAIN_SPANS = 10_000
FAN_SPANS = 100_000
RELATIONS = {">": "<", "<": ">", ">>": "<<", "<<": ">>", "~": "~"}
"""Each relation with its mirror image."""
OPERATORS = [f"{prefix}{relation}" for relation in RELATIONS for prefix in ("", "!", "&")]
SIDES = [(1, 0), (0, 1), (2, 2)]
"""Remainders by 7 of the spans on the left, by 3 of those on the right; span 1 is the root."""
pytestmark = pytest.mark.timeout(60)


@dataclass(frozen=True)
class Shape:
    """A trace of spans numbered from 1, and what stands in a relation to some of them."""

    spans: int
    sources: tuple[list[TablesSource], list[TablesSource]]
    """In one source, and every second span in another one."""
    related: Callable[[str, Numbers], Numbers]

    def expected(self, operator: str, left: Numbers, right: Numbers) -> Numbers:
        relation = operator.lstrip("!&")
        matched = self.related(relation, left)
        if operator.startswith("!"):
            return right - matched
        if operator.startswith("&"):
            return right & matched | left & self.related(RELATIONS[relation], right)
        return right & matched

    def numbers(self, divisor: int, remainder: int) -> Numbers:
        return set(range(remainder or divisor, self.spans + 1, divisor))


def sources_of(count: int, parent_of: Callable[[int], int]) -> list[TablesSource]:
    spans = [
        span(
            trace=1,
            id=number,
            parent=parent_of(number) if number > 1 else None,
            start_ms=number,
            attributes={"n": number},
        )
        for number in range(1, count + 1)
    ]
    parts = [spans, spans[::2], spans[1::2]]
    return [
        TablesSource(build_tables([request(spans=part)]), f"s{number}")
        for number, part in enumerate(parts)
    ]


def in_chain(relation: str, some: Numbers) -> Numbers:
    if not some or relation == "~":
        return set()
    return {
        ">": {number + 1 for number in some if number < CHAIN_SPANS},
        "<": {number - 1 for number in some if number > 1},
        ">>": set(range(min(some) + 1, CHAIN_SPANS + 1)),
        "<<": set(range(1, max(some))),
    }[relation]


def in_fan(relation: str, some: Numbers) -> Numbers:
    children = some - {1}
    if relation in ("<", "<<"):
        return {1} if children else set()
    if relation in (">", ">>"):
        return set(range(2, FAN_SPANS + 1)) if 1 in some else set()
    if not children:
        return set()
    return set(range(2, FAN_SPANS + 1)) - (children if len(children) == 1 else set())


@pytest.fixture(scope="module")
def chain() -> Shape:
    whole, *halves = sources_of(CHAIN_SPANS, lambda number: number - 1)
    return Shape(CHAIN_SPANS, ([whole], halves), in_chain)


@pytest.fixture(scope="module")
def fan() -> Shape:
    whole, *halves = sources_of(FAN_SPANS, lambda _: 1)
    return Shape(FAN_SPANS, ([whole], halves), in_fan)


def fingerprint(sources: list[TablesSource], query: str) -> list[tuple[str, object]]:
    """Count the matched spans, and sum their numbers; none: the trace does not match."""
    told = "| count() > 0 | sum(span.n) > 0 | min(span.n) > 0 | max(span.n) > 0"
    found = run_search(sources, f"{query} {told}", spans_per_span_set=1).traces
    return [said for trace in found for one in trace.span_sets for said in one.attributes]


def told_of(numbers: Numbers) -> list[tuple[str, object]]:
    if not numbers:
        return []
    return [
        ("count()", len(numbers)),
        ("sum(span.n)", sum(numbers)),
        ("min(span.n)", min(numbers)),
        ("max(span.n)", max(numbers)),
    ]


def check_all_sides(shape: Shape, operator: str) -> None:
    for left, right in SIDES:
        query = f"{{ span.n % 7 = {left} }} {operator} {{ span.n % 3 = {right} }}"
        expected = shape.expected(operator, shape.numbers(7, left), shape.numbers(3, right))
        assert fingerprint(shape.sources[0], query) == told_of(expected), query


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_chain_of_ten_thousand_spans(chain: Shape, operator: str) -> None:
    check_all_sides(chain, operator)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_fan_out_of_a_hundred_thousand_spans(fan: Shape, operator: str) -> None:
    check_all_sides(fan, operator)


@pytest.mark.parametrize("shape", ["chain", "fan"])
def test_a_large_trace_in_two_sources(shape: str, request: pytest.FixtureRequest) -> None:
    large: Shape = request.getfixturevalue(shape)
    query = "{ span.n % 7 = 1 } >> { span.n % 3 = 0 }"
    expected = large.expected(">>", large.numbers(7, 1), large.numbers(3, 0))
    assert fingerprint(large.sources[1], query) == told_of(expected)


def test_groups_of_a_chain_are_related_only_inside(chain: Shape) -> None:
    query = "{} | by(span.n % 2) | { span.n > 3 } >> {}"
    found = run_search(chain.sources[0], f"{query} | min(span.n) > 0", spans_per_span_set=1)
    (trace,) = found.traces
    assert [one.matched for one in trace.span_sets] == [4997, 4998]
    assert [dict(one.attributes)["min(span.n)"] for one in trace.span_sets] == [7, 6]
    assert run_search(chain.sources[0], "{} | by(span.n % 2) | {} > {}").traces == ()

"""What stays of a trace beside marked spans, against a walk from span to span."""

from __future__ import annotations

import random

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from support.otlp import request, span

from tracestore.codec.trace_prune import Kept, keep_spans, spans_of

# 1 ─ 2 ─ 3 ─ 4, 1 ─ 5, and 6, whose parent was not received
FAMILY = TracesData.FromString(
    request(
        resource={"service.name": "a"},
        spans=[span(trace=1, id=n, parent=p) for n, p in [(1, 0), (2, 1), (3, 2)]],
    )
    + request(
        resource={"service.name": "b"},
        spans=[span(trace=1, id=n, parent=p) for n, p in [(4, 3), (5, 1), (6, 9)]],
    )
)


def numbers(trace: TracesData) -> list[int]:
    return [int.from_bytes(one.span_id) for one in spans_of(trace)]


def kept(*marked: int, **rule: int) -> list[int]:
    places = [numbers(FAMILY).index(number) for number in marked]
    return numbers(keep_spans(FAMILY, places, Kept(**rule)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, [3]),
        ({"hierarchy": True}, [1, 2, 3]),
        ({"hierarchy": True, "ancestor_depth": 1}, [2, 3]),
        ({"hierarchy": True, "ancestor_depth": 0}, [3]),
        ({"ancestor_depth": 2}, [3]),
        ({"match_depth": 1}, [3, 4]),
        ({"match_depth": -1, "hierarchy": True}, [1, 2, 3, 4]),
    ],
)
def test_what_stays_beside_a_marked_span(rule: dict[str, int], expected: list[int]) -> None:
    assert kept(3, **rule) == expected


def test_groups_without_a_span_go_and_the_others_stay_as_they_are() -> None:
    (group,) = keep_spans(FAMILY, [3], Kept()).resource_spans

    assert group.resource == FAMILY.resource_spans[1].resource
    assert [s.span_id for s in group.scope_spans[0].spans] == [(4).to_bytes(8)]


def test_no_mark_leaves_nothing() -> None:
    assert numbers(keep_spans(FAMILY, [], Kept(hierarchy=True, match_depth=-1))) == []


def test_random_trees_and_circles_agree_with_the_walk() -> None:
    rng = random.Random(5)
    for _ in range(60):
        count = rng.randrange(1, 12)
        parents = {n: rng.randrange(count + 2) for n in range(1, count + 1)}  # circles, too
        trace = TracesData.FromString(
            request(spans=[span(trace=1, id=n, parent=p) for n, p in parents.items()])
        )
        marked = {n for n in parents if rng.random() < 0.3}
        up, down = rng.choice([-1, 0, 1, 3]), rng.choice([-1, 0, 1, 3])

        expected = set(marked)
        for number in marked:
            above, steps = number, up
            while steps != 0 and (above := parents[above]) in parents and steps > -50:
                expected.add(above)
                steps -= 1
        for number in parents:
            below, steps = number, 0
            while below in parents and steps < 50 and (down == -1 or steps <= down):
                if below in marked:
                    expected.add(number)
                below, steps = parents[below], steps + 1

        rule = Kept(hierarchy=True, ancestor_depth=up, match_depth=down)
        found = keep_spans(trace, [n - 1 for n in marked], rule)
        assert set(numbers(found)) == expected

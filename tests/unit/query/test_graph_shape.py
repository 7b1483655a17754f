"""Circles and reach, against the closure of the graph."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracestore.query.graph_shape import circles, reached, reversed_successors


@st.composite
def graphs(draw: st.DrawFn) -> list[list[int]]:
    nodes = draw(st.integers(1, 8))
    pairs = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    edges = draw(st.sets(pairs, max_size=2 * nodes))
    return [sorted(to for frm, to in edges if frm == node) for node in range(nodes)]


def steps(successors: list[list[int]]) -> dict[tuple[int, int], int]:
    """Of each pair how many steps it takes, one at least (Bellman and Ford)."""
    nodes = range(len(successors))
    found = {(node, other): 1 for node in nodes for other in successors[node]}
    for _ in nodes:
        for (node, middle), length in list(found.items()):
            for other in successors[middle]:
                known = found.get((node, other), length + 1)
                found[node, other] = min(known, length + 1)
    return found


@given(graphs())
def test_circles_are_what_reaches_itself(successors: list[list[int]]) -> None:
    known = steps(successors)
    nodes = range(len(successors))
    expected = {
        tuple(o for o in nodes if o == node or ((node, o) in known and (o, node) in known))
        for node in nodes
        if (node, node) in known
    }

    assert {tuple(one) for one in circles(successors)} == expected
    assert circles(successors) == sorted(circles(successors))


@given(graphs())
def test_reach_is_the_shortest_way(successors: list[list[int]]) -> None:
    known = steps(successors)
    for start in range(len(successors)):
        expected = {to: length for (frm, to), length in known.items() if frm == start != to}
        assert reached(successors, start) == expected
        backwards = {frm: length for (frm, to), length in known.items() if to == start != frm}
        assert reached(reversed_successors(successors), start) == backwards


def test_a_long_chain_is_no_matter() -> None:
    chain = [[node + 1] for node in range(99_999)] + [[0]]

    assert circles(chain) == [list(range(100_000))]
    assert reached(chain, 0)[99_999] == 99_999

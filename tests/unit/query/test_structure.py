"""Kernels of the structural operators against a walk of the tree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traceql.operators import STRUCTURE, Operator, Relation
from tracestore.query.structure import Forest, regroup, relate

ALONE = -2
"""Instead of a parent: outside the tree; -1 is a root."""


@dataclass(frozen=True)
class Trees:
    """Spans of several traces in the order of their left numbers, those outside a tree behind."""

    trace: list[int]
    parent: list[int]
    """Row of the parent, -1: a root, ``ALONE``: outside."""

    def ancestors(self, row: int) -> set[int]:
        found = set()
        while self.parent[row] >= 0:
            row = self.parent[row]
            found.add(row)
        return found

    def stands_in(self, left: int, relation: Relation, right: int) -> bool:
        """Whether ``left`` is the ``relation`` of ``right``."""
        match relation:
            case Relation.PARENT:
                return self.parent[right] == left
            case Relation.CHILD:
                return self.parent[left] == right
            case Relation.ANCESTOR:
                return left in self.ancestors(right)
            case Relation.DESCENDANT:
                return right in self.ancestors(left)
            case Relation.SIBLING:
                same = self.parent[left] == self.parent[right] != ALONE
                return same and left != right and self.trace[left] == self.trace[right]

    def forest(self) -> Forest:
        """Number the spans by walking, and let the kernels make of it what they need."""
        rows = len(self.trace)
        left, right, up = (np.zeros(rows, np.int32) for _ in range(3))
        for trace in set(self.trace):
            counter = 0
            inside = [r for r in range(rows) if self.trace[r] == trace and self.parent[r] != ALONE]

            def enter(row: int, inside: list[int] = inside) -> None:
                nonlocal counter
                counter += 1
                left[row] = counter
                for child in inside:
                    if self.parent[child] == row:
                        up[child] = left[row]
                        enter(child)
                counter += 1
                right[row] = counter

            for row in inside:
                if self.parent[row] == -1:
                    up[row] = -1
                    enter(row)
        columns = {"nested_left": left, "nested_right": right, "nested_parent": up}
        counts = np.bincount(self.trace).astype(np.int32)
        return Forest(counts, columns.__getitem__)


@st.composite
def trees(draw: st.DrawFn) -> Trees:
    trace, parent = [], []
    for number in range(draw(st.integers(1, 3))):
        first = len(parent)
        path: list[int] = []
        for _ in range(draw(st.integers(0 if parent else 1, 8))):
            path = path[: draw(st.integers(0, len(path)))]
            parent.append(path[-1] if path else -1)
            path.append(len(parent) - 1)
        parent += [ALONE] * draw(st.integers(0, 2))
        trace += [number] * (len(parent) - first)
    return Trees(trace, parent)


def expected(
    found: Trees, operator: Operator, left: set[int], right: set[int], group: list[int]
) -> set[int]:
    structure = STRUCTURE[operator]
    pairs = {
        (one, other)
        for one in left
        for other in right
        if group[one] == group[other] and found.stands_in(one, structure.relation, other)
    }
    if structure.negated:
        return right - {other for _, other in pairs}
    matched = {other for _, other in pairs}
    return matched | {one for one, _ in pairs} if structure.union else matched


def drawn_rows(data: st.DataObject, rows: int) -> set[int]:
    return data.draw(st.sets(st.integers(0, rows - 1)))


def marks(rows: set[int], count: int) -> np.ndarray:
    return np.isin(np.arange(count), list(rows))


@pytest.mark.parametrize("operator", STRUCTURE, ids=lambda operator: operator.value)
@settings(max_examples=40)
@given(found=trees(), data=st.data())
def test_operators_agree_with_the_walk(
    operator: Operator, found: Trees, data: st.DataObject
) -> None:
    count = len(found.trace)
    left, right = drawn_rows(data, count), drawn_rows(data, count)

    mask = relate(STRUCTURE[operator], found.forest(), marks(left, count), marks(right, count))

    assert set(np.flatnonzero(mask)) == expected(found, operator, left, right, found.trace)


@pytest.mark.parametrize("operator", STRUCTURE, ids=lambda operator: operator.value)
@settings(max_examples=40)
@given(found=trees(), data=st.data())
def test_inside_groups_only_spans_of_one_group_are_related(
    operator: Operator, found: Trees, data: st.DataObject
) -> None:
    count = len(found.trace)
    left, right = drawn_rows(data, count), drawn_rows(data, count)
    split = data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    group = [2 * trace + half for trace, half in zip(found.trace, split, strict=True)]
    structure = STRUCTURE[operator]

    members = np.array(sorted(left | right), np.int64)
    forest, rows = regroup(found.forest(), np.array(group, np.int32), max(group) + 1, members)
    mask = relate(structure, forest, marks(left, count)[rows], marks(right, count)[rows])

    assert set(rows[mask]) == expected(found, operator, left, right, group)

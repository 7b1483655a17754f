"""Structural operators (``>``, ``>>``, ``~`` and kin) as arithmetic on nested-set numbers.

The spans of a trace lie in the order of their left numbers, those outside the tree behind them. So
a subtree is a run of rows, a parent is found by its left number, and no tree is built or walked.
Every function is a kernel: arrays over the N spans of a chunk in, one boolean mask out; no I/O, no
state.

Source: TraceQL reference, 5.3 and 5.4; Celko, "Trees and Hierarchies in SQL", ch. 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traceql.operators import Relation, Structure
from tracestore.query.masks import BoolArray

Ints = npt.NDArray[np.signedinteger]
OUTSIDE = -1
"""Instead of a number: there is none."""
MIRROR = {
    Relation.PARENT: Relation.CHILD,
    Relation.CHILD: Relation.PARENT,
    Relation.ANCESTOR: Relation.DESCENDANT,
    Relation.DESCENDANT: Relation.ANCESTOR,
    Relation.SIBLING: Relation.SIBLING,
}


def own_numbers(left: Ints, base: Ints) -> Ints:
    """Number the spans of all trees.

    Args:
        left: (N,) nested-set left numbers, 1 to 2n-1 in a trace of n spans; 0: outside the tree.
        base: (N,) twice the first row of each span's trace.

    Returns: (N,) distinct numbers below 2N; ``OUTSIDE`` for spans outside the tree.
    """
    numbers: Ints = base + left
    numbers[left == 0] = OUTSIDE
    return numbers


def parent_numbers(parent: Ints, base: Ints) -> Ints:
    """Get the number of each span's parent; ``OUTSIDE`` for roots and spans outside the tree.

    Args:
        parent: (N,) left number of the parent; -1: a root, 0: outside the tree.
    """
    numbers: Ints = base + parent
    numbers[parent <= 0] = OUTSIDE
    return numbers


def families(parent: Ints, base: Ints) -> Ints:
    """Number the families: (N,), equal for children of one parent and for roots of one trace.

    Returns: 0 to 2N-1; ``OUTSIDE`` for spans outside the tree.
    """
    numbers: Ints = base + np.maximum(parent, 0)
    numbers[parent == 0] = OUTSIDE
    return numbers


def last_rows(left: Ints, right: Ints) -> Ints:
    """Find the last row of each span's subtree: (N,) rows, the span's own for a leaf.

    Between left and right of a span lie two numbers for each of its descendants.
    """
    rows = np.arange(len(left), dtype=left.dtype)
    rows += (right - left) >> 1
    return rows


def mask_marked(number: Ints, marked: Ints) -> BoolArray:
    """Mark the spans whose number is among the marked ones: a scatter and a gather.

    Args:
        number: (N,) below 2N, or ``OUTSIDE``, which is never marked.
    """
    table = np.zeros(2 * len(number) + 1, np.bool_)
    table[marked.astype(np.intp, copy=False)] = True
    table[OUTSIDE] = False
    return table.take(number)  # several times faster than [] if the numbers are int32


def mask_descendants(last_row: Ints, ancestors: BoolArray) -> BoolArray:
    """Mark the spans that have a marked ancestor: a marked subtree reaches over them.

    Cost: a running maximum; the number of levels does not matter.
    """
    reach = np.maximum.accumulate(np.where(ancestors, last_row, last_row.dtype.type(OUTSIDE)))
    marked = np.zeros(len(last_row), np.bool_)
    np.greater_equal(reach[:-1], np.arange(1, len(reach), dtype=reach.dtype), out=marked[1:])
    return marked


def mask_ancestors(last_row: Ints, descendants: BoolArray) -> BoolArray:
    """Mark the spans with a marked span in their subtree, themselves not counted."""
    marked_up_to = np.cumsum(descendants, dtype=np.int32)
    found: BoolArray = marked_up_to.take(last_row) > marked_up_to
    return found


def mask_siblings(family: Ints, spans: BoolArray) -> BoolArray:
    """Mark the spans with another, marked span in their family."""
    counts = np.bincount(_pick(family, spans) + 1, minlength=2 * len(family) + 1)
    counts[OUTSIDE + 1] = 0
    found: BoolArray = counts.take(family + 1) > spans
    return found


def _pick(numbers: Ints, mask: BoolArray) -> npt.NDArray[np.int64]:
    """Take the numbers of marked spans."""
    return numbers.take(np.flatnonzero(mask)).astype(np.int64, copy=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """What relations are computed from: of N spans the arrays above that the relation needs."""

    own: Ints | None = None
    parent: Ints | None = None
    last_row: Ints | None = None
    family: Ints | None = None

    def mask(self, relation: Relation, spans: BoolArray) -> BoolArray:
        """Mark the spans to which a span in ``spans`` is the ``relation``."""
        if relation is Relation.SIBLING:
            assert self.family is not None
            return mask_siblings(self.family, spans)
        if relation in (Relation.ANCESTOR, Relation.DESCENDANT):
            assert self.last_row is not None
            kernel = mask_descendants if relation is Relation.ANCESTOR else mask_ancestors
            return kernel(self.last_row, spans)
        assert self.own is not None
        assert self.parent is not None
        if relation is Relation.PARENT:
            return mask_marked(self.parent, _pick(self.own, spans))
        return mask_marked(self.own, _pick(self.parent, spans))


def relate(structure: Structure, forest: Forest, left: BoolArray, right: BoolArray) -> BoolArray:
    """Evaluate ``L op R``: which spans it returns.

    Args:
        left, right: (N,) the spans of either side.
    """
    related = forest.mask(structure.relation, left)
    if structure.negated:
        return right & ~related
    found: BoolArray = right & related
    if structure.union:
        found |= left & forest.mask(MIRROR[structure.relation], right)
    return found


def regroup(forest: Forest, group: Ints, members: Ints) -> tuple[Forest, Ints]:
    """Cut a forest so that only spans of one group are related.

    Args:
        group: (N,) group of each span; each lies in one trace.
        members: (M,) the rows that count, ascending.

    Returns: a forest of the members in an order of its own, and the row of each of them.
    Cost: a sort of M numbers.
    """
    rows = members[np.argsort(group[members], kind="stable")]
    of_group = group[rows].astype(np.int64)
    if forest.family is not None:
        family = forest.family[rows]
        _, number = np.unique(of_group * (2 * len(group)) + family, return_inverse=True)
        return Forest(family=np.where(family == OUTSIDE, OUTSIDE, number)), rows
    if forest.last_row is not None:
        key = of_group * len(group)
        last = np.searchsorted(key + rows, key + forest.last_row[rows], side="right") - 1
        return Forest(last_row=last), rows
    assert forest.own is not None
    assert forest.parent is not None
    own, parent = forest.own[rows], forest.parent[rows]
    place = np.full(2 * len(group) + 1, OUTSIDE, np.int64)
    place[own] = np.arange(len(rows))
    place[OUTSIDE] = OUTSIDE
    at = place[parent]
    together = (at != OUTSIDE) & (of_group[at] == of_group)
    return Forest(own=np.arange(len(rows)), parent=np.where(together, at, OUTSIDE)), rows

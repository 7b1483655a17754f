"""Structural operators (``>``, ``>>``, ``~`` and kin) as arithmetic on nested-set numbers.

The spans of a trace lie in the order of their left numbers, those outside the tree behind them. So
a subtree is a run of rows, a parent is found by its left number, and no tree is built or walked.
Every function is a kernel: arrays over the N spans of a chunk in, one boolean mask out; no I/O, no
state.

Source: TraceQL reference, 5.3 and 5.4; Celko, "Trees and Hierarchies in SQL", ch. 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traceql.operators import Relation, Structure
from tracestore.query.masks import BoolArray

Ints = npt.NDArray[np.signedinteger]
OUTSIDE = -1
"""Instead of a row or a family: there is none."""
MIRROR = {
    Relation.PARENT: Relation.CHILD,
    Relation.CHILD: Relation.PARENT,
    Relation.ANCESTOR: Relation.DESCENDANT,
    Relation.DESCENDANT: Relation.ANCESTOR,
    Relation.SIBLING: Relation.SIBLING,
}


def parent_rows(left: Ints, parent: Ints, base: Ints) -> Ints:
    """Find the row of each span's parent.

    Args:
        left: (N,) nested-set left numbers, 1 to 2n-1 in a trace of n spans; 0: outside the tree.
        parent: (N,) left number of the parent; -1: a root, 0: outside the tree.
        base: (N,) twice the first row of each span's trace, so that ``base + left`` tells all spans
            of the tree apart.

    Returns: (N,) rows; ``OUTSIDE`` for roots and for spans outside the tree.
    """
    row_at = np.empty(2 * len(left), np.int32)
    row_at[base + left] = np.arange(len(left), dtype=np.int32)
    has_parent = parent > 0
    rows: Ints = row_at[base + parent * has_parent]
    rows[~has_parent] = OUTSIDE
    return rows


def last_rows(left: Ints, right: Ints) -> Ints:
    """Find the last row of each span's subtree: (N,) rows, the span's own for a leaf.

    Between left and right of a span lie two numbers for each of its descendants.
    """
    rows = np.arange(len(left), dtype=left.dtype)
    rows += (right - left) >> 1
    return rows


def families(parent: Ints, base: Ints) -> Ints:
    """Number the families: (N,), equal for children of one parent and for roots of one trace.

    Returns: 0 to 2N-1; ``OUTSIDE`` for spans outside the tree. ``parent``, ``base``: see above.
    """
    numbers: Ints = base + np.maximum(parent, 0)
    numbers[parent == 0] = OUTSIDE
    return numbers


def mask_children(parent_row: Ints, parents: BoolArray) -> BoolArray:
    """Mark the spans whose parent is marked. Cost: a gather."""
    return np.append(parents, False)[parent_row]


def mask_parents(parent_row: Ints, children: BoolArray) -> BoolArray:
    """Mark the spans that have a marked child. Cost: a scatter."""
    marked = np.zeros(len(parent_row) + 1, np.bool_)
    marked[parent_row[children]] = True  # OUTSIDE is the last one
    return marked[:-1]


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
    found: BoolArray = marked_up_to[last_row] > marked_up_to
    return found


def mask_siblings(family: Ints, spans: BoolArray) -> BoolArray:
    """Mark the spans with another, marked span in their family."""
    inside = family != OUTSIDE
    marked = spans & inside
    counts = np.bincount(family[marked], minlength=2 * len(family) + 1)
    found: BoolArray = (counts[family] > marked) & inside
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """What a relation is computed from: one of three arrays over N spans, as made above."""

    parent_row: Ints | None = None
    last_row: Ints | None = None
    family: Ints | None = None

    def mask(self, relation: Relation, spans: BoolArray) -> BoolArray:
        """Mark the spans to which a span in ``spans`` is the ``relation``."""
        kernel, array = self._kernel(relation)
        assert array is not None
        assert len(array) == len(spans)
        return kernel(array, spans)

    def _kernel(
        self, relation: Relation
    ) -> tuple[Callable[[Ints, BoolArray], BoolArray], Ints | None]:
        match relation:
            case Relation.PARENT:
                return mask_children, self.parent_row
            case Relation.CHILD:
                return mask_parents, self.parent_row
            case Relation.ANCESTOR:
                return mask_descendants, self.last_row
            case Relation.DESCENDANT:
                return mask_ancestors, self.last_row
            case Relation.SIBLING:
                return mask_siblings, self.family


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
    place = np.full(len(group) + 1, OUTSIDE, np.int64)
    place[rows] = np.arange(len(rows))
    of_group = group[rows]
    if forest.parent_row is not None:
        parents = forest.parent_row[rows]
        together = (place[parents] != OUTSIDE) & (group[parents] == of_group)
        return Forest(parent_row=np.where(together, place[parents], OUTSIDE)), rows
    if forest.last_row is not None:
        key = of_group.astype(np.int64) * len(group)
        last = np.searchsorted(key + rows, key + forest.last_row[rows], side="right") - 1
        return Forest(last_row=last), rows
    assert forest.family is not None
    family = forest.family[rows].astype(np.int64)
    key = of_group.astype(np.int64) * (2 * len(group)) + family
    _, number = np.unique(key, return_inverse=True)
    return Forest(family=np.where(family == OUTSIDE, OUTSIDE, number)), rows

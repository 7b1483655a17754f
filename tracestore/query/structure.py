"""Structural operators (``>``, ``>>``, ``~`` and kin): which spans they return.

The relations themselves are kernels over nested-set numbers (``kernel/relations``); here they are
joined to operators. No I/O but through the columns that are asked for, no state.

Source: TraceQL reference, 5.3 and 5.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traceql.operators import Relation, Structure
from tracestore import kernel
from tracestore.query.masks import BoolArray

Ints = npt.NDArray[np.int32]
MIRROR = {
    Relation.PARENT: Relation.CHILD,
    Relation.CHILD: Relation.PARENT,
    Relation.ANCESTOR: Relation.DESCENDANT,
    Relation.DESCENDANT: Relation.ANCESTOR,
    Relation.SIBLING: Relation.SIBLING,
}
_KERNELS: dict[Relation, tuple[Callable[[BoolArray, Ints, Ints, Ints], BoolArray], str, str]] = {
    Relation.PARENT: (kernel.mask_children, "nested_left", "nested_parent"),
    Relation.CHILD: (kernel.mask_parents, "nested_left", "nested_parent"),
    Relation.ANCESTOR: (kernel.mask_descendants, "nested_left", "nested_right"),
    Relation.DESCENDANT: (kernel.mask_ancestors, "nested_left", "nested_right"),
    Relation.SIBLING: (kernel.mask_siblings, "nested_left", "nested_parent"),
}
"""Of each relation what marks the spans to which a marked one is that, and the numbers it needs."""


@dataclass(frozen=True, slots=True)
class Forest:
    """N spans, run by run; only those of one run can be related.

    ``counts``: (T,) the length of each run. ``numbers`` gives nested-set numbers of the N spans by
    the name of their column; a run has them in ascending order of left, outside the tree last.
    """

    counts: Ints
    numbers: Callable[[str], Ints]

    def mask(self, relation: Relation, spans: BoolArray) -> BoolArray:
        """Mark the spans to which a span in ``spans`` is the ``relation``."""
        mark, first, second = _KERNELS[relation]
        return mark(spans, self.counts, self.numbers(first), self.numbers(second))


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


def regroup(
    forest: Forest, group: Ints, groups: int, members: npt.NDArray[np.int64]
) -> tuple[Forest, npt.NDArray[np.int64]]:
    """Cut a forest so that only spans of one group are related.

    Args:
        group: (N,) group of each span; each lies in one trace.
        members: (M,) the rows that count, ascending.

    Returns: a forest of the members in an order of its own, and the row of each of them.
    Cost: a sort of M numbers.
    """
    of_member = group[members]
    rows = members[np.argsort(of_member, kind="stable")]
    counts = np.bincount(of_member, minlength=groups).astype(np.int32)
    return Forest(counts, lambda name: forest.numbers(name).take(rows)), rows

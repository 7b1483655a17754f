"""Fields of the parent span: the row of each span's parent, and expressions read from there.

The parent is the resolved one: a span that no root reaches has none. Its own fields then are nil,
and every comparison with them false.

Source: TraceQL reference, 5.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracestore import kernel
from tracestore.query.columns import numbers
from tracestore.query.expressions import Condition, Expression
from tracestore.query.masks import Mask, mask_and, take
from tracestore.query.parts import Domain, Operand
from tracestore.query.scan import ChunkScan

_GATHER_COST = 8


def _parents(scan: ChunkScan) -> npt.NDArray[np.int32]:
    """Find the row of each span's parent, -1 where there is none."""
    if "parents" not in scan.memo:
        scan.memo["parents"] = kernel.parent_rows(
            scan.span_counts,
            numbers(scan.column(Domain.SPAN, "nested_left")),
            numbers(scan.column(Domain.SPAN, "nested_parent")),
        )
    found: npt.NDArray[np.int32] = scan.memo["parents"]
    return found


@dataclass(eq=False)
class HasParent(Condition):
    """``parent != nil``."""

    def __post_init__(self) -> None:
        self.domain, self.cost = Domain.SPAN, 4

    def mask(self, scan: ChunkScan) -> Mask:
        has_parent: Mask = numbers(scan.column(Domain.SPAN, "nested_parent")) > 0
        return has_parent


@dataclass(eq=False)
class ParentHolds(Condition):
    """There is a parent, and a condition holds for it."""

    condition: Condition

    def __post_init__(self) -> None:
        assert self.condition.domain <= Domain.SPAN
        self.domain, self.cost = Domain.SPAN, self.condition.cost + _GATHER_COST

    def mask(self, scan: ChunkScan) -> Mask:
        mask = scan.mask(self.condition, Domain.SPAN)
        if mask is False:
            return False
        parents = _parents(scan)
        return mask_and(parents >= 0, take(mask, parents))


@dataclass(eq=False)
class OfParent(Expression):
    """The value that an expression has for the parent; nil without one."""

    expression: Expression

    def __post_init__(self) -> None:
        assert self.expression.domain <= Domain.SPAN
        self.domain, self.cost = Domain.SPAN, self.expression.cost + _GATHER_COST

    def operand(self, scan: ChunkScan) -> Operand:
        parents = _parents(scan)
        found = scan.operand(self.expression, Domain.SPAN).spread(parents)
        has_parent = parents >= 0
        parts = tuple(part.where(has_parent) for part in found.parts)
        return Operand(parts, mask_and(found.present, has_parent))


@dataclass(eq=False)
class ParentItself(Expression):
    """The parent span: there or not, without a value."""

    def __post_init__(self) -> None:
        self.domain, self.cost = Domain.SPAN, 4

    def operand(self, scan: ChunkScan) -> Operand:
        return Operand((), HasParent().mask(scan))

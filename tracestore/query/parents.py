"""Fields of the parent span: the row of each span's parent, and expressions read from there.

The parent is the resolved one: a span that no root reaches has none. Its own fields then are nil,
and every comparison with them false.

Source: TraceQL reference, 5.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracestore.query.columns import numbers
from tracestore.query.expressions import Condition, Expression
from tracestore.query.masks import Mask, mask_and, take
from tracestore.query.parts import Domain, IntArray, Operand
from tracestore.query.scan import ChunkScan

_GATHER_COST = 8


def parent_rows(
    left: IntArray, parent: IntArray, first_span: IntArray, span_count: IntArray
) -> npt.NDArray[np.int64]:
    """Find the row of each span's parent.

    Args:
        left: (N,) nested-set left of spans that lie by trace; 0: not reachable from a root.
        parent: (N,) left of the parent; below 1: none.
        first_span: (T,) first row of each trace, ascending.
        span_count: (T,) spans of each.

    Returns: (N,) rows, -1 where there is no parent.
    Cost: O(N); lefts of a trace of n spans are below 2n + 1, so a table of 2N + T finds them.
    """
    place = 2 * first_span.astype(np.int64) + np.arange(len(first_span))
    begin = np.repeat(place, span_count)
    row_of_left = np.full(2 * len(left) + len(first_span), -1, np.int64)
    row_of_left[begin + left] = np.arange(len(left))
    row_of_left[place] = -1
    found: npt.NDArray[np.int64] = row_of_left[begin + np.maximum(parent, 0)]
    return found


def _parents(scan: ChunkScan) -> npt.NDArray[np.int64]:
    if "parents" not in scan.memo:
        traces, part = scan.of_source.traces, scan.trace_slice
        scan.memo["parents"] = parent_rows(
            numbers(scan.column(Domain.SPAN, "nested_left")),
            numbers(scan.column(Domain.SPAN, "nested_parent")),
            traces.first_span[part] - scan.chunk.first_span,
            traces.span_count[part],
        )
    found: npt.NDArray[np.int64] = scan.memo["parents"]
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

"""The leaves of bound expressions: attributes, intrinsics, and their comparison with a literal.

They read columns through the scan, each over the rows of its own domain. Source: TraceQL reference,
4.2 to 4.5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traceql.operators import Operator
from tracestore.model.tables import AttributeType
from tracestore.query.columns import attribute, validity
from tracestore.query.expressions import Condition, Expression
from tracestore.query.intrinsics import StoredIntrinsic
from tracestore.query.masks import Mask, mask_or
from tracestore.query.parts import Domain, Operand, Texts
from tracestore.query.predicates import Comparison, mask_literal
from tracestore.query.prune import is_excluded
from tracestore.query.scan import ChunkScan

_COLUMN_COSTS = {
    AttributeType.STRING: 6,
    AttributeType.ANY: 6,
    AttributeType.INT: 4,
    AttributeType.FLOAT: 4,
    AttributeType.BOOL: 3,
}
_LIST_COST = 12
_OVERFLOW_COST = 20
_SMALL_DOMAIN_DISCOUNT = 20


@dataclass(eq=False)
class Attribute(Expression):
    """A key in one scope: its typed columns, and the overflow column if that can hold it."""

    of: Domain
    key: str
    columns: tuple[tuple[AttributeType, str], ...]
    overflow: str | None
    absent_text: str | None = None
    """What the attribute reads as where it is absent; None: nil."""

    def __post_init__(self) -> None:
        self.domain = self.of
        cost = sum(_COLUMN_COSTS.get(kind, _LIST_COST) for kind, _ in self.columns)
        cost += _OVERFLOW_COST if self.overflow else 0
        self.cost = cost if self.of >= Domain.SPAN else cost // _SMALL_DOMAIN_DISCOUNT

    @property
    def is_nil(self) -> bool:
        """Whether no row of the source has the key."""
        return not self.columns and self.overflow is None and self.absent_text is None

    def narrowed(self, types: Iterable[AttributeType]) -> Attribute:
        """Leave out columns of other types, where presence need not be known."""
        if self.overflow is not None or self.absent_text is not None:
            return self
        kept = tuple(column for column in self.columns if column[0] in types)
        return Attribute(self.of, self.key, kept, None)

    def presence(self, scan: ChunkScan) -> Mask:
        """Mark the rows that have the key."""
        if self.overflow is not None or self.absent_text is not None:
            return self.operand(scan).present
        present: Mask = False
        for _, name in self.columns:
            present = mask_or(present, validity(scan.column(self.domain, name)))
        return present

    def operand(self, scan: ChunkScan) -> Operand:
        columns = [(kind, scan.column(self.domain, name)) for kind, name in self.columns]
        overflow = scan.column(self.domain, self.overflow) if self.overflow else None
        found = attribute(columns, overflow, self.key)
        if self.absent_text is None:
            return found
        codes = np.zeros(scan.rows(self.domain), np.int32)
        return found.else_(Operand((Texts(codes, pa.array([self.absent_text]), True),), True))


@dataclass(eq=False)
class Fallback(Expression):
    """An unscoped attribute: the span's if the span has the key, else the resource's."""

    first: Attribute
    second: Attribute

    def __post_init__(self) -> None:
        self.domain, self.cost = Domain.SPAN, self.first.cost + self.second.cost + 4

    def operand(self, scan: ChunkScan) -> Operand:
        return self.first.operand(scan).else_(scan.operand(self.second, Domain.SPAN))


@dataclass(eq=False)
class Intrinsic(Expression):
    """A field of the span, its trace, its scope, or of an event or link."""

    stored: StoredIntrinsic

    def __post_init__(self) -> None:
        self.domain, self.cost = self.stored.domain, self.stored.cost

    def operand(self, scan: ChunkScan) -> Operand:
        stored = self.stored
        arrays = [scan.column(self.domain, name) for name in stored.columns]
        if stored.of_span is not None:
            owners = pa.array(np.append(scan.owned(self.domain).owners, -1))
            owners = pc.if_else(pc.less(owners, 0), None, owners)
            arrays.append(scan.column(Domain.SPAN, stored.of_span).take(owners))
        found = Operand((stored.load(*arrays),), True)
        return found if self.domain <= Domain.SPAN else Operand(found.parts, found.valued)


@dataclass(eq=False)
class RowExists(Condition):
    """There is an event (or link): not so in the row that stands for none."""

    of: Domain

    def __post_init__(self) -> None:
        self.domain, self.cost = self.of, 1

    def mask(self, scan: ChunkScan) -> Mask:
        rows = len(scan.owned(self.domain))
        return False if rows == 1 else np.arange(rows) < rows - 1


@dataclass(eq=False)
class Bounds:
    """A span column whose bounds in a chunk can prove a comparison false."""

    column: str

    def exclude(self, scan: ChunkScan, comparison: Comparison) -> bool:
        """Tell whether the statistics of the chunk prove that no row satisfies the comparison."""
        known = scan.statistics(self.column)
        if known is None:
            return False
        if known.null_count == scan.chunk.spans:
            return True
        low, high = known.minimum, known.maximum
        return is_excluded(low, high, comparison.operator, comparison.literal.value)


@dataclass(eq=False)
class CompareLiteral(Condition):
    """Something beside a literal."""

    left: Expression
    comparison: Comparison
    generic: bool
    bounds: Bounds | None = None

    def __post_init__(self) -> None:
        self.domain = self.left.domain
        self.cost = self.left.cost + (0 if self.comparison.operator == Operator.EQ else 1)

    def mask(self, scan: ChunkScan) -> Mask:
        return self.mask_within(scan, True)

    def mask_within(self, scan: ChunkScan, rows: Mask) -> Mask:
        if self.bounds and self.bounds.exclude(scan, self.comparison):
            return False
        operand = self.left.operand(scan)
        return mask_literal(operand, self.comparison, generic=self.generic, within=rows)

"""Expressions bound to the columns of one source: what a filter is while it is evaluated.

Each evaluates over the rows of its domain, to a mask (where is it true) or to an operand (what is
its value). ``all_of``, ``any_of`` and ``negation`` build conditions so that what is already decided
vanishes, small domains are settled before spans, and what is cheap comes first. The leaves, which
read columns, are in ``fields``. No I/O but through the scan.

Source: TraceQL reference, 4.4 to 4.8.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from traceql.operators import Operator
from traceql.values import ValueType
from tracestore.query.arithmetic import calculate, negate
from tracestore.query.masks import Mask, mask_and, mask_not, mask_or, settle
from tracestore.query.parts import (
    NIL,
    Domain,
    Numbers,
    Operand,
    Part,
    Texts,
    booleans,
    truth,
)
from tracestore.query.predicates import Literal, mask_operands
from tracestore.query.scan import ChunkScan


@dataclass(eq=False)
class Expression(ABC):
    """Something with a value in each row of its domain."""

    domain: Domain = field(init=False)
    cost: int = field(init=False)
    """Relative price of an evaluation; the cheaper condition is asked first."""

    @abstractmethod
    def operand(self, scan: ChunkScan) -> Operand:
        """Evaluate over the rows of the domain."""

    def mask(self, scan: ChunkScan) -> Mask:
        """Mark the rows whose value is true."""
        return truth(self.operand(scan))

    def presence(self, scan: ChunkScan) -> Mask:
        """Mark the rows whose value is not nil."""
        return self.operand(scan).present


class Condition(Expression):
    """An expression that is true or false in every row, never nil."""

    @abstractmethod
    def mask(self, scan: ChunkScan) -> Mask:
        """Mark the rows where it holds."""

    def mask_within(self, scan: ChunkScan, rows: Mask) -> Mask:
        """Mark those of some rows where it holds; of the others nothing need be found out."""
        return mask_and(rows, scan.mask(self, self.domain))

    def operand(self, scan: ChunkScan) -> Operand:
        return booleans(self.mask(scan), scan.rows(self.domain))


@dataclass(eq=False)
class Decided(Condition):
    """A condition known without reading: a constant, or a proof that no row can satisfy it."""

    value: bool

    def __post_init__(self) -> None:
        self.domain, self.cost = Domain.CONSTANT, 0

    def mask(self, scan: ChunkScan) -> Mask:
        return self.value


ALWAYS = Decided(True)
NEVER = Decided(False)


@dataclass(eq=False)
class Constant(Expression):
    """A literal."""

    literal: Literal

    def __post_init__(self) -> None:
        self.domain, self.cost = Domain.CONSTANT, 0

    def operand(self, scan: ChunkScan) -> Operand:
        kind, value = self.literal.type, self.literal.value
        part: Part
        if kind == ValueType.STRING:
            part = Texts(np.zeros(1, np.int32), pa.array([value], pa.string()), True)
        else:
            dtype = {ValueType.FLOAT: np.float64, ValueType.BOOLEAN: np.bool_}.get(kind, np.int64)
            part = Numbers(kind, np.array([value], dtype), True)
        return Operand((part,), True)


@dataclass(eq=False)
class Combined(Expression):
    """What joins several expressions: they meet in one domain."""

    parts: tuple[Expression, ...]

    def __post_init__(self) -> None:
        self.domain = Domain.CONSTANT
        for part in self.parts:
            self.domain = self.domain.meet(part.domain)
        self.cost = sum(part.cost for part in self.parts) + 1


@dataclass(eq=False)
class Compare(Combined, Condition):
    """Two expressions beside each other; their types are what they are at run time."""

    parts: tuple[Expression, Expression]
    comparison: Operator

    def mask(self, scan: ChunkScan) -> Mask:
        left, right = (scan.operand(part, self.domain) for part in self.parts)
        return mask_operands(left, self.comparison, right, scan.rows(self.domain))


@dataclass(eq=False)
class Calculate(Combined):
    """Arithmetic of two expressions."""

    parts: tuple[Expression, Expression]
    operation: Operator

    def operand(self, scan: ChunkScan) -> Operand:
        left, right = (scan.operand(part, self.domain) for part in self.parts)
        return calculate(left, self.operation, right)


@dataclass(eq=False)
class Negate(Combined):
    """The negative of a number."""

    parts: tuple[Expression]

    def operand(self, scan: ChunkScan) -> Operand:
        return negate(self.parts[0].operand(scan))


@dataclass(eq=False)
class IsNil(Combined, Condition):
    """``x = nil``: no key. A key without a value is not nil."""

    parts: tuple[Expression]

    def mask(self, scan: ChunkScan) -> Mask:
        return mask_not(self.parts[0].presence(scan))


@dataclass(eq=False)
class HasValue(Combined, Condition):
    """``x != nil``: a value. A key without a value has none."""

    parts: tuple[Expression]

    def mask(self, scan: ChunkScan) -> Mask:
        return self.parts[0].operand(scan).valued


@dataclass(eq=False)
class IsTrue(Combined, Condition):
    """A value of any type as a condition: true if it is the boolean true."""

    parts: tuple[Expression]

    def mask(self, scan: ChunkScan) -> Mask:
        return self.parts[0].mask(scan)


@dataclass(eq=False)
class Not(Combined, Condition):
    """The opposite of a condition."""

    parts: tuple[Condition]

    def mask(self, scan: ChunkScan) -> Mask:
        return mask_not(self.parts[0].mask(scan))

    def mask_within(self, scan: ChunkScan, rows: Mask) -> Mask:
        return mask_and(rows, mask_not(self.parts[0].mask_within(scan, rows)))


@dataclass(eq=False)
class NotValue(Combined):
    """``!x`` of a value: the opposite of a boolean, nil of anything else."""

    parts: tuple[Expression]

    def operand(self, scan: ChunkScan) -> Operand:
        found = [
            Numbers(part.type, ~part.values.astype(np.bool_), part.valid)
            for part in self.parts[0].operand(scan).parts
            if isinstance(part, Numbers) and part.type == ValueType.BOOLEAN
        ]
        made = Operand(tuple(found), False)
        return Operand(made.parts, made.valued) if found else NIL


@dataclass(eq=False)
class And(Combined, Condition):
    """All of several conditions; the rest is not read once no row is left."""

    parts: tuple[Condition, ...]

    def mask(self, scan: ChunkScan) -> Mask:
        return self.mask_within(scan, True)

    def mask_within(self, scan: ChunkScan, rows: Mask) -> Mask:
        mask = rows
        for part in self.parts:
            mask = settle(_mask_within(scan, part, self.domain, mask))
            if mask is False:
                break
        return mask


@dataclass(eq=False)
class Or(Combined, Condition):
    """Any of several conditions; the rest is not read once all rows are in."""

    parts: tuple[Condition, ...]

    def mask(self, scan: ChunkScan) -> Mask:
        return self.mask_within(scan, True)

    def mask_within(self, scan: ChunkScan, rows: Mask) -> Mask:
        mask: Mask = False
        for part in self.parts:
            undecided = settle(mask_and(rows, mask_not(mask)))
            if undecided is False:
                break
            mask = mask_or(mask, _mask_within(scan, part, self.domain, undecided))
        return mask


def _mask_within(scan: ChunkScan, part: Condition, domain: Domain, rows: Mask) -> Mask:
    """Evaluate a part of a chain where that is undecided, and spread it to the chain's domain."""
    if isinstance(rows, bool) or part.domain != domain:
        return mask_and(rows, scan.mask(part, domain))
    return part.mask_within(scan, rows)


def all_of(parts: Sequence[Expression]) -> Condition:
    """Join conditions by ``&&``."""
    return _join(And, parts, neutral=ALWAYS, final=NEVER)


def any_of(parts: Sequence[Expression]) -> Condition:
    """Join conditions by ``||``."""
    return _join(Or, parts, neutral=NEVER, final=ALWAYS)


def _join(
    kind: type[And] | type[Or], parts: Sequence[Expression], *, neutral: Decided, final: Decided
) -> Condition:
    flat: list[Condition] = []
    for part in parts:
        members = part.parts if isinstance(part, kind) else (part,)
        flat.extend(as_condition(member) for member in members)
    if any(part is final for part in flat):
        return final
    by_domain: dict[Domain, list[Condition]] = {}
    for part in flat:
        if part is not neutral:
            by_domain.setdefault(part.domain, []).append(part)
    groups = [_one(kind, group) for _, group in sorted(by_domain.items())]
    return _one(kind, groups) if groups else neutral


def _one(kind: type[And] | type[Or], parts: list[Condition]) -> Condition:
    if len(parts) == 1:
        return parts[0]
    return kind(tuple(sorted(parts, key=lambda part: part.cost)))


def as_condition(expression: Expression) -> Condition:
    """Let what is not the boolean true count as false."""
    return expression if isinstance(expression, Condition) else IsTrue((expression,))


def negation(expression: Expression) -> Expression:
    """Negate: true negation of a condition, nil where a value is no boolean."""
    if isinstance(expression, Decided):
        return NEVER if expression.value else ALWAYS
    if isinstance(expression, Condition):
        return Not((expression,))
    return NotValue((expression,))

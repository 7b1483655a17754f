"""Operators as one table: symbol, family, precedence, mirror image, and what structure means.

Source: TraceQL reference, "operators", "precedence and associativity", "structural operators".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from traceql.values import ValueType


class Family(enum.StrEnum):
    """What an operator does."""

    LOGICAL = "logical"
    COMPARISON = "comparison"
    REGEX = "regex"
    STRUCTURAL = "structural"
    ARITHMETIC = "arithmetic"


class Operator(enum.StrEnum):
    """An operator; the value is its symbol.

    ``> < !~`` are comparisons between fields and structural operators between spansets.
    """

    AND = "&&"
    OR = "||"
    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    MATCH = "=~"
    NOT_MATCH = "!~"
    ADD = "+"
    SUB = "-"
    MUL = "*"
    DIV = "/"
    MOD = "%"
    POW = "^"
    NOT = "!"
    DESCENDANT = ">>"
    ANCESTOR = "<<"
    SIBLING = "~"
    NOT_CHILD = "!>"
    NOT_PARENT = "!<"
    NOT_DESCENDANT = "!>>"
    NOT_ANCESTOR = "!<<"
    UNION_CHILD = "&>"
    UNION_PARENT = "&<"
    UNION_DESCENDANT = "&>>"
    UNION_ANCESTOR = "&<<"
    UNION_SIBLING = "&~"

    @property
    def level(self) -> int:
        """Precedence as a binary operator, 2 (loosest) to 7."""
        return _LEVELS[self]

    @property
    def is_comparison(self) -> bool:
        """Whether it is one of ``= != < <= > >=``."""
        return self in COMPARISONS

    @property
    def is_arithmetic(self) -> bool:
        """Whether it is one of ``+ - * / % ^``."""
        return self in ARITHMETIC

    @property
    def mirror(self) -> Operator:
        """The comparison that holds when left and right change places."""
        return _MIRRORS.get(self, self)


LOGICAL = frozenset({Operator.AND, Operator.OR})
COMPARISONS = frozenset(
    {Operator.EQ, Operator.NE, Operator.LT, Operator.LE, Operator.GT, Operator.GE}
)
REGEX = frozenset({Operator.MATCH, Operator.NOT_MATCH})
ARITHMETIC = frozenset(
    {Operator.ADD, Operator.SUB, Operator.MUL, Operator.DIV, Operator.MOD, Operator.POW}
)

_LEVELS = dict.fromkeys(Operator, 3) | {
    Operator.AND: 2,
    Operator.OR: 2,
    Operator.ADD: 4,
    Operator.SUB: 4,
    Operator.NOT: 5,
    Operator.MUL: 6,
    Operator.DIV: 6,
    Operator.MOD: 6,
    Operator.POW: 7,
}
_MIRRORS = {
    Operator.LT: Operator.GT,
    Operator.GT: Operator.LT,
    Operator.LE: Operator.GE,
    Operator.GE: Operator.LE,
}


class Relation(enum.StrEnum):
    """What a left span must be to the right span."""

    PARENT = "parent"
    CHILD = "child"
    ANCESTOR = "ancestor"
    DESCENDANT = "descendant"
    SIBLING = "sibling"


@dataclass(frozen=True, slots=True)
class Structure:
    """Meaning of a structural operator ``L op R``.

    Attributes:
        relation: what some span of L has to be to the span of R.
        negated: return the spans of R for which no span of L is.
        union: return the spans of L that take part, too.
    """

    relation: Relation
    negated: bool = False
    union: bool = False


STRUCTURE: dict[Operator, Structure] = {
    Operator.GT: Structure(Relation.PARENT),
    Operator.LT: Structure(Relation.CHILD),
    Operator.DESCENDANT: Structure(Relation.ANCESTOR),
    Operator.ANCESTOR: Structure(Relation.DESCENDANT),
    Operator.SIBLING: Structure(Relation.SIBLING),
    Operator.NOT_CHILD: Structure(Relation.PARENT, negated=True),
    Operator.NOT_PARENT: Structure(Relation.CHILD, negated=True),
    Operator.NOT_DESCENDANT: Structure(Relation.ANCESTOR, negated=True),
    Operator.NOT_ANCESTOR: Structure(Relation.DESCENDANT, negated=True),
    Operator.NOT_MATCH: Structure(Relation.SIBLING, negated=True),
    Operator.UNION_CHILD: Structure(Relation.PARENT, union=True),
    Operator.UNION_PARENT: Structure(Relation.CHILD, union=True),
    Operator.UNION_DESCENDANT: Structure(Relation.ANCESTOR, union=True),
    Operator.UNION_ANCESTOR: Structure(Relation.DESCENDANT, union=True),
    Operator.UNION_SIBLING: Structure(Relation.SIBLING, union=True),
}
"""Every structural operator; ``!~`` between spansets is "not sibling"."""

SPANSET_OPERATORS = LOGICAL | frozenset(STRUCTURE)

_ALLOWED: dict[ValueType, frozenset[Operator]] = {
    ValueType.BOOLEAN: LOGICAL | {Operator.EQ, Operator.NE},
    ValueType.INT: ARITHMETIC | COMPARISONS,
    ValueType.FLOAT: ARITHMETIC | COMPARISONS,
    ValueType.DURATION: ARITHMETIC | COMPARISONS,
    ValueType.STRING: COMPARISONS | REGEX,
    ValueType.STATUS: frozenset({Operator.EQ, Operator.NE}),
    ValueType.KIND: frozenset({Operator.EQ, Operator.NE}),
    ValueType.NIL: frozenset({Operator.EQ, Operator.NE}),
    ValueType.ATTRIBUTE: frozenset(Operator),
}


def operand_types_match(left: ValueType, right: ValueType) -> bool:
    """Whether values of these static types can meet in one operation."""
    free = {ValueType.ATTRIBUTE, ValueType.NIL}
    return left is right or left in free or right in free or (left.is_numeric and right.is_numeric)


def is_allowed(operator: Operator, operand: ValueType) -> bool:
    """Whether the operator accepts an operand of this static type."""
    return operator in _ALLOWED[operand]

"""The syntax tree of what is answered of PromQL: frozen values, nothing of the parser that made it.

Times and durations are milliseconds, as in Prometheus.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tracestore.query.span_series import Matcher


class Type(Enum):
    """Types of expressions, by Prometheus' names."""

    SCALAR = "scalar"
    STRING = "string"
    VECTOR = "vector"
    MATRIX = "matrix"


class Edge(Enum):
    """Times that ``@`` may name."""

    START = "start"
    END = "end"


class Cardinality(Enum):
    """How many series of each side of a binary operator may have the same matching labels."""

    ONE_TO_ONE = "one-to-one"
    MANY_TO_ONE = "many-to-one"
    ONE_TO_MANY = "one-to-many"
    MANY_TO_MANY = "many-to-many"


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A literal number."""

    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A literal string."""

    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Series by their labels, ``__name__`` among the matchers."""

    matchers: tuple[Matcher, ...]
    offset_ms: int = 0
    at: int | Edge | None = None
    """Milliseconds since the epoch."""
    range_ms: int = 0
    """Of a range selector; 0: an instant selector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function with its arguments."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregation:
    """An aggregation over the series that agree in some labels."""

    operator: str
    operand: Expression
    parameter: Expression | None
    grouping: frozenset[str]
    is_without: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """Which series of two sides belong together."""

    cardinality: Cardinality = Cardinality.ONE_TO_ONE
    labels: frozenset[str] = frozenset()
    is_on: bool = False
    """Whether the labels are those that must agree, rather than those that need not."""
    included: tuple[str, ...] = ()
    """Labels that the side of one gives to the side of many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """Two operands and what is between them."""

    operator: str
    left: Expression
    right: Expression
    is_bool: bool = False
    matching: Matching = Matching()


@dataclass(frozen=True, slots=True, kw_only=True)
class Negation:
    """A minus before an operand."""

    operand: Expression


Expression = Number | Text | Selector | Call | Aggregation | Binary | Negation

_SCALAR_CALLS = frozenset({"time", "scalar", "pi"})


def type_of(node: Expression) -> Type:
    """Get the type of an expression that the parser took."""
    match node:
        case Number():
            return Type.SCALAR
        case Text():
            return Type.STRING
        case Selector():
            return Type.MATRIX if node.range_ms else Type.VECTOR
        case Call():
            return Type.SCALAR if node.function in _SCALAR_CALLS else Type.VECTOR
        case Negation():
            return type_of(node.operand)
        case Binary():
            sides = {type_of(node.left), type_of(node.right)}
            return Type.SCALAR if sides == {Type.SCALAR} else Type.VECTOR
        case Aggregation():
            return Type.VECTOR


def children(node: Expression) -> tuple[Expression, ...]:
    """Get what an expression is made of."""
    match node:
        case Call():
            return node.arguments
        case Aggregation():
            parameter = () if node.parameter is None else (node.parameter,)
            return (*parameter, node.operand)
        case Binary():
            return (node.left, node.right)
        case Negation():
            return (node.operand,)
        case _:
            return ()


def walk(node: Expression) -> Iterator[Expression]:
    """Get an expression and all in it, the outer ones first."""
    yield node
    for child in children(node):
        yield from walk(child)

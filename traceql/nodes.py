"""The syntax tree: frozen values, each with the range of text it came from.

Two trees are equal if they mean the same text; the ranges (``at``) do not count. Constants are
already folded, and words are already values: the parser leaves no tokens behind. Depth is bounded
by ``DEPTH_MAX``, so that a pass over a parsed tree may recurse. Chains of ``&&`` and ``||`` are
flat for the same reason: ``a || b || …`` may have thousands of operands.

Source: TraceQL reference, "grammar".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from traceql import attributes as names
from traceql.errors import NOWHERE, SourceRange
from traceql.operators import ARITHMETIC, COMPARISONS, LOGICAL, REGEX, SPANSET_OPERATORS, Operator
from traceql.values import Number, Value

DEPTH_MAX = 200
"""Deepest tree that the parser makes; deeper text is refused."""
PARENTHESES_MAX = 1000
"""Most parentheses directly around one another; they make no tree deeper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What all nodes share: the text range they came from, which equality ignores."""

    at: SourceRange = field(default=NOWHERE, compare=False, repr=False)


# --- field expressions: what stands in { … }, by( … ) and max( … ) -------------------------------


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A constant."""

    value: Value


@dataclass(frozen=True, slots=True)
class Reference(Node):
    """The value of an attribute or intrinsic."""

    field: names.Field


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """``-e`` (operator SUB) or ``!e`` (operator NOT)."""

    operator: Operator
    operand: FieldExpression

    def __post_init__(self) -> None:
        assert self.operator in {Operator.SUB, Operator.NOT}


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """A comparison, a regex match or arithmetic; ``&&`` and ``||`` are ``Logical``."""

    operator: Operator
    left: FieldExpression
    right: FieldExpression

    def __post_init__(self) -> None:
        assert self.operator in COMPARISONS | REGEX | ARITHMETIC


@dataclass(frozen=True, slots=True)
class Logical(Node):
    """A chain of ``&&`` or of ``||``, two or more operands, left to right.

    A first operand that is a chain of the same operator is spliced in, as ``(a && b) && c`` and
    ``a && b && c`` are one tree; ``a && (b && c)`` is another.
    """

    operator: Operator
    operands: tuple[FieldExpression, ...]

    def __post_init__(self) -> None:
        assert self.operator in LOGICAL
        assert len(self.operands) >= 2
        first = self.operands[0]
        if isinstance(first, Logical) and first.operator is self.operator:
            object.__setattr__(self, "operands", first.operands + self.operands[1:])


@dataclass(frozen=True, slots=True)
class Exists(Node):
    """``e != nil``, or with ``negated`` ``e = nil``."""

    operand: FieldExpression
    negated: bool = False


@dataclass(frozen=True, slots=True)
class OneOf(Node):
    """``e = v₁ || e = v₂ …``, or with ``negated`` ``e != v₁ && e != v₂ …``; made by a rewrite.

    The values are distinct and of one type. Like the comparisons that it stands for, it is false
    where ``e`` is nil or of another type, negated or not; of an array it asks for any element,
    negated for none.
    """

    operand: Reference
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class MatchesAny(Node):
    """``e =~ p₁ || e =~ p₂ …``, or with ``negated`` ``e !~ p₁ && …``; made by a rewrite."""

    operand: Reference
    patterns: tuple[str, ...]
    negated: bool = False


FieldExpression = Literal | Reference | Unary | Binary | Logical | Exists | OneOf | MatchesAny

# --- spansets and pipelines ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filter(Node):
    """``{ e }``; ``{}`` is ``{ true }``."""

    expression: FieldExpression


@dataclass(frozen=True, slots=True)
class SpansetOperation(Node):
    """``L op R`` of spansets: ``&&``, ``||`` or a structural operator.

    A pipeline as operand has been written in parentheses; it is evaluated on the same input.
    """

    operator: Operator
    left: Filter | SpansetOperation | Pipeline
    right: Filter | SpansetOperation | Pipeline

    def __post_init__(self) -> None:
        assert self.operator in SPANSET_OPERATORS
        for side in (self.left, self.right):
            assert not isinstance(side, Pipeline) or not side.is_spanset


Spanset = Filter | SpansetOperation


@dataclass(frozen=True, slots=True)
class GroupBy(Node):
    """``by(e)``."""

    expression: FieldExpression


@dataclass(frozen=True, slots=True)
class Coalesce(Node):
    """``coalesce()``."""


@dataclass(frozen=True, slots=True)
class Select(Node):
    """``select(a, …)``."""

    fields: tuple[Reference, ...]


class AggregateFunction(enum.StrEnum):
    """Aggregates over the spans of a spanset."""

    COUNT = "count"
    AVG = "avg"
    MAX = "max"
    MIN = "min"
    SUM = "sum"


@dataclass(frozen=True, slots=True)
class Aggregate(Node):
    """``count()``, or ``avg(e)`` and kin."""

    function: AggregateFunction
    operand: FieldExpression | None = None

    def __post_init__(self) -> None:
        assert (self.function is AggregateFunction.COUNT) == (self.operand is None)


@dataclass(frozen=True, slots=True)
class ScalarArithmetic(Node):
    """Arithmetic of aggregates and numbers; at least one side holds an aggregate."""

    operator: Operator
    left: Scalar
    right: Scalar

    def __post_init__(self) -> None:
        assert self.operator in ARITHMETIC


@dataclass(frozen=True, slots=True)
class ScalarPipe(Node):
    """``( pipeline | aggregate )`` as a number: the pipeline runs on the same input spanset."""

    pipeline: Pipeline
    aggregate: Aggregate


Scalar = Literal | Aggregate | ScalarArithmetic | ScalarPipe


@dataclass(frozen=True, slots=True)
class ScalarFilter(Node):
    """``aggregate cmp number`` and kin: passes whole spansets."""

    operator: Operator
    left: Scalar
    right: Scalar

    def __post_init__(self) -> None:
        assert self.operator in COMPARISONS


Stage = Filter | SpansetOperation | ScalarFilter | GroupBy | Coalesce | Select


@dataclass(frozen=True, slots=True)
class Pipeline(Node):
    """Stages from left to right, one or more; a pipeline in a pipeline is spliced in."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        assert self.stages
        assert not isinstance(self.stages[0], Coalesce)

    @property
    def is_spanset(self) -> bool:
        """Whether it is nothing but one spanset expression."""
        return len(self.stages) == 1 and isinstance(self.stages[0], Spanset)


# --- metrics -------------------------------------------------------------------------------------


class MetricsFunction(enum.StrEnum):
    """Functions that turn spans into series."""

    RATE = "rate"
    COUNT_OVER_TIME = "count_over_time"
    MIN_OVER_TIME = "min_over_time"
    MAX_OVER_TIME = "max_over_time"
    AVG_OVER_TIME = "avg_over_time"
    SUM_OVER_TIME = "sum_over_time"
    QUANTILE_OVER_TIME = "quantile_over_time"
    HISTOGRAM_OVER_TIME = "histogram_over_time"

    @property
    def measures(self) -> bool:
        """Whether it takes a measured attribute."""
        return self not in {MetricsFunction.RATE, MetricsFunction.COUNT_OVER_TIME}


@dataclass(frozen=True, slots=True)
class MetricsAggregate(Node):
    """``rate() by(…)`` and kin; ``measured`` and ``quantiles`` as the function wants them."""

    function: MetricsFunction
    measured: Reference | None = None
    by: tuple[Reference, ...] = ()
    quantiles: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        assert self.function.measures == (self.measured is not None)
        wants = self.function is MetricsFunction.QUANTILE_OVER_TIME
        assert wants == bool(self.quantiles)


COMPARE_TOP_N = 10
"""How many values ``compare`` shows of each attribute if it is not told."""


@dataclass(frozen=True, slots=True)
class Compare(Node):
    """``compare({ … }, topN, start, end)``; times are unix nanoseconds, both 0 for no window."""

    selection: Filter
    top_n: int = COMPARE_TOP_N
    start_ns: int = 0
    end_ns: int = 0


@dataclass(frozen=True, slots=True)
class TopK(Node):
    """``topk(n)``, or with ``smallest`` ``bottomk(n)``."""

    count: int
    smallest: bool = False


@dataclass(frozen=True, slots=True)
class Threshold(Node):
    """``> 5`` behind a metric: keeps the samples for which it holds; durations are seconds."""

    operator: Operator
    value: Number

    def __post_init__(self) -> None:
        assert self.operator in COMPARISONS


SecondStage = TopK | Threshold


@dataclass(frozen=True, slots=True)
class MetricsQuery(Node):
    """A pipeline, the metric of its spans, and what happens to the series, in order."""

    pipeline: Pipeline
    function: MetricsAggregate | Compare
    second: tuple[SecondStage, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricsMath(Node):
    """``A op B`` of series or of series and a number, and what happens to the result."""

    operator: Operator
    left: MathOperand
    right: MathOperand
    second: tuple[SecondStage, ...] = ()

    def __post_init__(self) -> None:
        assert self.operator in {Operator.ADD, Operator.SUB, Operator.MUL, Operator.DIV}
        assert not (isinstance(self.left, Literal) and isinstance(self.right, Literal))


MathOperand = MetricsQuery | MetricsMath | Literal

# --- the whole -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hint(Node):
    """``name = literal`` of ``with( … )``."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Query(Node):
    """A whole text. Of several ``with( … )`` only the last one is here."""

    body: Pipeline | MetricsQuery | MetricsMath
    hints: tuple[Hint, ...] = ()

    def hint(self, name: str, kind: type[Value]) -> Value | None:
        """Get the first hint of this name whose value has the type, if there is one."""
        for hint in self.hints:
            if hint.name == name and isinstance(hint.value, kind):
                return hint.value
        return None

"""Checked tree -> FetchPlan: what to read, what to evaluate, and what must hold before reading.

The plan is a view of one pipeline for an engine that stores spans in columns. It names no column:
binding names to columns is the engine's part. Everything in it follows from the query alone.

Source: TraceQL reference, "spansets and search", "lookup of generic attributes".
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from traceql import nodes
from traceql.attributes import SERVICE_NAME, Attribute, Field, Intrinsic, Level, Scope
from traceql.errors import UnsupportedError
from traceql.nodes import FieldExpression, Hint, Node
from traceql.operators import STRUCTURE, Operator
from traceql.rewrite import rewrite
from traceql.values import Bool, String, Value
from traceql.walk import children, fields_of, transform, walk

_ALTERNATIVES_MAX = 1000
"""A group of more alternatives prunes nothing worth its cost, and is left out."""
_GROUPS_MAX = 16
"""How many combined groups one ``||`` may yield; beyond, one group of each side is combined."""

_SPAN_LEVELS = frozenset({Level.SPAN, Level.RESOURCE, Level.INSTRUMENTATION})


class Question(enum.StrEnum):
    """What a condition asks of a field."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    ONE_OF = "one of"
    NONE_OF = "none of"
    MATCHES = "=~"
    """Matches one of the patterns."""
    MATCHES_NONE = "!~"
    """Has a string value that matches none of the patterns."""
    EXISTS = "exists"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Condition:
    """A question about one field; of an event or link field, whether some event or link has it.

    Attributes:
        values: one for a comparison, several for ONE_OF and NONE_OF, strings for patterns, none
            for EXISTS and MISSING.
    """

    field: Field
    question: Question
    values: tuple[Value, ...] = ()


Group = tuple[Condition, ...]
"""Alternatives: at least one of them holds. The empty group never holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterPlan:
    """One ``{ … }``.

    Attributes:
        filter: rewritten: literals on the right, constants gone, equalities merged.
        fields: what it mentions, in text order.
        levels: where these fields lie.
        necessary: groups that every matching span satisfies. They prove absence; they do not
            prove a match. A condition under ``!`` or on a parent span is never among them.
    """

    filter: nodes.Filter
    fields: tuple[Field, ...]
    levels: frozenset[Level]
    necessary: tuple[Group, ...]

    @property
    def is_constant(self) -> bool | None:
        """The answer, if it is the same for every span."""
        expression = self.filter.expression
        if isinstance(expression, nodes.Literal):
            return expression.value == Bool(True)
        return None

    @property
    def is_exact(self) -> bool:
        """Whether ``necessary`` is all there is to it: a span that satisfies it matches."""
        return not self.levels - _SPAN_LEVELS and _is_exact(self.filter.expression)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPlan:
    """One pipeline, and its metric if it has one.

    Attributes:
        pipeline: filters are rewritten, all else is as written, since answers name groups and
            aggregates by their text; in a metrics query the part that selects spans.
        filters: every filter of the pipeline in text order, those in parentheses included.
        required: a trace can only match if, of each group of indices into ``filters``, one filter
            matches a span of it.
        fields: everything mentioned in filters, ``by``, aggregates and ``select``, in text order:
            what a result shows of its spans.
        selected: what only ``select`` mentions; not needed before the matches are known.
        metric: the metrics function and second stages, None for a search.
        hints: of the query.
    """

    pipeline: nodes.Pipeline
    filters: tuple[FilterPlan, ...]
    required: tuple[tuple[int, ...], ...]
    fields: tuple[Field, ...]
    selected: tuple[Field, ...]
    metric: nodes.MetricsQuery | None = None
    hints: tuple[Hint, ...] = ()

    @property
    def levels(self) -> frozenset[Level]:
        """Where the mentioned fields lie."""
        return frozenset(itertools.chain.from_iterable(field.levels for field in self.fields))

    @property
    def is_single_filter(self) -> bool:
        """Whether the pipeline is one ``{ … }`` and nothing else."""
        stages = self.pipeline.stages
        return len(stages) == 1 and isinstance(stages[0], nodes.Filter)

    @property
    def is_span_level(self) -> bool:
        """Whether each span can be judged without its trace, events, links or parent."""
        return self.is_single_filter and self.filters[0].levels <= _SPAN_LEVELS

    @property
    def uses_structure(self) -> bool:
        """Whether spans are related to each other, or to their parents."""
        return Level.PARENT in self.levels or any(
            isinstance(node, nodes.SpansetOperation) and node.operator in STRUCTURE
            for node in walk(self.pipeline)
        )

    @property
    def uses_trace(self) -> bool:
        """Whether a field of the whole trace is mentioned (``traceDuration``, ``rootName`` …)."""
        return Level.TRACE in self.levels

    @property
    def is_never(self) -> bool:
        """Whether no data can match: a required filter is constantly false."""
        return any(
            all(self.filters[index].is_constant is False for index in group)
            for group in self.required
        )


def plan(node: nodes.Query | nodes.MetricsQuery | nodes.Pipeline) -> FetchPlan:
    """Plan one checked pipeline.

    Raises:
        UnsupportedError: the query is metrics math, which has several pipelines; plan each
            ``MetricsQuery`` of it by itself.
    """
    hints = node.hints if isinstance(node, nodes.Query) else ()
    body = node.body if isinstance(node, nodes.Query) else node
    if isinstance(body, nodes.MetricsMath):
        raise UnsupportedError("math expressions as one pipeline are", at=body.at)
    body = transform(body, _rewrite_filter)
    pipeline = body.pipeline if isinstance(body, nodes.MetricsQuery) else body
    filters = tuple(one for one in walk(pipeline) if isinstance(one, nodes.Filter))
    numbers = {id(one): index for index, one in enumerate(filters)}
    needed = frozenset(
        itertools.chain.from_iterable(fields_of(part) for part in _without_select(pipeline))
    )
    fields = fields_of(pipeline)
    return FetchPlan(
        pipeline=pipeline,
        filters=tuple(_plan_filter(one) for one in filters),
        required=tuple(_required(pipeline, numbers)),
        fields=fields,
        selected=tuple(field for field in fields if field not in needed),
        metric=body if isinstance(body, nodes.MetricsQuery) else None,
        hints=hints,
    )


def _rewrite_filter(node: Node) -> Node:
    return rewrite(node) if isinstance(node, nodes.Filter) else node


def plan_filter(node: nodes.Filter) -> FilterPlan:
    """Plan one filter by itself, as that of ``compare()``."""
    return _plan_filter(rewrite(node))


def _plan_filter(node: nodes.Filter) -> FilterPlan:
    fields = fields_of(node)
    return FilterPlan(
        filter=node,
        fields=fields,
        levels=frozenset(itertools.chain.from_iterable(field.levels for field in fields)),
        necessary=tuple(dict.fromkeys(necessary_groups(node.expression))),
    )


def necessary_groups(node: FieldExpression) -> list[Group]:
    """Derive groups of conditions that hold wherever a rewritten expression is true.

    Returns: groups, all of which hold; none of them if nothing is known.
    """
    match node:
        case nodes.Literal():
            return [] if node.value == Bool(True) else [()]
        case nodes.Reference():
            return _known(node.field, Question.EQ, (Bool(True),))
        case nodes.Logical() if node.operator is Operator.AND:
            return [group for operand in node.operands for group in necessary_groups(operand)]
        case nodes.Logical():
            return _either([necessary_groups(operand) for operand in node.operands])
        case nodes.OneOf():
            question = Question.NONE_OF if node.negated else Question.ONE_OF
            return _known(node.operand.field, question, node.values)
        case nodes.MatchesAny():
            question = Question.MATCHES_NONE if node.negated else Question.MATCHES
            return _known(node.operand.field, question, tuple(map(String, node.patterns)))
        case nodes.Exists():
            return _existence(node)
        case nodes.Binary() if not node.operator.is_arithmetic:
            return _comparison(node)
        case _:
            return []


def _known(field: Field, question: Question, values: tuple[Value, ...] = ()) -> list[Group]:
    if isinstance(field, Attribute) and field.of_parent:
        return []
    is_always_there = isinstance(field, Intrinsic) and field.levels <= (_SPAN_LEVELS | _TRACE)
    if question is Question.EXISTS and (is_always_there or field in _NEVER_NIL):
        return []
    return [(Condition(field, question, values),)]


_TRACE = frozenset({Level.TRACE})
_NEVER_NIL = (SERVICE_NAME, Attribute(Scope.NONE, SERVICE_NAME.name))
"""Absent, the service name of a resource reads as the empty string."""


def _existence(node: nodes.Exists) -> list[Group]:
    if not node.negated:
        return [
            group
            for field in _strict_fields(node.operand)
            for group in _known(field, Question.EXISTS)
        ]
    if isinstance(node.operand, nodes.Reference) and node.operand.field is not Intrinsic.PARENT:
        return _known(node.operand.field, Question.MISSING)
    return []


def _comparison(node: nodes.Binary) -> list[Group]:
    if isinstance(node.left, nodes.Reference) and isinstance(node.right, nodes.Literal):
        return _known(node.left.field, Question(node.operator.value), (node.right.value,))
    fields = dict.fromkeys([*_strict_fields(node.left), *_strict_fields(node.right)])
    return [group for field in fields for group in _known(field, Question.EXISTS)]


def _strict_fields(node: FieldExpression) -> Iterator[Field]:
    """Yield the fields without whose value the expression is nil."""
    match node:
        case nodes.Reference():
            if node.field is not Intrinsic.PARENT:
                yield node.field
        case nodes.Binary() if node.operator.is_arithmetic:
            yield from _strict_fields(node.left)
            yield from _strict_fields(node.right)
        case nodes.Unary():
            yield from _strict_fields(node.operand)


def _either(sides: list[list[Group]]) -> list[Group]:
    """Combine the groups of alternatives: of each side some group holds, if that side is true."""
    combined = sides[0]
    for side in sides[1:]:
        pairs = itertools.product(combined, side)
        few = len(combined) * len(side) <= _GROUPS_MAX
        combined = [left + right for left, right in (pairs if few else itertools.islice(pairs, 1))]
        combined = [group for group in combined if len(group) <= _ALTERNATIVES_MAX]
    return combined


def _is_exact(node: FieldExpression) -> bool:
    """Whether ``necessary_groups`` lost nothing of the expression."""
    match node:
        case nodes.Logical() if node.operator is Operator.AND:
            return all(_is_exact(operand) for operand in node.operands)
        case nodes.Logical():
            return len(node.operands) <= _ALTERNATIVES_MAX and all(
                _is_exact(operand) and not isinstance(operand, nodes.Logical)
                for operand in node.operands
            )
        case nodes.Binary() if not node.operator.is_arithmetic:
            return isinstance(node.left, nodes.Reference) and isinstance(node.right, nodes.Literal)
        case nodes.Literal() | nodes.Reference() | nodes.OneOf() | nodes.MatchesAny():
            return True
        case nodes.Exists():
            return isinstance(node.operand, nodes.Reference) and (
                node.negated or isinstance(node.operand.field, Attribute)
            )
        case _:
            return False


# --- which filters a trace has to match ----------------------------------------------------------


def _required(node: Node, numbers: dict[int, int]) -> list[tuple[int, ...]]:
    """Derive groups of filters: of each group one must match some span of a matching trace."""
    match node:
        case nodes.Filter():
            return [(numbers[id(node)],)]
        case nodes.Pipeline():
            return [group for stage in node.stages for group in _required(stage, numbers)]
        case nodes.SpansetOperation():
            left, right = _required(node.left, numbers), _required(node.right, numbers)
            if node.operator is Operator.OR:
                return [one + other for one in left for other in right][:_GROUPS_MAX]
            structure = STRUCTURE.get(node.operator)
            return right if structure is not None and structure.negated else left + right
        case _:
            return []


def _without_select(node: Node) -> Iterator[Node]:
    """Yield the largest parts of the tree that hold no ``select``."""
    if isinstance(node, nodes.Select):
        return
    if isinstance(node, nodes.Filter | nodes.GroupBy | nodes.ScalarFilter):
        yield node
        return
    for child in children(node):
        yield from _without_select(child)

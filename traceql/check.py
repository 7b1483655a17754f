"""Types and names: refuses what no data could make sense of, before any data is read.

Operands are checked before operators, pipelines before metrics; the first error wins. Where the
original says "not yet supported" and we do support it, the check accepts (``docs/decisions``).

Source: TraceQL reference, "static validation".
"""

from __future__ import annotations

from traceql import nodes
from traceql.attributes import SERVICE_NAME, Intrinsic
from traceql.errors import CheckError, QueryError, SourceRange, UnsupportedError
from traceql.nodes import FieldExpression, Node
from traceql.operators import REGEX, Operator, is_allowed, operand_types_match
from traceql.regex import check_regex
from traceql.render import render
from traceql.values import String, ValueType
from traceql.walk import walk

BY_LABELS_MAX = 5
"""Most labels of a metric; one less where the function needs a label of its own."""
COMPARE_TOP_N_MAX = 1000
_SHOWN_CHARS_MAX = 60

_LABELLED = frozenset(
    {
        nodes.MetricsFunction.AVG_OVER_TIME,
        nodes.MetricsFunction.QUANTILE_OVER_TIME,
        nodes.MetricsFunction.HISTOGRAM_OVER_TIME,
    }
)
_ANY_OPERATORS = REGEX | {Operator.EQ, Operator.NE}
_BOOLEANS = frozenset({ValueType.BOOLEAN, ValueType.ATTRIBUTE})


def check(node: Node, text: str = "") -> None:
    """Refuse a query that can never make sense.

    Args:
        node: a query or any part of one.
        text: the text it was parsed from, so that errors can show the place.

    Raises:
        CheckError: it can never make sense.
        UnsupportedError: it makes sense, but is not answered.
    """
    try:
        _check(node)
    except QueryError as error:
        raise error.locate(text) from None


def static_type(node: Node) -> ValueType:
    """Get the type of a checked field expression or scalar, as far as it is known without data."""
    match node:
        case nodes.Literal():
            return node.value.type
        case nodes.Reference():
            return node.field.type
        case nodes.Unary():
            return static_type(node.operand)
        case nodes.Aggregate():
            return ValueType.INT if node.operand is None else static_type(node.operand)
        case nodes.ScalarPipe():
            return static_type(node.aggregate)
        case nodes.Binary() | nodes.ScalarArithmetic() if node.operator.is_arithmetic:
            left = static_type(node.left)
            return static_type(node.right) if left is ValueType.ATTRIBUTE else left
        case _:
            return ValueType.BOOLEAN


def _check(node: Node) -> None:
    match node:
        case nodes.Query():
            _check(node.body)
        case nodes.MetricsQuery() | nodes.MetricsMath():
            _check_metrics(node)
        case nodes.MetricsAggregate() | nodes.Compare():
            _check_function(node)
        case nodes.TopK():
            _check_second((node,))
        case nodes.Pipeline():
            for stage in node.stages:
                _check(stage)
        case nodes.SpansetOperation():
            _check(node.left)
            _check(node.right)
        case nodes.Filter() | nodes.GroupBy() | nodes.Select():
            _check_stage(node)
        case nodes.ScalarFilter() | nodes.ScalarArithmetic():
            _check(node.left)
            _check(node.right)
            _check_operands(node)
        case nodes.ScalarPipe():
            _check(node.pipeline)
            _check(node.aggregate)
        case nodes.Aggregate():
            _check_aggregate(node)
        case nodes.Coalesce() | nodes.Threshold() | nodes.Hint():
            return
        case _:
            _check_field(node)


def _shown(node: Node) -> str:
    """Write a part of the query as an error shows it."""
    text = render(node)
    return text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}…"


# --- field expressions ---------------------------------------------------------------------------


def _check_field(node: Node) -> None:
    match node:
        case nodes.Reference():
            _check_reference(node)
        case nodes.Unary():
            _check_field(node.operand)
            _check_unary(node)
        case nodes.Exists():
            _check_exists(node)
        case nodes.Logical():
            for operand in node.operands:
                _check_field(operand)
            _check_logical(node)
        case nodes.Binary():
            if _is_any(node.left) or _is_any(node.right):
                _check_any(node)
                return
            _check_field(node.left)
            _check_field(node.right)
            _check_operands(node)
            if node.operator in REGEX:
                _check_match(node)


def _check_reference(node: nodes.Reference) -> None:
    if node.field is Intrinsic.PARENT:
        raise UnsupportedError("parent other than in = nil and != nil is", at=node.at)
    if node.field is Intrinsic.ANY:
        raise CheckError("any can only be compared with a string, by =, !=, =~ or !~", at=node.at)


def _check_unary(node: nodes.Unary) -> None:
    type_ = static_type(node.operand)
    if type_ is ValueType.ATTRIBUTE:
        return
    if node.operator is Operator.SUB and not type_.is_numeric:
        raise CheckError(f"- needs a number, {_shown(node.operand)} is of type {type_}", at=node.at)
    if node.operator is Operator.NOT and type_ is not ValueType.BOOLEAN:
        raise CheckError(
            f"! needs a boolean, {_shown(node.operand)} is of type {type_}", at=node.at
        )


def _check_exists(node: nodes.Exists) -> None:
    operand = node.operand
    if not isinstance(operand, nodes.Reference):
        _check_field(operand)
        return
    if operand.field is Intrinsic.PARENT:
        return
    _check_reference(operand)
    is_never_nil = isinstance(operand.field, Intrinsic) or operand.field == SERVICE_NAME
    if node.negated and is_never_nil:
        raise CheckError(
            f"{operand.field.text} is never nil, it cannot be compared by = nil", at=node.at
        )


def _check_logical(node: nodes.Logical) -> None:
    for operand in node.operands:
        type_ = static_type(operand)
        if type_ not in _BOOLEANS:
            raise CheckError(
                f"{node.operator.value} needs booleans, {_shown(operand)} is of type {type_}",
                at=operand.at,
            )


def _check_operands(node: nodes.Binary | nodes.ScalarFilter | nodes.ScalarArithmetic) -> None:
    left, right = static_type(node.left), static_type(node.right)
    symbol = node.operator.value
    if not operand_types_match(left, right):
        raise CheckError(
            f"{symbol} needs operands of one type, "
            f"{_shown(node.left)} is of type {left}, {_shown(node.right)} is of type {right}",
            at=node.at,
        )
    for side, type_ in ((node.left, left), (node.right, right)):
        if not is_allowed(node.operator, type_):
            raise CheckError(
                f"{symbol} is not defined for type {type_}, the type of {_shown(side)}", at=node.at
            )


def _check_match(node: nodes.Binary) -> None:
    pattern = node.right
    if not isinstance(pattern, nodes.Literal) or not isinstance(pattern.value, String):
        raise CheckError(
            f"the right side of {node.operator.value} must be a string literal", at=pattern.at
        )
    _check_pattern(pattern.value.value, pattern.at)


def _check_any(node: nodes.Binary) -> None:
    """``any`` is compared with one string literal, on either side of = and !=."""
    reference, other = (node.left, node.right) if _is_any(node.left) else (node.right, node.left)
    is_string = isinstance(other, nodes.Literal) and isinstance(other.value, String)
    if node.operator not in _ANY_OPERATORS or not is_string:
        _check_field(reference)
    if node.operator in REGEX:
        _check_match(node)


def _is_any(node: FieldExpression) -> bool:
    return isinstance(node, nodes.Reference) and node.field is Intrinsic.ANY


def _check_pattern(pattern: str, at: SourceRange) -> None:
    try:
        check_regex(pattern)
    except ValueError as error:
        raise CheckError(f"invalid regex: {error}", at=at) from None


# --- spansets and scalars ------------------------------------------------------------------------


def _check_stage(node: nodes.Filter | nodes.GroupBy | nodes.Select) -> None:
    if isinstance(node, nodes.Select):
        for reference in node.fields:
            _check_reference(reference)
        return
    expression = node.expression
    _check_field(expression)
    if isinstance(node, nodes.GroupBy):
        if not _has_reference(expression):
            raise CheckError("by() needs an attribute in its expression", at=node.at)
        return
    type_ = static_type(expression)
    if type_ not in _BOOLEANS:
        raise CheckError(
            f"a filter needs a boolean, {_shown(expression)} is of type {type_}", at=expression.at
        )


def _check_aggregate(node: nodes.Aggregate) -> None:
    if node.operand is None:
        return
    _check_field(node.operand)
    type_ = static_type(node.operand)
    name = node.function.value
    if type_ is not ValueType.ATTRIBUTE and not type_.is_numeric:
        raise CheckError(
            f"{name}() needs a number, {_shown(node.operand)} is of type {type_}", at=node.at
        )
    if not _has_reference(node.operand):
        raise CheckError(f"{name}() needs an attribute in its expression", at=node.at)


def _has_reference(node: Node) -> bool:
    return any(isinstance(below, nodes.Reference) for below in walk(node))


# --- metrics -------------------------------------------------------------------------------------


def _check_metrics(root: nodes.MetricsQuery | nodes.MetricsMath) -> None:
    parts = [
        part for part in walk(root) if isinstance(part, nodes.MetricsQuery | nodes.MetricsMath)
    ]
    queries = [part for part in parts if isinstance(part, nodes.MetricsQuery)]
    for query in queries:
        _check(query.pipeline)
    for query in queries:
        _check_function(query.function)
    for part in reversed(parts):
        _check_second(part.second)
    for query in queries:
        if isinstance(query.function, nodes.Compare) and (query.second or len(parts) > 1):
            raise CheckError(
                "compare() cannot be combined with anything behind it", at=query.function.at
            )


def _check_function(function: nodes.MetricsAggregate | nodes.Compare) -> None:
    if isinstance(function, nodes.Compare):
        _check(function.selection)
        _check_compare(function)
        return
    for quantile in function.quantiles:
        if not 0 <= quantile <= 1:
            raise CheckError(f"quantile must be between 0 and 1: {quantile:g}", at=function.at)
    measured = () if function.measured is None else (function.measured,)
    for reference in (*measured, *function.by):
        if reference.field is Intrinsic.ANY:
            _check_reference(reference)
    limit = BY_LABELS_MAX - (function.function in _LABELLED)
    if len(function.by) > limit:
        raise UnsupportedError(
            f"{function.function.value}() by more than {limit} labels is", at=function.at
        )


def _check_compare(compare: nodes.Compare) -> None:
    if not 1 <= compare.top_n <= COMPARE_TOP_N_MAX:
        raise CheckError(
            f"compare() top number of values must be an integer between 1 and {COMPARE_TOP_N_MAX}",
            at=compare.at,
        )
    start, end = compare.start_ns, compare.end_ns
    if (start, end) == (0, 0):
        return
    if start <= 0 or end <= 0:
        raise CheckError(
            "compare() timestamps must be positive integer unix nanoseconds", at=compare.at
        )
    if end <= start:
        raise CheckError(
            "compare() end timestamp must be greater than start timestamp", at=compare.at
        )


def _check_second(second: tuple[nodes.SecondStage, ...]) -> None:
    for stage in second:
        if isinstance(stage, nodes.TopK) and stage.count <= 0:
            name = "bottomk" if stage.smallest else "topk"
            raise CheckError(f"{name}() needs a count above 0", at=stage.at)

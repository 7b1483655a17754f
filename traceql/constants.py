"""Operations on constants, evaluated before any data is seen.

Only what validates is evaluated; the rest stays as it was written, for the check to refuse it or
for the run time to make it nil (integer division by zero).

Source: TraceQL reference, "constants folded while parsing".
"""

from __future__ import annotations

from traceql.nodes import Binary, Exists, FieldExpression, Literal, Unary
from traceql.operators import LOGICAL, REGEX, Operator, is_allowed, operand_types_match
from traceql.values import Bool, Duration, Float, Int, Number, Value, calculate, compare_values
from traceql.values import negate as negate_value


def fold_unary(node: Unary) -> FieldExpression:
    """Evaluate ``-literal`` and ``!literal``."""
    if not isinstance(node.operand, Literal):
        return node
    value = node.operand.value
    result: Value | None
    if node.operator is Operator.SUB:
        result = negate_value(value)
    else:
        result = Bool(not value.value) if isinstance(value, Bool) else None
    return node if result is None else Literal(result, at=node.at)


def fold_binary(node: Binary) -> FieldExpression:
    """Evaluate comparisons and arithmetic of two literals; regexes wait for their engine."""
    left, right = node.left, node.right
    if not isinstance(left, Literal) or not isinstance(right, Literal) or node.operator in REGEX:
        return node
    result = _evaluate(node.operator, left.value, right.value)
    return node if result is None else Literal(result, at=node.at)


def fold_logical_pair(
    operator: Operator, left: FieldExpression, right: FieldExpression
) -> Literal | None:
    """Evaluate ``&&`` or ``||`` of two boolean literals; None if they are something else."""
    assert operator in LOGICAL
    if not isinstance(left, Literal) or not isinstance(right, Literal):
        return None
    if not isinstance(left.value, Bool) or not isinstance(right.value, Bool):
        return None
    values = (left.value.value, right.value.value)
    return Literal(Bool(all(values) if operator is Operator.AND else any(values)))


def fold_exists(node: Exists) -> FieldExpression:
    """Evaluate ``literal = nil`` and ``literal != nil``."""
    return (
        Literal(Bool(not node.negated), at=node.at) if isinstance(node.operand, Literal) else node
    )


def fold_number(operator: Operator, left: Number, right: Number) -> Int | Float:
    """Evaluate arithmetic of two numbers outside field expressions.

    Raises:
        ValueError: what the language has no number for: ``% ^``, durations, integer division by
            zero.
    """
    if operator not in {Operator.ADD, Operator.SUB, Operator.MUL, Operator.DIV}:
        raise ValueError(f"numbers cannot be combined by {operator.value} here")
    if isinstance(left, Duration) or isinstance(right, Duration):
        raise ValueError("durations cannot take part in arithmetic here")
    result = calculate(operator.value, left, right)
    if result is None:
        raise ValueError("integer division by zero")
    assert isinstance(result, Int | Float)
    return result


def _evaluate(operator: Operator, left: Value, right: Value) -> Value | None:
    if not operand_types_match(left.type, right.type):
        return None
    if not (is_allowed(operator, left.type) and is_allowed(operator, right.type)):
        return None
    if operator.is_arithmetic:
        return calculate(operator.value, left, right)
    truth = compare_values(operator.value, left, right)
    return None if truth is None else Bool(truth)

"""Arithmetic: numeric operands in, one numeric operand out; what is no number becomes nil.

Int with int stays int and wraps at 64 bits, as TraceQL's do; any other mix is float64, durations as
nanoseconds. Nothing raises because of data: int division by zero is nil.

Source: TraceQL reference, 4.8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from traceql.operators import Operator
from traceql.values import ValueType
from tracestore.query.masks import Mask, mask_and
from tracestore.query.parts import Numbers, Operand, Part
from tracestore.query.predicates import NUMERIC

Array = npt.NDArray[Any]


_FLOAT: dict[Operator, Callable[[Array, Array], Array]] = {
    Operator.ADD: np.add,
    Operator.SUB: np.subtract,
    Operator.MUL: np.multiply,
    Operator.DIV: np.true_divide,
    Operator.MOD: np.fmod,
    Operator.POW: np.power,
}
_INT: dict[Operator, Callable[[Array, Array], Array]] = {
    Operator.ADD: np.add,
    Operator.SUB: np.subtract,
    Operator.MUL: np.multiply,
}
INT64 = np.iinfo(np.int64)


def calculate(left: Operand, operation: Operator, right: Operand) -> Operand:
    """Apply a binary operator row by row; both operands are over the same rows."""
    parts: list[Part] = []
    for one in left.parts:
        for other in right.parts:
            if _is_number(one) and _is_number(other):
                parts.append(_combine(one, operation, other))
    made = Operand(tuple(parts), False)
    return Operand(made.parts, made.valued)


def negate(operand: Operand) -> Operand:
    """Change the sign of numbers, keeping their type; the smallest int wraps."""
    parts = [
        Numbers(part.type, np.negative(_wide(part.values)), part.valid)
        for part in operand.parts
        if _is_number(part)
    ]
    made = Operand(tuple(parts), False)
    return Operand(made.parts, made.valued)


def _is_number(part: Part) -> TypeGuard[Numbers]:
    return isinstance(part, Numbers) and part.type in NUMERIC


def _wide(values: Array) -> Array:
    return values.astype(np.int64, copy=False) if values.dtype.kind == "i" else values


def _combine(left: Numbers, operation: Operator, right: Numbers) -> Numbers:
    valid = mask_and(left.valid, right.valid)
    with np.errstate(all="ignore"):
        if left.type == right.type == ValueType.INT:
            return _combine_ints(_wide(left.values), operation, _wide(right.values), valid)
        values = _FLOAT[operation](left.values.astype(np.float64), right.values.astype(np.float64))
    return Numbers(ValueType.FLOAT, values, valid)


def _combine_ints(left: Array, operation: Operator, right: Array, valid: Mask) -> Numbers:
    if operation in _INT:
        return Numbers(ValueType.INT, _INT[operation](left, right), valid)
    if operation == Operator.POW:
        power = np.power(left.astype(np.float64), right.astype(np.float64))
        fits = (power >= INT64.min) & (power < -float(INT64.min))
        whole = np.where(fits, power, 0).astype(np.int64)
        return Numbers(ValueType.INT, whole, mask_and(valid, fits))
    divisor = np.where(right == 0, 1, right)
    values = _truncated(left, divisor) if operation == Operator.DIV else np.fmod(left, divisor)
    return Numbers(ValueType.INT, values, mask_and(valid, right != 0))


def _truncated(left: Array, right: Array) -> Array:
    """Divide toward zero; numpy's own division rounds down."""
    quotient = np.floor_divide(left, right)
    inexact = quotient * right != left
    result: Array = quotient + (inexact & ((left < 0) != (right < 0)))
    return result

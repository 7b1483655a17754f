"""Arithmetic on columns agrees with arithmetic on single values, at the edges of both types."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from support import naive_numbers
from support.naive_numbers import NIL, Value

from traceql.operators import ARITHMETIC, Operator
from traceql.values import ValueType
from tracestore.query.arithmetic import calculate, negate
from tracestore.query.parts import Numbers, Operand

INTS = [0, 1, -1, 2, 3, -7, 10, 62, 63, 64, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 1.0, -1.5, 0.5, 2.0, 63.0, 1e300, math.inf, -math.inf, math.nan]
VALUES = [
    *(Value("int", n) for n in INTS),
    *(Value("float", x) for x in FLOATS),
    *(Value("duration", n) for n in (0, 1, -1, 10**9, 2**63 - 1)),
]
PAIRS = list(itertools.product(VALUES, VALUES))


def operand(values: list[Value]) -> Operand:
    """Make a column with a part for each type, as a source has it."""
    parts = []
    for type_ in sorted({value.type for value in values}):
        own = np.array([value.type == type_ for value in values])
        numbers = [value.value if value.type == type_ else 0 for value in values]
        dtype = np.float64 if type_ == "float" else np.int64
        parts.append(Numbers(ValueType(type_), np.array(numbers, dtype), own))
    return Operand(tuple(parts), True)


def row(found: Operand, place: int) -> Value:
    for part in found.parts:
        assert isinstance(part, Numbers)
        if part.valid is True or (part.valid is not False and part.valid[place]):
            return Value(part.type.value, part.values[place].item())
    return NIL


def is_same(one: Value, other: Value) -> bool:
    """Compare; powers of the processor and of the library differ in the last bit at times."""
    if one.type == other.type == "float" and math.isfinite(one.value):
        return math.isclose(one.value, other.value, rel_tol=1e-15)
    return repr(one) == repr(other)


@pytest.mark.parametrize("operator", sorted(ARITHMETIC))
def test_operators_agree_with_single_values(operator: Operator) -> None:
    left, right = operand([pair[0] for pair in PAIRS]), operand([pair[1] for pair in PAIRS])

    found = calculate(left, operator, right)

    for place, (one, other) in enumerate(PAIRS):
        expected = naive_numbers.calculate(one, operator.value, other)
        assert is_same(row(found, place), expected), (one, operator.value, other)


def test_the_sign_agrees_with_single_values() -> None:
    found = negate(operand(VALUES))

    for place, value in enumerate(VALUES):
        assert repr(row(found, place)) == repr(naive_numbers.negated(value))

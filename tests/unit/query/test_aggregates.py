"""Aggregates against a loop over the values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceql.nodes import AggregateFunction
from traceql.values import ValueType
from tracestore.query.aggregates import aggregate, count_spans
from tracestore.query.parts import Numbers, Operand
from tracestore.query.spansets import value_at

DTYPES = {ValueType.INT: np.int64, ValueType.FLOAT: np.float64, ValueType.DURATION: np.int64}
GROUPS = 4
typed = st.one_of(
    st.none(),
    st.tuples(st.just(ValueType.INT), st.integers(-20, 20)),
    st.tuples(st.just(ValueType.FLOAT), st.integers(-20, 20).map(lambda n: n / 2)),
    st.tuples(st.just(ValueType.DURATION), st.integers(-20, 20)),
)
spans = st.lists(st.tuples(st.integers(0, GROUPS - 1), typed), min_size=1, max_size=25)
Typed = tuple[ValueType, Any]


def operand_of(values: list[Typed | None]) -> Operand:
    """Make the operand of values: a part a type."""
    parts = []
    for kind, dtype in DTYPES.items():
        valid = np.array([v is not None and v[0] is kind for v in values])
        numbers = [v[1] if v is not None and v[0] is kind else 0 for v in values]
        parts.append(Numbers(kind, np.array(numbers, dtype), valid))
    return Operand(tuple(parts), np.array([v is not None for v in values]))


def expected(function: AggregateFunction, values: list[Typed]) -> Typed | None:
    if not values:
        return None
    numbers = [value for _, value in values]
    if function is AggregateFunction.MIN:
        return min(values, key=lambda typed: typed[1])
    if function is AggregateFunction.MAX:
        return max(values, key=lambda typed: typed[1])
    kinds = {kind for kind, _ in values}
    kind = kinds.pop() if len(kinds) == 1 else ValueType.FLOAT
    if function is AggregateFunction.SUM:
        return kind, sum(numbers)
    if kind is ValueType.DURATION:
        return kind, math.trunc(sum(numbers) / len(numbers))
    return ValueType.FLOAT, sum(numbers) / len(numbers)


def found_in(operand: Operand, group: int) -> Typed | None:
    for part in operand.parts:
        assert isinstance(part, Numbers)
        if part.valid is True or (part.valid is not False and part.valid[group]):
            return part.type, part.values[group].item()
    return None


@pytest.mark.parametrize("function", [f for f in AggregateFunction if f != "count"])
@given(given_spans=spans)
def test_aggregates_agree_with_the_loop(
    function: AggregateFunction, given_spans: list[tuple[int, Typed | None]]
) -> None:
    group = np.array([one for one, _ in given_spans])

    found = aggregate(function, operand_of([v for _, v in given_spans]), group, GROUPS)

    for number in range(GROUPS):
        values = [v for one, v in given_spans if one == number and v is not None]
        assert found_in(found, number) == expected(function, values)


def test_spans_are_counted_in_groups_without_any_too() -> None:
    counts = count_spans(np.array([2, 0, 2]), 4)

    assert [value_at(counts, group) for group in range(4)] == [1, 0, 2, 0]


def floats(*values: float) -> Operand:
    return Operand((Numbers(ValueType.FLOAT, np.array(values), True),), True)


def ints(*values: int) -> Operand:
    return Operand((Numbers(ValueType.INT, np.array(values, np.int64), True),), True)


def test_nan_is_neither_smallest_nor_largest_unless_it_is_alone() -> None:
    group = np.array([0, 0, 1])

    found = aggregate(AggregateFunction.MIN, floats(math.nan, 2.0, math.nan), group, 2)

    assert value_at(found, 0) == 2.0
    assert math.isnan(found.parts[0].values[1])  # type: ignore[union-attr]  # numbers


def test_a_sum_of_ints_wraps_and_their_average_does_not() -> None:
    largest = 2**63 - 1
    group = np.zeros(2, np.int64)

    total = aggregate(AggregateFunction.SUM, ints(largest, 1), group, 1)
    average = aggregate(AggregateFunction.AVG, ints(largest, largest), group, 1)

    assert value_at(total, 0) == -(2**63)
    assert value_at(average, 0) == 2.0**63

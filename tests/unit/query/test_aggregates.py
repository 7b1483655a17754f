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
from tracestore.query.groups import Groups, TraceGroups
from tracestore.query.masks import Mask, settle
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
spans = st.lists(
    st.tuples(st.integers(0, GROUPS - 1), st.booleans(), typed), min_size=1, max_size=25
)
Typed = tuple[ValueType, Any]


def groups_of(numbers: list[int], count: int) -> Groups:
    """Make groups of the number of each span."""
    return Groups(count, lambda: np.array(numbers, np.int32))


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
@pytest.mark.parametrize("are_traces", [False, True], ids=["groups", "traces"])
@given(given_spans=spans)
def test_aggregates_agree_with_the_loop(
    function: AggregateFunction,
    are_traces: bool,
    given_spans: list[tuple[int, bool, Typed | None]],
) -> None:
    if are_traces:
        given_spans = sorted(given_spans, key=lambda span: span[0])
    numbers = [one for one, _, _ in given_spans]
    counts = np.bincount(numbers, minlength=GROUPS).astype(np.int32)
    groups = TraceGroups(counts, len(numbers)) if are_traces else groups_of(numbers, GROUPS)
    marked = settle(np.array([is_marked for _, is_marked, _ in given_spans]))

    found = aggregate(function, operand_of([v for _, _, v in given_spans]), groups, marked)

    for number in range(GROUPS):
        values = [v for one, is_in, v in given_spans if one == number and is_in and v is not None]
        assert found_in(found, number) == expected(function, values)


@pytest.mark.parametrize(
    "groups", [groups_of([0, 0, 2], 4), TraceGroups(np.array([2, 0, 1, 0], np.int32), 3)]
)
@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        (True, [2, 0, 1, 0]),
        (False, [0, 0, 0, 0]),
        (np.array([False, True, True]), [1, 0, 1, 0]),
    ],
)
def test_spans_are_counted_in_groups_without_any_too(
    groups: Groups, marked: Mask, expected: list[int]
) -> None:
    counts = count_spans(groups, marked)

    assert [value_at(counts, group) for group in range(4)] == expected


def floats(*values: float) -> Operand:
    return Operand((Numbers(ValueType.FLOAT, np.array(values), True),), True)


def ints(*values: int) -> Operand:
    return Operand((Numbers(ValueType.INT, np.array(values, np.int64), True),), True)


def test_nan_is_neither_smallest_nor_largest_unless_it_is_alone() -> None:
    group = groups_of([0, 0, 1], 2)

    found = aggregate(AggregateFunction.MIN, floats(math.nan, 2.0, math.nan), group, True)

    assert value_at(found, 0) == 2.0
    assert math.isnan(found.parts[0].values[1])  # type: ignore[union-attr]  # numbers


def test_a_sum_of_ints_wraps_and_their_average_does_not() -> None:
    largest = 2**63 - 1
    group = groups_of([0, 0], 1)

    total = aggregate(AggregateFunction.SUM, ints(largest, 1), group, True)
    average = aggregate(AggregateFunction.AVG, ints(largest, largest), group, True)
    negative = aggregate(AggregateFunction.AVG, ints(-largest, -largest), group, True)

    assert value_at(total, 0) == -(2**63)
    assert value_at(average, 0) == 2.0**63
    assert value_at(negative, 0) == -(2.0**63)


@pytest.mark.parametrize("total", [7, -7, 2**53 + 1, -(2**60) - 3, 9 * 10**15, -(2**63)])
@pytest.mark.parametrize("many", [1, 2, 3, 7])
def test_an_average_of_durations_is_cut_toward_zero(total: int, many: int) -> None:
    values = Operand(
        (Numbers(ValueType.DURATION, np.array([total] + [0] * (many - 1)), True),), True
    )

    found = aggregate(AggregateFunction.AVG, values, groups_of([0] * many, 1), True)

    quotient = abs(total) // many
    assert found_in(found, 0) == (ValueType.DURATION, quotient if total > 0 else -quotient)

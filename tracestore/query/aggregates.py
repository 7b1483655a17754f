"""``count``, ``sum``, ``avg``, ``min`` and ``max`` of the spans of each spanset.

Values and groups of spans in, one operand over the groups out; no I/O, no state. What is no number
is passed over; a group without numbers has nil. The passes over the spans are those of the kernel.

Source: TraceQL reference, 5.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from traceql.nodes import AggregateFunction
from traceql.values import ValueType
from tracestore.query.groups import Groups
from tracestore.query.masks import BoolArray, Mask, mask_and, mask_or, settle, to_array
from tracestore.query.parts import NIL, Numbers, Operand
from tracestore.query.predicates import NUMERIC

Array = npt.NDArray[Any]
_FLOATS_EXACT = 1 << 53
"""Ints below this are exact as floats, and so are their quotients once they are cut."""


def count_spans(groups: Groups, marked: Mask) -> Operand:
    """Count the marked spans of each group."""
    return Operand((Numbers(ValueType.INT, groups.sizes(marked), True),), True)


def aggregate(
    function: AggregateFunction, operand: Operand, groups: Groups, marked: Mask
) -> Operand:
    """Aggregate the values of the marked spans of each group.

    Args:
        operand: over all N spans.
    """
    measured = _measure(operand, groups, marked)
    if not measured:
        return NIL
    if function in (AggregateFunction.MIN, AggregateFunction.MAX):
        parts = _extremes(measured, is_largest=function is AggregateFunction.MAX)
    elif function is AggregateFunction.SUM:
        parts = _sums(measured)
    else:
        parts = _averages(measured)
    made = Operand(tuple(parts), False)
    return Operand(made.parts, made.valued)


@dataclass(frozen=True)
class _Measured:
    """The numbers of one type."""

    type: ValueType
    values: Array
    """(N,)"""
    marked: Mask
    """(N,) the marked spans that have one."""
    groups: Groups

    @cached_property
    def sums(self) -> Array:
        """(groups,) int64, which wraps, or float64."""
        return self.groups.sums(self.values, self.marked)

    @property
    def float_sums(self) -> Array:
        """(groups,) without wrapping."""
        if self.type is ValueType.FLOAT:
            return self.sums
        return self.groups.exact_sums(self.values, self.marked)

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """(groups,) numbers of each."""
        return self.groups.sizes(self.marked)

    def first_places(self, extreme: Array) -> Array:
        """Find the first span of each group that has its extreme value: (groups,)."""
        of_span = self.groups.of_span
        marked = to_array(self.marked, len(self.values))
        hits = np.flatnonzero(marked & (self.values == extreme.take(of_span)))[::-1]
        places = np.zeros(self.groups.count, np.int64)
        places[of_span[hits]] = hits
        return places


def _measure(operand: Operand, groups: Groups, marked: Mask) -> list[_Measured]:
    """Collect the numbers by their type."""
    found = []
    for kind in NUMERIC:
        parts = [p for p in operand.parts if isinstance(p, Numbers) and p.type == kind]
        if not parts:
            continue
        values, valid = parts[0].values, parts[0].valid
        for part in parts[1:]:  # of a span one part has the value
            values = np.where(to_array(part.valid, len(values)), part.values, values)
            valid = mask_or(valid, part.valid)
        has = settle(mask_and(marked, valid))
        if has is not False:
            found.append(_Measured(kind, values, has, groups))
    return found


def _total(measured: list[_Measured]) -> npt.NDArray[np.int64]:
    """Count the numbers of each group."""
    return reduce(np.add, [one.counts for one in measured])


def _only(measured: list[_Measured], kind: ValueType) -> BoolArray:
    """Mark the groups that have numbers, all of them of one type."""
    total = _total(measured)
    if [one.type for one in measured] == [kind]:
        found: BoolArray = total > 0
        return found
    inside = np.asarray(sum(one.counts for one in measured if one.type is kind))
    mask: BoolArray = (total > 0) & (inside == total)
    return mask


def _sums(measured: list[_Measured]) -> list[Numbers]:
    """Sum; integers of one type wrap, all else is float64."""
    rest: BoolArray = _total(measured) > 0
    parts: list[Numbers] = []
    for one in measured:
        if one.type is not ValueType.FLOAT:
            only = _only(measured, one.type)
            parts.append(Numbers(one.type, one.sums, only))
            rest = rest & ~only
    if rest.any():
        parts.append(Numbers(ValueType.FLOAT, _float_sum(measured), rest))
    return parts


def _float_sum(measured: list[_Measured]) -> Array:
    with np.errstate(all="ignore"):
        return reduce(np.add, [one.float_sums for one in measured])


def _averages(measured: list[_Measured]) -> list[Numbers]:
    durations = _only(measured, ValueType.DURATION)
    counts = _total(measured)
    rest = (counts > 0) & ~durations
    parts = []
    if rest.any():
        with np.errstate(all="ignore"):
            average = _float_sum(measured) / counts
        parts.append(Numbers(ValueType.FLOAT, average, rest))
    for one in measured:
        if one.type is ValueType.DURATION:
            total, many = one.sums, np.maximum(one.counts, 1)
            parts.append(Numbers(ValueType.DURATION, _divided(total, many), durations))
    return parts


def _divided(total: npt.NDArray[np.int64], many: npt.NDArray[np.int64]) -> Array:
    """Divide by numbers above 0, toward zero; by floats where they are exact, as that is faster."""
    if total.min(initial=0) > -_FLOATS_EXACT and total.max(initial=0) < _FLOATS_EXACT:
        return (total / many).astype(np.int64)
    quotient = total // many
    quotient += (total < 0) & (quotient * many != total)
    return quotient


def _extremes(measured: list[_Measured], *, is_largest: bool) -> list[Numbers]:
    """Find the smallest or largest values; of equal ones of two types the first span's."""
    values: list[Array] = [
        one.groups.extremes(one.values, one.marked, is_largest=is_largest) for one in measured
    ]
    if len(measured) == 1:
        return [Numbers(measured[0].type, values[0], measured[0].counts > 0)]
    beats = np.greater if is_largest else np.less
    best = np.full(measured[0].groups.count, np.nan)
    best_place = np.zeros(len(best), np.int64)
    winner = np.full(len(best), -1)
    for number, (one, value) in enumerate(zip(measured, values, strict=True)):
        place = one.first_places(value)
        has = one.counts > 0
        wide = value.astype(np.float64)
        with np.errstate(invalid="ignore"):
            better = beats(wide, best) | ((wide == best) & (place < best_place))
        better = has & (better | (winner < 0) | (np.isnan(best) & ~np.isnan(wide)))
        best = np.where(better, wide, best)
        best_place = np.where(better, place, best_place)
        winner = np.where(better, number, winner)
    return [
        Numbers(one.type, value, winner == number)
        for number, (one, value) in enumerate(zip(measured, values, strict=True))
    ]

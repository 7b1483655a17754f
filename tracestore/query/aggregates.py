"""``count``, ``sum``, ``avg``, ``min`` and ``max`` of the spans of each spanset.

Kernels: values and groups of spans in, one operand over the groups out; no I/O, no state. What is
no number is passed over; a group without numbers has nil.

Source: TraceQL reference, 5.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from traceql.nodes import AggregateFunction
from traceql.values import ValueType
from tracestore.query.masks import BoolArray, to_array
from tracestore.query.parts import NIL, Numbers, Operand
from tracestore.query.predicates import NUMERIC

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.signedinteger]
_EXACT_MAX = float(1 << 62)
"""Sums of integers that are surely less did not wrap."""


def count_spans(group: Ints, groups: int) -> Operand:
    """Count the spans of each group.

    Args:
        group: (M,) group of each marked span.
    """
    counts = np.bincount(group, minlength=groups).astype(np.int64)
    return Operand((Numbers(ValueType.INT, counts, True),), True)


def aggregate(function: AggregateFunction, operand: Operand, group: Ints, groups: int) -> Operand:
    """Aggregate the values of M marked spans.

    Args:
        operand: over these spans.
        group: (M,) group of each; groups need not lie together.
    """
    order = None
    if np.any(group[1:] < group[:-1]):
        order = np.argsort(group, kind="stable")
        group = group[order]
    measured = _measure(operand, order, group, groups)
    if not measured:
        return NIL
    if function in (AggregateFunction.MIN, AggregateFunction.MAX):
        parts = _extremes(measured, function)
    elif function is AggregateFunction.SUM:
        parts = _sums(measured)
    else:
        parts = _averages(measured)
    made = Operand(tuple(parts), False)
    return Operand(made.parts, made.valued)


@dataclass(frozen=True, slots=True)
class _Measured:
    """The values of one type: ``values`` (K,) in groups ``group`` (K,), ascending.

    ``starts``: where each of ``owners`` begins in them; ``place``: (K,) which span has the value.
    """

    type: ValueType
    values: Array
    group: Ints
    place: Ints
    starts: Ints
    groups: int

    @property
    def owners(self) -> Ints:
        return self.group[self.starts]

    def reduced(self, reduce: np.ufunc, values: Array) -> Array:
        """Reduce some values group by group: (groups,), 0 where there are none."""
        found = np.zeros(self.groups, values.dtype)
        found[self.owners] = reduce.reduceat(values, self.starts)
        return found

    @property
    def counts(self) -> Array:
        return np.bincount(self.group, minlength=self.groups)

    def float_sum(self) -> Array:
        return self.reduced(np.add, self.values.astype(np.float64))

    def int_sum(self) -> Array:
        return self.reduced(np.add, self.values.astype(np.int64))


def _measure(operand: Operand, order: Ints | None, group: Ints, groups: int) -> list[_Measured]:
    """Collect the numbers by their type, sorted by group."""
    found = []
    for kind in NUMERIC:
        places, values = [], []
        for part in operand.parts:
            if isinstance(part, Numbers) and part.type == kind:
                valid = to_array(part.valid, len(group))
                numbers = part.values
                if order is not None:
                    valid, numbers = valid[order], numbers[order]
                places.append(np.flatnonzero(valid))
                values.append(numbers[valid])
        place = np.concatenate([np.empty(0, np.int64), *places])
        if len(place) == 0:
            continue
        value = np.concatenate(values)
        if len(places) > 1:
            sorting = np.argsort(place, kind="stable")
            place, value = place[sorting], value[sorting]
        of_value = group[place]
        starts = np.flatnonzero(np.diff(of_value, prepend=-1))
        found.append(_Measured(kind, value, of_value, place, starts, groups))
    return found


def _only(measured: list[_Measured], kind: ValueType) -> BoolArray:
    """Mark the groups that have numbers, all of them of one type."""
    total = np.asarray(sum(one.counts for one in measured))
    inside = np.asarray(sum(one.counts for one in measured if one.type is kind))
    mask: BoolArray = (total > 0) & (inside == total)
    return mask


def _sums(measured: list[_Measured]) -> list[Numbers]:
    """Sum; integers of one type wrap, all else is float64."""
    rest: BoolArray = np.asarray(sum(one.counts for one in measured)) > 0
    parts = []
    with np.errstate(all="ignore"):
        for one in measured:
            if one.type is not ValueType.FLOAT:
                only = _only(measured, one.type)
                parts.append(Numbers(one.type, one.int_sum(), only))
                rest = rest & ~only
        total = np.asarray(sum(one.float_sum() for one in measured))
    return [*parts, Numbers(ValueType.FLOAT, total, rest)]


def _averages(measured: list[_Measured]) -> list[Numbers]:
    durations = _only(measured, ValueType.DURATION)
    counts = sum(one.counts for one in measured)
    with np.errstate(all="ignore"):
        average = np.asarray(sum(_exact_sum(one) for one in measured)) / counts
    parts = [Numbers(ValueType.FLOAT, average, (np.asarray(counts) > 0) & ~durations)]
    for one in measured:
        if one.type is ValueType.DURATION:
            total, many = one.int_sum(), np.maximum(one.counts, 1)
            truncated = np.sign(total) * (np.abs(total) // many)
            parts.append(Numbers(ValueType.DURATION, truncated, durations))
    return parts


def _exact_sum(one: _Measured) -> Array:
    """Sum as float64, of integers without rounding in between if that is possible."""
    rough = one.float_sum()
    if one.type is ValueType.FLOAT:
        return rough
    return np.where(np.abs(rough) < _EXACT_MAX, one.int_sum().astype(np.float64), rough)


def _extremes(measured: list[_Measured], function: AggregateFunction) -> list[Numbers]:
    """Find the smallest or largest values; of equal ones of two types the first span's."""
    reduce = np.fmin if function is AggregateFunction.MIN else np.fmax
    beats = np.less if function is AggregateFunction.MIN else np.greater
    best = np.full(measured[0].groups, np.nan)
    best_place = np.zeros(len(best), np.int64)
    winner = np.full(len(best), -1)
    values = []
    for number, one in enumerate(measured):
        value = one.reduced(reduce, one.values)
        values.append(value)
        place = _first_places(one, value)
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


def _first_places(one: _Measured, extreme: Array) -> Array:
    """Find the first span of each group that has its extreme value: (groups,)."""
    hits = np.flatnonzero(one.values == extreme[one.group])
    places = np.zeros(one.groups, np.int64)
    places[one.group[hits][::-1]] = one.place[hits][::-1]
    return places

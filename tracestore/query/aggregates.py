"""``count``, ``sum``, ``avg``, ``min`` and ``max`` of the spans of each spanset.

Kernels: values and groups of spans in, one operand over the groups out; no I/O, no state. What is
no number is passed over; a group without numbers has nil.

Source: TraceQL reference, 5.6.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """The numbers of one type, sorted by group."""

    type: ValueType
    values: Array
    """(K,)"""
    group: Ints
    """(K,) group of each, ascending."""
    place: Ints | None
    """(K,) which span has the value; None: the K-th has the K-th."""
    starts: Ints
    """Where the groups that have some begin among the K."""
    counts: Array
    """(groups,) numbers of each."""

    def reduced(self, reduce: np.ufunc, values: Array) -> Array:
        """Reduce (K,) values group by group: (groups,), 0 where there are none."""
        found = np.zeros(len(self.counts), values.dtype)
        found[self.group[self.starts]] = reduce.reduceat(values, self.starts)
        return found

    def float_sum(self) -> Array:
        return self.reduced(np.add, self.values.astype(np.float64, copy=False))

    def int_sum(self) -> Array:
        return self.reduced(np.add, self.values.astype(np.int64, copy=False))


def _measure(operand: Operand, order: Ints | None, group: Ints, groups: int) -> list[_Measured]:
    """Collect the numbers by their type."""
    found = []
    for kind in NUMERIC:
        parts = [p for p in operand.parts if isinstance(p, Numbers) and p.type == kind]
        if not parts:
            continue
        place: Ints | None = None
        if len(parts) == 1 and parts[0].valid is True:
            values, of_value = parts[0].values, group
            values = values if order is None else values[order]
        else:
            place, values = _collect(parts, order, len(group))
            of_value = group[place]
        if len(values):
            starts = np.flatnonzero(np.diff(of_value, prepend=-1))
            counts = np.bincount(of_value, minlength=groups)
            found.append(_Measured(kind, values, of_value, place, starts, counts))
    return found


def _collect(parts: Sequence[Numbers], order: Ints | None, rows: int) -> tuple[Ints, Array]:
    """Put the valid values of parts together: the row of each, ascending, and the values."""
    places: list[Ints] = []
    values: list[Array] = []
    for part in parts:
        valid, numbers = to_array(part.valid, rows), part.values
        if order is not None:
            valid, numbers = valid[order], numbers[order]
        places.append(np.flatnonzero(valid))
        values.append(numbers[valid])
    if len(parts) == 1:
        return places[0], values[0]
    place = np.concatenate(places)
    sorting = np.argsort(place, kind="stable")
    return place[sorting], np.concatenate(values)[sorting]


def _only(measured: list[_Measured], kind: ValueType) -> BoolArray:
    """Mark the groups that have numbers, all of them of one type."""
    total = np.asarray(sum(one.counts for one in measured))
    inside = np.asarray(sum(one.counts for one in measured if one.type is kind))
    mask: BoolArray = (total > 0) & (inside == total)
    return mask


def _sums(measured: list[_Measured]) -> list[Numbers]:
    """Sum; integers of one type wrap, all else is float64."""
    rest: BoolArray = np.asarray(sum(one.counts for one in measured)) > 0
    parts: list[Numbers] = []
    with np.errstate(all="ignore"):
        for one in measured:
            if one.type is not ValueType.FLOAT:
                only = _only(measured, one.type)
                parts.append(Numbers(one.type, one.int_sum(), only))
                rest = rest & ~only
        if rest.any():
            total = np.asarray(sum(one.float_sum() for one in measured))
            parts.append(Numbers(ValueType.FLOAT, total, rest))
    return parts


def _averages(measured: list[_Measured]) -> list[Numbers]:
    durations = _only(measured, ValueType.DURATION)
    counts = np.asarray(sum(one.counts for one in measured))
    rest = (counts > 0) & ~durations
    parts = []
    if rest.any():
        with np.errstate(all="ignore"):
            average = np.asarray(sum(_exact_sum(one) for one in measured)) / counts
        parts.append(Numbers(ValueType.FLOAT, average, rest))
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
    if len(measured) == 1:
        (one,) = measured
        return [Numbers(one.type, one.reduced(reduce, one.values), one.counts > 0)]
    beats = np.less if function is AggregateFunction.MIN else np.greater
    best = np.full(len(measured[0].counts), np.nan)
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
    hits = np.flatnonzero(one.values == extreme[one.group])[::-1]
    places = np.zeros(len(one.counts), np.int64)
    places[one.group[hits]] = hits if one.place is None else one.place[hits]
    return places

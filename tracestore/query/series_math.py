"""Arithmetic between tables of series, and between series and numbers.

Kernels over sparse tables: no I/O, no state, Python per series. Source: TraceQL reference, 6.8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from traceql.operators import Operator
from tracestore.model.series import Exemplar, Floats, Labels
from tracestore.query.series_table import (
    NAME_LABEL,
    SeriesTable,
    label_key,
    no_series,
    without_name,
)

Rows = npt.NDArray[np.int64]
Operand = SeriesTable | float


def combine(left: Operand, operator: Operator, right: Operand) -> SeriesTable:
    """Compute ``left operator right``; one side at least is series."""
    if isinstance(right, float):
        assert isinstance(left, SeriesTable)
        return _with_number(left, lambda values: _apply(values, operator, right))
    if isinstance(left, float):
        return _with_number(right, lambda values: _apply(left, operator, values))
    pairs = _pairs(left, right)
    if not pairs:
        return no_series(left.points)
    return _of_pairs(left, operator, right, pairs).settled()


def _apply(left: Any, operator: Operator, right: Any) -> Floats:
    """Compute; a division by zero and what is missing give no sample."""
    with np.errstate(all="ignore"):
        match operator:
            case Operator.ADD:
                found = np.add(left, right)
            case Operator.SUB:
                found = np.subtract(left, right)
            case Operator.MUL:
                found = np.multiply(left, right)
            case _:
                found = np.where(np.equal(right, 0), np.nan, np.divide(left, right))
    return np.asarray(found, np.float64)


def _with_number(table: SeriesTable, compute: Callable[[Any], Floats]) -> SeriesTable:
    def changed(exemplar: Exemplar) -> Exemplar:
        return replace(exemplar, value=float(compute(exemplar.value)))

    made = table.with_values(compute(table.fill), compute(table.values))
    exemplars = tuple((series, changed(exemplar)) for series, exemplar in table.exemplars)
    return replace(made, exemplars=exemplars).settled()


def _pairs(left: SeriesTable, right: SeriesTable) -> list[tuple[int, int]]:
    """Match series with equal labels; one without labels goes with every series beside it."""
    keys = [[label_key(without_name(one)) for one in side.labels] for side in (left, right)]
    if keys[0] == [()]:
        return [(0, series) for series in range(len(right))]
    if keys[1] == [()]:
        return [(series, 0) for series in range(len(left))]
    places = {key: series for series, key in enumerate(keys[1])}
    return [(series, places[key]) for series, key in enumerate(keys[0]) if key in places]


def _of_pairs(
    left: SeriesTable, operator: Operator, right: SeriesTable, pairs: list[tuple[int, int]]
) -> SeriesTable:
    chosen = [np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1)]
    sides = [_spread(table, which) for table, which in zip((left, right), chosen, strict=True)]
    cells = np.union1d(sides[0][0], sides[1][0])
    fills = [table.fill[which] for table, which in zip((left, right), chosen, strict=True)]
    values = []
    for (own, known), fill in zip(sides, fills, strict=True):
        found = fill[cells // left.points]
        found[np.searchsorted(cells, own)] = known
        values.append(found)
    labels = [_labels(left.labels[one], operator, right.labels[other]) for one, other in pairs]
    return SeriesTable(
        points=left.points,
        labels=tuple(labels),
        fill=_apply(fills[0], operator, fills[1]),
        cells=cells,
        values=_apply(values[0], operator, values[1]),
        exemplars=_exemplars(left, right, chosen),
    )


def _spread(table: SeriesTable, chosen: Rows) -> tuple[Rows, Floats]:
    """Take the cells of some series, which may be one and the same several times."""
    ends = np.searchsorted(table.cells, np.arange(len(table) + 1) * table.points)
    begins, sizes = ends[chosen], np.diff(ends)[chosen]
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = within + np.repeat(begins, sizes)
    own = np.repeat(np.arange(len(chosen)), sizes) * table.points
    return own + table.cells[places] % table.points, table.values[places]


def _labels(left: Labels, operator: Operator, right: Labels) -> Labels:
    """Join labels: those of the left, what is missing of the right, and both functions' names."""
    names = [[value for name, value in side if name == NAME_LABEL] for side in (left, right)]
    own = without_name(left)
    known = {name for name, _ in own}
    own += tuple(label for label in without_name(right) if label[0] not in known)
    if names[0] and names[1]:
        return ((NAME_LABEL, f"({names[0][0]} {operator.value} {names[1][0]})"), *own)
    return own


def _exemplars(
    left: SeriesTable, right: SeriesTable, chosen: list[Rows]
) -> tuple[tuple[int, Exemplar], ...]:
    """Keep the spans of both sides, at the value of the result; each is shown once."""
    found: list[tuple[int, Exemplar]] = []
    seen = set()
    for table, which in zip((left, right), chosen, strict=True):
        place = {series: number for number, series in reversed(list(enumerate(which.tolist())))}
        for series, exemplar in table.exemplars:
            key = place.get(series), exemplar.labels[:1], exemplar.time_ns
            if series in place and key not in seen:
                seen.add(key)
                found.append((place[series], replace(exemplar, value=float("nan"))))
    return tuple(found)

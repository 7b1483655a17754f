"""Aggregations over series that agree in some labels.

Source: Prometheus, "Aggregation operators".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracestore.query.promql.values import (
    NAME,
    Bools,
    Floats,
    Ints,
    Scalar,
    Vector,
    number,
    only,
    without,
)
from tracestore.query.span_series import LabelSet


def aggregate(
    operator: str,
    vector: Vector,
    parameter: Scalar | None,
    grouping: frozenset[str],
    *,
    is_without: bool,
) -> Vector:
    """Aggregate the series of each group, at each time those that are there."""
    groups, places = number(_group(labels, grouping, is_without) for labels in vector.labels)
    with np.errstate(all="ignore"):
        if operator in ("topk", "bottomk"):
            assert parameter is not None
            return _extreme(vector, places, parameter.values, is_top=operator == "topk")
        return _reduce(operator, vector, parameter, groups, places)


def _group(labels: LabelSet, grouping: frozenset[str], is_without: bool) -> LabelSet:
    return without(labels, grouping | {NAME}) if is_without else only(labels, grouping)


def _reduce(
    operator: str,
    vector: Vector,
    parameter: Scalar | None,
    groups: Sequence[LabelSet],
    places: Ints,
) -> Vector:
    shape = (len(groups), vector.points)
    counts = np.zeros(shape)
    np.add.at(counts, places, vector.present)
    present = counts > 0
    match operator:
        case "sum":
            values = _sum(vector, places, shape)
        case "avg":
            values = _sum(vector, places, shape) / counts
        case "count":
            values = counts
        case "group":
            values = np.ones(shape)
        case "min" | "max":
            values = _limit(vector, places, shape, is_max=operator == "max")
        case "stdvar" | "stddev":
            values = _variance(vector, places, shape, counts)
            values = np.sqrt(values) if operator == "stddev" else values
        case "quantile":
            assert parameter is not None
            values = _quantile(vector, places, shape, parameter.values)
        case _:
            raise AssertionError(f"{operator} is no aggregation")
    return Vector(labels=tuple(groups), values=values, present=present)


def _sum(vector: Vector, places: Ints, shape: tuple[int, int]) -> Floats:
    sums = np.zeros(shape)
    np.add.at(sums, places, np.where(vector.present, vector.values, 0.0))
    return sums


def _limit(vector: Vector, places: Ints, shape: tuple[int, int], *, is_max: bool) -> Floats:
    """Find the least or the greatest; NaN only where there is nothing else."""
    found = np.full(shape, np.nan)
    values = np.where(vector.present, vector.values, np.nan)
    (np.fmax if is_max else np.fmin).at(found, places, values)
    return found


def _variance(vector: Vector, places: Ints, shape: tuple[int, int], counts: Floats) -> Floats:
    mean = _sum(vector, places, shape) / counts
    squares = np.zeros(shape)
    deviations = np.where(vector.present, vector.values - mean[places], 0.0)
    np.add.at(squares, places, deviations**2)
    return squares / counts


def _quantile(vector: Vector, places: Ints, shape: tuple[int, int], quantile: Floats) -> Floats:
    values = np.full(shape, np.nan)
    for place in range(shape[0]):
        rows = places == place
        for point in range(shape[1]):
            own = vector.values[rows, point][vector.present[rows, point]]
            values[place, point] = _quantile_of(own, quantile[point])
    return values


def _quantile_of(values: Floats, quantile: float) -> float:
    """Interpolate between the two closest values; NaN counts as less than any number."""
    if not len(values) or np.isnan(quantile):
        return float("nan")
    if quantile < 0 or quantile > 1:
        return float("-inf") if quantile < 0 else float("inf")
    ordered = np.concatenate([values[np.isnan(values)], np.sort(values[~np.isnan(values)])])
    rank = quantile * (len(ordered) - 1)
    low = max(0, int(np.floor(rank)))
    high = min(len(ordered) - 1, low + 1)
    weight = rank - np.floor(rank)
    return float(ordered[low] * (1 - weight) + ordered[high] * weight)


def _extreme(vector: Vector, places: Ints, count: Floats, *, is_top: bool) -> Vector:
    """Keep the largest or smallest series of each group at each time; NaN last."""
    kept = np.zeros(vector.present.shape, np.bool_)
    for place in np.unique(places):
        rows = np.flatnonzero(places == place)
        kept[rows] = _best(vector.values[rows], vector.present[rows], count, is_top)
    shown = np.flatnonzero(kept.any(axis=1))
    found = Vector(
        labels=tuple(vector.labels[row] for row in shown),
        values=vector.values[shown],
        present=kept[shown],
    )
    if vector.points != 1:
        return found
    key = _key(found.values, found.present, is_top)[:, 0]
    groups = places[shown]
    ordered = found.take(np.lexsort((key, groups)))
    return Vector(
        labels=ordered.labels, values=ordered.values, present=ordered.present, is_ordered=True
    )


def _best(values: Floats, present: Bools, count: Floats, is_top: bool) -> Bools:
    key = _key(values, present, is_top)
    order = np.lexsort((key, ~present), axis=0)
    rank = np.empty(order.shape, np.int64)
    np.put_along_axis(rank, order, np.arange(len(values))[:, np.newaxis], axis=0)
    wanted: Bools = present & (rank < np.nan_to_num(np.trunc(count)))
    return wanted


def _key(values: Floats, present: Bools, is_top: bool) -> Floats:
    """Make what sorts the best first, NaN after all numbers."""
    return np.where(present, -values if is_top else values, np.nan)

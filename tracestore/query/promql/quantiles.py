"""``histogram_quantile`` over classic buckets, exactly as Prometheus interpolates.

Source: Prometheus, promql/quantile.go (``bucketQuantile``), "histogram_quantile()".
"""

from __future__ import annotations

import numpy as np

from tracestore.query.promql.values import (
    LE,
    NAME,
    Bools,
    Floats,
    Ints,
    Vector,
    number,
    without,
)
from tracestore.query.span_series import LabelSet


def histogram_quantile(quantile: Floats, vector: Vector) -> Vector:
    """Estimate a quantile of each histogram: of series that differ in ``le`` alone.

    Args:
        quantile: (P,) at each time.
        vector: cumulative buckets; series without a bound are passed over.
    """
    labels, places, bounds = _histograms(vector)
    values = np.full((len(labels), vector.points), np.nan)
    present = np.zeros(values.shape, np.bool_)
    for place in range(len(labels)):
        rows = np.flatnonzero(places == place)
        rows = rows[np.argsort(bounds[rows], kind="stable")]
        with np.errstate(all="ignore"):  # 0 / 0 is NaN, in Go, too
            values[place], present[place] = _of_one(
                quantile, bounds[rows], vector.values[rows], vector.present[rows]
            )
    return Vector(labels=tuple(labels), values=values, present=present)


def _histograms(vector: Vector) -> tuple[list[LabelSet], Ints, Floats]:
    """Find the histograms: their labels, which one each series is of, and its bound."""
    bounds = np.array([_bound(dict(labels).get(LE, "")) for labels in vector.labels], np.float64)
    there = np.flatnonzero(~np.isnan(bounds))
    distinct, found = number(without(vector.labels[row], (NAME, LE)) for row in there)
    places = np.full(len(bounds), -1, np.int64)
    places[there] = found
    return distinct, places, bounds


def _bound(text: str) -> float:
    try:
        return float("nan" if "_" in text or text != text.strip() else text)
    except ValueError:
        return float("nan")


def _of_one(
    quantile: Floats, bounds: Floats, counts: Floats, present: Bools
) -> tuple[Floats, Bools]:
    """Estimate for one histogram: (P,) of (B,) bounds and (B, P) counts."""
    points = counts.shape[1]
    values = np.full(points, np.nan)
    # times at which the same buckets are there are done at once; mostly that is all of them
    patterns, which = np.unique(present, axis=1, return_inverse=True)
    for place in range(patterns.shape[1]):
        rows = np.flatnonzero(patterns[:, place])
        times = np.flatnonzero(which.reshape(-1) == place)
        if len(rows):
            values[times] = _interpolate(
                quantile[times], *_coalesced(bounds[rows], counts[np.ix_(rows, times)])
            )
    there: Bools = np.any(present, axis=0, keepdims=True)[0]
    return values, there


def _coalesced(bounds: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Add up buckets of one bound, and have no bucket hold less than a smaller one."""
    distinct, which = np.unique(bounds, return_inverse=True)
    sums = np.zeros((len(distinct), counts.shape[1]))
    np.add.at(sums, which, counts)
    return distinct, np.maximum.accumulate(sums, axis=0)


def _interpolate(quantile: Floats, bounds: Floats, counts: Floats) -> Floats:
    """Interpolate linearly in the bucket in which the quantile is; all times at once."""
    if np.isposinf(bounds[-1]) and len(bounds) > 1:
        values = _inside(quantile, bounds, counts)
    else:
        values = np.full(len(quantile), np.nan)
    values = np.where(quantile < 0, -np.inf, values)
    values = np.where(quantile > 1, np.inf, values)
    return np.where(np.isnan(quantile), np.nan, values)


def _inside(quantile: Floats, bounds: Floats, counts: Floats) -> Floats:
    last = len(bounds) - 1
    times = np.arange(counts.shape[1])
    observations = counts[-1]
    rank = quantile * observations
    bucket = (counts[:-1] < rank).sum(axis=0)
    inner = np.minimum(bucket, last - 1)
    below = np.where(inner > 0, counts[inner - 1, times], 0.0)
    start = np.where(inner > 0, bounds[inner - 1], 0.0)
    end = bounds[inner]
    share = (rank - below) / (counts[inner, times] - below)
    values = start + (end - start) * share
    values = np.where((bucket == 0) & (bounds[0] <= 0), bounds[0], values)
    values = np.where(bucket == last, bounds[-2], values)
    return np.where(observations == 0, np.nan, values)

"""Aggregations against plain Python over the values that are there at each time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracestore.query.promql.aggregation import aggregate
from tracestore.query.promql.values import Scalar, Vector

LABELS = [
    (("__name__", "m"), ("a", a), *((("b", b),) if b else ())) for a in "xy" for b in ("", "1", "2")
]
POINTS = 2
NAIVE: dict[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "avg": statistics.fmean,
    "count": len,
    "group": lambda _: 1,
    "min": lambda values: min((v for v in values if v == v), default=math.nan),
    "max": lambda values: max((v for v in values if v == v), default=math.nan),
    "stddev": lambda v: statistics.pstdev(v) if all(map(math.isfinite, v)) else math.nan,
    "stdvar": lambda v: statistics.pvariance(v) if all(map(math.isfinite, v)) else math.nan,
}


@st.composite
def vectors(draw: st.DrawFn) -> Vector:
    labels = draw(st.lists(st.sampled_from(LABELS), unique=True, max_size=6))
    cell = st.none() | st.integers(-3, 3).map(float) | st.just(math.nan)
    rows = draw(st.lists(st.lists(cell, min_size=POINTS, max_size=POINTS), min_size=6, max_size=6))
    cells = np.array(rows[: len(labels)], dtype=object).reshape(len(labels), POINTS)
    return Vector(
        labels=tuple(labels),
        values=np.array([[v or 0.0 for v in row] for row in cells]).reshape(cells.shape),
        present=np.array([[v is not None for v in row] for row in cells], np.bool_).reshape(
            cells.shape
        ),
    )


def naive_groups(
    vector: Vector, grouping: frozenset[str], is_without: bool
) -> dict[tuple[tuple[str, str], ...], list[int]]:
    found: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for row, labels in enumerate(vector.labels):
        kept = [
            (key, value)
            for key, value in labels
            if ((key not in grouping and key != "__name__") if is_without else key in grouping)
        ]
        found.setdefault(tuple(kept), []).append(row)
    return found


groupings = st.frozensets(st.sampled_from(["a", "b", "c"]))


@pytest.mark.parametrize("operator", NAIVE)
@given(vector=vectors(), grouping=groupings, is_without=st.booleans())
def test_aggregation_agrees(
    operator: str, vector: Vector, grouping: frozenset[str], is_without: bool
) -> None:
    found = aggregate(operator, vector, None, grouping, is_without=is_without)

    groups = naive_groups(vector, grouping, is_without)
    assert set(found.labels) == set(groups)
    for row, labels in enumerate(found.labels):
        for time in range(POINTS):
            own = [float(vector.values[r, time]) for r in groups[labels] if vector.present[r, time]]
            assert found.present[row, time] == bool(own)
            if own:
                np.testing.assert_allclose(found.values[row, time], NAIVE[operator](own))


@pytest.mark.parametrize("operator", ["topk", "bottomk"])
@given(vector=vectors(), grouping=groupings, count=st.sampled_from([-1.0, 0.0, 1.0, 2.5, 9.0]))
def test_the_best_of_each_group_are_kept(
    operator: str, vector: Vector, grouping: frozenset[str], count: float
) -> None:
    parameter = Scalar(values=np.full(POINTS, count))
    found = aggregate(operator, vector, parameter, grouping, is_without=False)

    kept = {labels: found.present[row] for row, labels in enumerate(found.labels)}
    sign = -1 if operator == "topk" else 1
    for rows in naive_groups(vector, grouping, False).values():
        for time in range(POINTS):
            own = [r for r in rows if vector.present[r, time]]
            chosen = [r for r in own if vector.labels[r] in kept and kept[vector.labels[r]][time]]
            assert len(chosen) == min(len(own), max(0, int(count)))
            # what is left out is no better than what is kept, and NaN is worst
            keys = {r: sign * vector.values[r, time] for r in own}
            worst = [math.inf if math.isnan(keys[r]) else keys[r] for r in chosen]
            left = [math.inf if math.isnan(keys[r]) else keys[r] for r in own if r not in chosen]
            assert not worst or not left or max(worst) <= min(left)


@given(vector=vectors(), quantile=st.sampled_from([0.0, 0.25, 0.5, 1.0, -1.0, 2.0]))
def test_quantile_of_what_is_there(vector: Vector, quantile: float) -> None:
    parameter = Scalar(values=np.full(POINTS, quantile))
    found = aggregate("quantile", vector, parameter, frozenset(), is_without=False)
    for time in range(POINTS):
        own = vector.values[vector.present[:, time], time]
        if not len(own):
            continue
        value = found.values[0, time]
        if quantile in (-1.0, 2.0):
            assert value == math.copysign(math.inf, quantile)
        elif not np.isnan(own).any():
            np.testing.assert_allclose(value, np.quantile(own, quantile))

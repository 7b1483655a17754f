"""``histogram_quantile`` against a translation of Prometheus' own loop, bucket by bucket."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracestore.query.promql.quantiles import histogram_quantile
from tracestore.query.promql.values import Vector

BOUNDS = ["-1", "0", "0.1", "0.2", "0.20", "1", "+Inf", "", "x", "1_0"]
Bucket = tuple[str, float | None]


def bucket_quantile(quantile: float, buckets: list[tuple[float, float]]) -> float:
    """Prometheus 2.42, promql/quantile.go."""
    if math.isnan(quantile):
        return math.nan
    if quantile < 0:
        return -math.inf
    if quantile > 1:
        return math.inf
    buckets = sorted(buckets)
    if buckets[-1][0] != math.inf:
        return math.nan
    merged: dict[float, float] = {}
    for bound, count in buckets:
        merged[bound] = merged.get(bound, 0) + count
    counts = list(merged.items())
    highest = counts[0][1]
    for place, (bound, count) in enumerate(counts):
        highest = max(highest, count)
        counts[place] = (bound, highest)
    if len(counts) < 2 or counts[-1][1] == 0:
        return math.nan
    rank = quantile * counts[-1][1]
    found = next((p for p, (_, count) in enumerate(counts[:-1]) if count >= rank), len(counts) - 1)
    if found == len(counts) - 1:
        return counts[-2][0]
    if found == 0 and counts[0][0] <= 0:
        return counts[0][0]
    start, end, count = 0.0, counts[found][0], counts[found][1]
    if found > 0:
        start = counts[found - 1][0]
        count -= counts[found - 1][1]
        rank -= counts[found - 1][1]
    return start + (end - start) * (rank / count) if count else math.nan


buckets = st.lists(
    st.tuples(st.sampled_from(BOUNDS), st.none() | st.integers(0, 9).map(float)),
    unique_by=lambda one: one[0],
    max_size=7,
)


@given(
    st.lists(st.sampled_from([0.0, 0.3, 0.5, 1.0, -1.0, 2.0, math.nan]), min_size=2, max_size=2),
    st.lists(buckets, min_size=2, max_size=2),
)
def test_quantile_agrees_with_prometheus(
    quantiles: list[float], histograms: list[list[Bucket]]
) -> None:
    rows = [(name, *bucket) for name, one in zip("ab", histograms, strict=True) for bucket in one]
    # the second time has the buckets of the first in another order of counts, all there
    values = [[count or 0.0, float(place)] for place, (_, _, count) in enumerate(rows)]
    present = [[count is not None, True] for _, _, count in rows]
    labels = tuple((("job", name), ("le", bound)) for name, bound, _ in rows)
    vector = Vector(
        labels=labels,
        values=np.array(values).reshape(-1, 2),
        present=np.array(present, np.bool_).reshape(-1, 2),
    )

    found = histogram_quantile(np.array(quantiles), vector)

    seen = {}
    for name in "ab":
        for time in (0, 1):
            own = [
                (float(bound), values[place][time])
                for place, (job, bound, _) in enumerate(rows)
                if job == name and bound not in ("", "x", "1_0") and present[place][time]
            ]
            if own:
                seen[name, time] = bucket_quantile(quantiles[time], own)
    assert {
        (dict(found.labels[row])["job"], time)
        for row, time in zip(*np.nonzero(found.present), strict=True)
    } == set(seen)
    for row, one in enumerate(found.labels):
        for time in np.flatnonzero(found.present[row]):
            np.testing.assert_equal(found.values[row, time], seen[dict(one)["job"], int(time)])

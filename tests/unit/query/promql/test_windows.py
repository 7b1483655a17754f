"""Windows over sparse cells against adding up what lies in each window."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracestore.query.promql.windows import MILLISECOND_NS, Times, plan_windows

SERIES = 2


@given(
    start_ms=st.integers(-50, 50),
    step_ms=st.integers(1, 12),
    points=st.integers(1, 6),
    length_ms=st.integers(1, 20),
    stale_ms=st.integers(0, 15),
    spans=st.lists(st.tuples(st.integers(0, SERIES - 1), st.integers(-100, 130)), max_size=30),
)
def test_windows_hold_what_is_in_them(
    start_ms: int,
    step_ms: int,
    points: int,
    length_ms: int,
    stale_ms: int,
    spans: list[tuple[int, int]],
) -> None:
    times = Times(start_ms=start_ms, step_ms=step_ms, points=points)
    windows = plan_windows(times, length_ms, stale_ms)

    cells: dict[int, int] = {}
    for series, at_ms in spans:
        cell = (at_ms * MILLISECOND_NS - windows.start_ns - 1) // windows.step_ns
        if 0 <= cell < windows.cells:
            key = series * windows.cells + cell
            cells[key] = cells.get(key, 0) + 1
    keys = np.array(sorted(cells), np.int64)
    counts = np.array([cells[key] for key in sorted(cells)], np.float64)
    sums, present = windows.sums(keys, counts, SERIES)

    for series in range(SERIES):
        for point in range(points):
            end = start_ms + point * step_ms
            ages = [end - at_ms for one, at_ms in spans if one == series and at_ms <= end]
            assert sums[series, point] == sum(age < length_ms for age in ages)
            assert present[series, point] == any(age < length_ms + stale_ms for age in ages)

"""Cells of spans and what is counted by cell, held against Python's own arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracestore.kernel import cell_keys, power_buckets, tally, tally_extremes, tally_sums

STEPS = [1, 2, 3, 7, 1_000, 999_999_937, 10**9, 3600 * 10**9, 1 << 62]


@given(
    origin=st.sampled_from([0, 5, 1_700_000_040_000_000_000, (1 << 64) - 100_000]),
    step=st.sampled_from(STEPS),
    points=st.integers(1, 10_002),
    data=st.data(),
)
def test_a_span_is_in_the_interval_that_its_start_ends_or_lies_in(
    origin: int, step: int, points: int, data: st.DataObject
) -> None:
    points = min(points, ((1 << 63) - 1) // step, ((1 << 64) - 1 - origin) // step)
    if points < 1:
        return
    edges = st.tuples(st.integers(0, points - 1), st.sampled_from([1, 2, step])).map(
        lambda pair: pair[0] * step + min(pair[1], step)
    )
    offsets = data.draw(st.lists(edges | st.integers(1, points * step), min_size=1, max_size=9))
    starts = np.array([origin + offset for offset in offsets], np.uint64)

    keys = cell_keys(starts, (origin, step, points))

    assert keys.tolist() == [-(-offset // step) - 1 for offset in offsets]


def test_numbers_rows_and_buckets_come_before_the_point() -> None:
    starts = np.array([11, 12, 25, 31], np.uint64)
    grid = (10, 10, 3)
    rows = np.array([0, 2, 3])
    codes, index = np.array([4, 6]), np.array([1, 0, 0, 1], np.int32)
    numbers, buckets = np.array([1, 0, 2]), np.array([3, 0, 1])

    assert cell_keys(starts, grid, rows=rows).tolist() == [0, 1, 2]
    assert cell_keys(starts, grid, rows=rows, numbers=numbers).tolist() == [3, 1, 8]
    assert cell_keys(starts, grid, codes=codes, index=index).tolist() == [18, 12, 13, 20]
    found = cell_keys(starts, grid, rows=rows, codes=codes, index=index, buckets=buckets, width=5)
    assert found.tolist() == [(6 * 5 + 3) * 3, (4 * 5) * 3 + 1, (6 * 5 + 1) * 3 + 2]


@pytest.mark.parametrize(
    "arguments",
    [
        {"rows": np.array([4])},
        {"rows": np.array([-1])},
        {"numbers": np.array([1])},
        {"codes": np.array([1]), "index": np.array([0, 0, 0, 1], np.int32)},
        {"codes": np.array([1]), "index": np.array([0], np.int32)},
    ],
)
def test_what_is_not_there_is_refused(arguments: dict[str, np.ndarray]) -> None:
    with pytest.raises(IndexError):
        cell_keys(np.array([11, 12, 25, 31], np.uint64), (10, 10, 3), **arguments)
    for start in (10, 41, 0):
        with pytest.raises(IndexError):
            cell_keys(np.array([start], np.uint64), (10, 10, 3))


numbers = st.lists(st.tuples(st.integers(0, 6), st.floats(-9, 9)), max_size=30)


@given(pairs=numbers)
def test_counts_sums_and_extremes_are_those_of_each_number(
    pairs: list[tuple[int, float]],
) -> None:
    keys = np.array([key for key, _ in pairs], np.int64)
    values = np.array([value for _, value in pairs])
    of_key = [[value for key, value in pairs if key == wanted] for wanted in range(7)]

    counts = [len(each) for each in of_key]
    assert tally(keys, 7).tolist() == counts
    assert tally_sums(keys, values, 7)[0].tolist() == counts
    assert tally_sums(keys, values, 7)[1].tolist() == pytest.approx([sum(e) for e in of_key])
    for largest, pick in ((True, max), (False, min)):
        found, extremes = tally_extremes(keys, values, 7, largest)
        assert found.tolist() == counts
        for each, extreme in zip(of_key, extremes.tolist(), strict=True):
            assert not each or extreme == pick(each)


@pytest.mark.parametrize("key", [-1, 3])
def test_a_number_out_of_bounds_is_refused(key: int) -> None:
    keys, values = np.array([0, key]), np.array([1.0, 2.0])
    with pytest.raises(IndexError, match=f"{key} is not a number below 3"):
        tally(keys, 3)
    with pytest.raises(IndexError):
        tally_sums(keys, values, 3)
    with pytest.raises(IndexError):
        tally_extremes(keys, values, 3, True)
    with pytest.raises(IndexError, match="one value"):
        tally_sums(keys, values[:1], 3)


@given(value=st.integers(-(2**63), 2**63 - 1) | st.integers(0, 62).map(lambda n: 2**n))
def test_a_bucket_is_the_smallest_power_of_two_that_is_not_below(value: int) -> None:
    (bucket,) = power_buckets(np.array([value])).tolist()

    assert bucket == 0 if value < 2 else 2 ** (bucket - 1) < value <= 2**bucket

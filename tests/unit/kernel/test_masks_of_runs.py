"""Kernels over the spans of traces against loops; what does not fit together is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracestore import kernel

Rows = list[tuple[int, bool, int]]
"""Of each row the run, whether it is marked, and a code."""


@st.composite
def runs(draw: st.DrawFn) -> tuple[np.ndarray, Rows]:
    """Draw runs shorter and longer than a word."""
    counts = draw(st.lists(st.integers(0, 30) | st.integers(50, 130), max_size=6))
    rows = [
        (run, draw(st.booleans()), draw(st.integers(0, 4)))
        for run, count in enumerate(counts)
        for _ in range(count)
    ]
    return np.array(counts, np.int32), rows


def mask_of(rows: Rows) -> np.ndarray:
    return np.array([is_marked for _, is_marked, _ in rows], np.bool_)


@given(drawn=runs())
def test_marks_of_runs_agree_with_the_loop(drawn: tuple[np.ndarray, Rows]) -> None:
    counts, rows = drawn
    marked = [run for run, is_marked, _ in rows if is_marked]

    assert kernel.marked_runs(mask_of(rows), counts).tolist() == sorted(set(marked))
    assert kernel.count_marked(mask_of(rows), counts).tolist() == [
        marked.count(run) for run in range(len(counts))
    ]
    assert kernel.run_numbers(counts, len(rows)).tolist() == [run for run, _, _ in rows]


@given(rows=st.lists(st.tuples(st.integers(-(2**31), 2**31 - 1), st.booleans())))
def test_what_is_not_marked_becomes_zero(rows: list[tuple[int, bool]]) -> None:
    values = np.array([value for value, _ in rows], np.int32)

    found = kernel.or_zero(values, np.array([is_marked for _, is_marked in rows], np.bool_))

    assert found.tolist() == [value if is_marked else 0 for value, is_marked in rows]


@given(drawn=runs(), data=st.data())
def test_runs_are_spread_over_their_rows(
    drawn: tuple[np.ndarray, Rows], data: st.DataObject
) -> None:
    counts, rows = drawn
    kept = data.draw(st.lists(st.booleans(), min_size=len(counts), max_size=len(counts)))

    found = kernel.spread_runs(np.array(kept, np.bool_), counts, len(rows))

    assert found.tolist() == [kept[run] for run, _, _ in rows]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@given(drawn=runs(), some=st.booleans())
def test_pairs_of_run_and_code_are_numbered_as_they_occur(
    dtype: type, drawn: tuple[np.ndarray, Rows], some: bool
) -> None:
    counts, rows = drawn
    wanted = np.flatnonzero(mask_of(rows)) if some else np.arange(len(rows))
    pairs = [(rows[row][0], rows[row][2]) for row in wanted]
    known = list(dict.fromkeys(pairs))
    codes = np.array([code for _, code in pairs], dtype)
    group = kernel.run_numbers(counts, len(rows))

    numbers, first = kernel.split_runs(group, wanted if some else None, codes)

    assert numbers[wanted].tolist() == [known.index(pair) for pair in pairs]
    assert first.tolist() == [pairs.index(pair) for pair in known]


def test_sums_are_exact_as_long_as_they_fit() -> None:
    values = np.array([2**62, 2**62, -1, 2**62, 2**62, -(2**63), -(2**63)], np.int64)

    group = np.repeat(np.arange(3, dtype=np.int32), [3, 2, 2])

    for kernel_of in (kernel.sum_runs, kernel.sum_groups):
        assert kernel_of(values, None, group, 3).tolist() == [2**63 - 1, -(2**63), 0]
    assert kernel.sum_exactly(values, None, group, 3).tolist() == [2.0**63, 2.0**63, -(2.0**64)]


ONE = np.ones(1, np.int32)
MARK = np.ones(1, np.bool_)


@pytest.mark.parametrize(
    "call",
    [
        lambda: kernel.marked_runs(MARK, 2 * ONE),
        lambda: kernel.count_marked(MARK, -ONE),
        lambda: kernel.spread_runs(MARK, 2 * ONE, 1),
        lambda: kernel.run_numbers(2 * ONE, 1),
        lambda: kernel.or_zero(ONE, np.ones(2, np.bool_)),
        lambda: kernel.sum_runs(ONE, None, ONE, 1),
        lambda: kernel.extremes_of_runs(ONE, None, -ONE, 1, True),
        lambda: kernel.sum_groups(ONE, None, ONE, 1),
        lambda: kernel.sum_exactly(ONE, None, ONE, 1),
        lambda: kernel.count_groups(None, -ONE, 1),
        lambda: kernel.extremes_of_groups(ONE, None, ONE, 1, True),
        lambda: kernel.split_runs(ONE, np.array([1]), ONE),
        lambda: kernel.split_runs(ONE, None, np.zeros(3, np.int64)),
        lambda: kernel.split_runs(ONE, None, -ONE),
        lambda: kernel.number_by_first(np.array([3]), 3),
        lambda: kernel.mask_children(MARK, ONE, -ONE, ONE),
        lambda: kernel.mask_descendants(MARK, 2 * ONE, ONE, ONE),
    ],
)
def test_what_does_not_fit_together_is_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"row|run|span|group|code|key|number"):
        call()


def test_parents_are_rows_of_the_same_run() -> None:
    left = np.array([1, 2, 4, 0, 1, 2], np.int32)
    parent = np.array([-1, 1, 1, 0, -1, 1], np.int32)

    rows = kernel.parent_rows(np.array([4, 2], np.int32), left, parent)

    assert rows.tolist() == [-1, 0, 0, -1, -1, 4]

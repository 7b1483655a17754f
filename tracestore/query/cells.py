"""Sums, counts and extremes by number, kept sparse: only numbers that occur take memory.

A *cell* is one number: a series and a point, perhaps a bucket between them. What comes of chunks is
reduced at once and merged now and then, so that adding costs what is added. Kernels, and one small
state: ``CellStore``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tracestore.errors import LimitExceededError

Array = npt.NDArray[Any]
Keys = npt.NDArray[np.int64]
_DENSE_FACTOR = 8
"""Numbers are counted instead of sorted if they are at most so many times as many as rows."""


class CellBudget:
    """How many cells a query may keep, over all that it computes."""

    def __init__(self, cells_max: int) -> None:
        """Take the bound; 0: none."""
        self._cells_max = cells_max
        self._cells = 0

    def change(self, by: int) -> None:
        """Note that cells have come or gone. Raises: LimitExceededError."""
        self._cells += by
        if self._cells_max and self._cells > self._cells_max:
            raise LimitExceededError(
                f"the query needs more than {self._cells_max} values (series times intervals with "
                "data): take a larger step, a shorter range or fewer labels in by(), "
                "or allow more (query.max_metrics_cells)",
                limit="max_metrics_cells",
            )


def dense_size(keys: Keys, rows: int | None = None) -> int | None:
    """Find how many numbers to count over, or None if they lie too far apart for that."""
    if len(keys) == 0:
        return 1
    size = int(keys.max()) + 1
    return size if size <= _DENSE_FACTOR * (rows or len(keys)) + 1024 else None


def closer(keys: Keys) -> tuple[Keys, Keys]:
    """Number distinct keys in ascending order.

    Args:
        keys: (M,) not negative.

    Returns: (M,) the number of each; the distinct keys.
    """
    size = dense_size(keys)
    if size is None:
        distinct, numbers = np.unique(keys, return_inverse=True)
        return numbers.astype(np.int64, copy=False), distinct
    is_there = np.zeros(size, np.bool_)
    is_there[keys] = True
    distinct = np.flatnonzero(is_there)
    if len(distinct) == size:
        return keys, distinct
    number = np.cumsum(is_there, dtype=np.int64)
    number -= 1
    return number.take(keys), distinct


def count_cells(keys: Keys) -> tuple[Keys, Array]:
    """Count how often each key occurs: keys, ascending, and counts."""
    size = dense_size(keys)
    if size is None:
        distinct, counts = np.unique(keys, return_counts=True)
        return distinct, counts.astype(np.float64)
    counts = np.bincount(keys, minlength=size)
    distinct = np.flatnonzero(counts)
    return distinct, counts[distinct].astype(np.float64)


def reduce_cells(keys: Keys, values: Array, reduction: np.ufunc) -> tuple[Keys, Array]:
    """Reduce the values of each key: keys, ascending, and what comes of each.

    Args:
        values: (M,) float64.
        reduction: ``np.add``, ``np.minimum`` or ``np.maximum``.
    """
    numbers, distinct = closer(keys)
    if reduction is np.add:
        return distinct, np.bincount(numbers, values, minlength=len(distinct))
    start = np.inf if reduction is np.minimum else -np.inf
    found = np.full(len(distinct), start)
    reduction.at(found, numbers, values)
    return distinct, found


class CellStore:
    """What is known of each cell: one or more numbers, each reduced in its own way."""

    def __init__(self, reductions: Sequence[np.ufunc], budget: CellBudget) -> None:
        self._reductions = reductions
        self._budget = budget
        self._settled: tuple[Keys, list[Array]] = (
            np.empty(0, np.int64),
            [np.empty(0) for _ in reductions],
        )
        self._added: list[tuple[Keys, Sequence[Array]]] = []
        self._pending = 0

    def add(self, keys: Keys, columns: Sequence[Array]) -> None:
        """Add cells, distinct among themselves. Raises: LimitExceededError."""
        if len(keys) == 0:
            return
        self._added.append((keys, columns))
        self._pending += len(keys)
        if self._pending > len(self._settled[0]) + 65536:
            self.settle()

    def settle(self) -> tuple[Keys, list[Array]]:
        """Merge what was added: keys, ascending, and the numbers of each."""
        if not self._added:
            return self._settled
        parts = [self._settled, *self._added]
        keys = np.concatenate([part[0] for part in parts])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        columns = [
            reduction.reduceat(np.concatenate([part[1][place] for part in parts])[order], starts)
            for place, reduction in enumerate(self._reductions)
        ]
        before = len(self._settled[0])
        self._settled = keys[starts], columns
        self._added, self._pending = [], 0
        self._budget.change(len(starts) - before)
        return self._settled

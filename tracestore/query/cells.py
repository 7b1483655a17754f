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
from tracestore.kernel import tally, tally_extremes, tally_sums

Array = npt.NDArray[Any]
Keys = npt.NDArray[np.int64]
DENSE_MAX = 1 << 20
"""Keys below it have a place of their own as long as there is none beyond."""
_NEUTRAL: dict[Any, float] = {np.add: 0.0, np.minimum: np.inf, np.maximum: -np.inf}
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


def dense_size(keys: Keys) -> int | None:
    """Find how many numbers to count over, or None if they lie too far apart for that."""
    if len(keys) == 0:
        return 1
    size = int(keys.max()) + 1
    return size if is_dense(size, len(keys)) else None


def is_dense(size: int, rows: int) -> bool:
    """Tell whether so many numbers are few enough for so many rows to count over them."""
    return size <= _DENSE_FACTOR * rows + 1024


def split(keys: Keys, size: int) -> tuple[Keys, Keys]:
    """Part keys into quotient and rest; numpy's own divmod takes several times as long."""
    quotient = keys // size
    return quotient, keys - quotient * size


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
    return _occurring(tally(keys, size))


def weigh_cells(keys: Keys, weights: Array | None) -> tuple[Keys, Array]:
    """Sum the (M,) weights of each key: keys, ascending, and sums. None: each weighs 1."""
    if weights is None:
        return count_cells(keys)
    found, _, sums = sum_cells(keys, weights)
    return found, sums


def sum_cells(keys: Keys, values: Array) -> tuple[Keys, Array, Array]:
    """Sum the (M,) float64 values of each key: keys, ascending, counts, sums."""
    size, keys, distinct = _dense(keys)
    counts, sums = tally_sums(keys, values, size)
    found, told = _occurring(counts)
    return _named(found, distinct), told, sums[found]


def extreme_cells(keys: Keys, values: Array, *, largest: bool) -> tuple[Keys, Array]:
    """Find the smallest or largest of the (M,) float64 values of each key, ascending."""
    size, keys, distinct = _dense(keys)
    counts, extremes = tally_extremes(keys, values, size, largest)
    found = np.flatnonzero(counts != 0)
    return _named(found, distinct), extremes.take(found)


def _dense(keys: Keys) -> tuple[int, Keys, Keys | None]:
    """Number keys anew if they lie too far apart: how many, the keys, what each stands for."""
    size = dense_size(keys)
    if size is not None:
        return size, keys, None
    distinct, numbers = np.unique(keys, return_inverse=True)
    return len(distinct), numbers.astype(np.int64, copy=False), distinct


def _named(numbers: Keys, distinct: Keys | None) -> Keys:
    return numbers if distinct is None else distinct[numbers]


def _occurring(counts: npt.NDArray[np.int64]) -> tuple[Keys, Array]:
    found = np.flatnonzero(counts != 0)  # of integers themselves it takes twenty times as long
    return found, counts.take(found).astype(np.float64)


class CellStore:
    """What is known of each cell: one or more numbers, each reduced in its own way.

    Dense as long as all keys are small, since then nothing has to be sorted; sparse beyond.
    """

    def __init__(self, reductions: Sequence[np.ufunc], budget: CellBudget) -> None:
        self._reductions = reductions
        self._budget = budget
        self._dense: _DenseCells | None = _DenseCells(reductions)
        self._settled: tuple[Keys, list[Array]] = (
            np.empty(0, np.int64),
            [np.empty(0) for _ in reductions],
        )
        self._added: list[tuple[Keys, Sequence[Array]]] = []
        self._pending = 0
        self._told = 0

    @property
    def width(self) -> int:
        """How many numbers each cell has."""
        return len(self._reductions)

    def add(self, keys: Keys, columns: Sequence[Array]) -> None:
        """Add cells, in any order. Raises: LimitExceededError."""
        if len(keys) == 0:
            return
        if self._dense is not None:
            if int(keys.max()) < DENSE_MAX:
                self._dense.add(keys, columns)
                return
            self._settled = self._dense.cells()
            self._dense = None
        self._added.append((keys, columns))
        self._pending += len(keys)
        if self._pending > len(self._settled[0]) + 65536:
            self.settle()

    def settle(self) -> tuple[Keys, list[Array]]:
        """Merge what was added: keys, ascending, and the numbers of each."""
        if self._dense is not None:
            return self._tell(self._dense.cells())
        if not self._added:
            return self._tell(self._settled)
        parts = [self._settled, *self._added]
        keys = np.concatenate([part[0] for part in parts])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        starts = np.flatnonzero(np.diff(keys, prepend=-1) != 0)
        columns = [
            reduction.reduceat(np.concatenate([part[1][place] for part in parts])[order], starts)
            for place, reduction in enumerate(self._reductions)
        ]
        self._settled = keys[starts], columns
        self._added, self._pending = [], 0
        return self._tell(self._settled)

    def _tell(self, settled: tuple[Keys, list[Array]]) -> tuple[Keys, list[Array]]:
        self._budget.change(len(settled[0]) - self._told)
        self._told = len(settled[0])
        return settled


class _DenseCells:
    """Cells whose keys are small: a place for each key."""

    def __init__(self, reductions: Sequence[np.ufunc]) -> None:
        self._reductions = reductions
        self._present = np.empty(0, np.bool_)
        self._columns = [np.empty(0) for _ in reductions]

    def add(self, keys: Keys, columns: Sequence[Array]) -> None:
        """Add cells, in any order."""
        self._grow(int(keys.max()) + 1)
        self._present[keys] = True
        for reduction, own, column in zip(self._reductions, self._columns, columns, strict=True):
            reduction.at(own, keys, column)

    def _grow(self, size: int) -> None:
        old = len(self._present)
        if size <= old:
            return
        size = max(size, min(2 * old, DENSE_MAX))
        self._present = np.concatenate([self._present, np.zeros(size - old, np.bool_)])
        self._columns = [
            np.concatenate([own, np.full(size - old, _NEUTRAL[reduction])])
            for reduction, own in zip(self._reductions, self._columns, strict=True)
        ]

    def cells(self) -> tuple[Keys, list[Array]]:
        """Get the keys that occur, ascending, and the numbers of each."""
        keys = np.flatnonzero(self._present)
        return keys, [own[keys] for own in self._columns]

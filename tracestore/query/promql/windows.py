"""Sums over windows that slide over counted cells, from the sparse form of the cells.

The cells of a question are as wide as the greatest common divisor of the step and of the lengths of
the windows, so each window is whole cells: nothing is extrapolated. Only cells with spans are kept,
so narrow ones cost no more than the spans that are in them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracestore.query.promql.values import Bools, Floats, Ints

MILLISECOND_NS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When an expression is evaluated, in milliseconds."""

    start_ms: int
    step_ms: int
    """Of no meaning with one point."""
    points: int

    @property
    def end_ms(self) -> int:
        """The last one."""
        return self.start_ms + (self.points - 1) * self.step_ms

    @property
    def all_ms(self) -> Ints:
        """(points,)"""
        return self.start_ms + self.step_ms * np.arange(self.points, dtype=np.int64)

    def shifted(self, by_ms: int) -> Times:
        """Get the times so much later."""
        return Times(start_ms=self.start_ms + by_ms, step_ms=self.step_ms, points=self.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """For each time t the cells that are in (t - length, t], and those of a longer window.

    The longer one tells whether a series is still there: one that had a span in it and none in the
    shorter one is 0 rather than absent.
    """

    start_ns: int
    """Where the first cell begins."""
    step_ns: int
    """How wide a cell is."""
    cells: int
    """K."""
    ends: Ints
    """(P,) number of cells up to each time."""
    width: int | Ints
    """Cells of a window; (P,) if they differ."""
    reach: int | Ints
    """Cells of the longer window, at least ``width``."""

    def sums(self, keys: Ints, values: npt.NDArray[np.generic], rows: int) -> tuple[Floats, Bools]:
        """Add up what is in each window.

        Args:
            keys: (C,) row times K plus cell, ascending.
            values: (C,) none is 0. Integers are added exactly.

        Returns: (rows, P) sums, and whether the longer window has anything.
        """
        offsets = np.arange(rows, dtype=np.int64)[:, np.newaxis] * self.cells
        upper = np.searchsorted(keys, offsets + self.ends)
        lower = np.searchsorted(keys, offsets + self.ends - self.width)
        longer = np.searchsorted(keys, offsets + self.ends - self.reach)
        total = np.concatenate([np.zeros(1, values.dtype), np.cumsum(values, dtype=values.dtype)])
        sums = np.where(upper > lower, total[upper] - total[lower], 0)
        return sums.astype(np.float64), upper > longer


def plan_windows(times: Times, length_ms: int, stale_ms: int = 0) -> Windows:
    """Lay cells under the windows of some times.

    Args:
        length_ms: how far a window reaches back, more than 0.
        stale_ms: how much further back the longer window reaches.
    """
    step_ms = times.step_ms if times.points > 1 else 0
    cell_ms = math.gcd(step_ms, length_ms, stale_ms)
    reach_ms = length_ms + stale_ms
    behind_ms = times.all_ms - times.start_ms + reach_ms
    return Windows(
        start_ns=(times.start_ms - reach_ms) * MILLISECOND_NS,
        step_ns=cell_ms * MILLISECOND_NS,
        cells=int(behind_ms[-1]) // cell_ms,
        ends=behind_ms // cell_ms,
        width=length_ms // cell_ms,
        reach=reach_ms // cell_ms,
    )

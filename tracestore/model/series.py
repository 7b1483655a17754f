"""Series as values: what a metrics query answers.

A series has a value for all points of a grid, but few that differ: those are listed, the rest is
``fill``. So a series over ten thousand steps costs what was found in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tracestore.model.results import AttributeValue, QueryStats

Labels = tuple[tuple[str, AttributeValue], ...]
"""Name and typed value, in the order in which they are shown."""
Floats = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Intervals of equal length: point k counts what starts in (origin + k step, one step on]."""

    origin_ns: int
    step_ns: int
    count: int

    def time_ns(self, point: int) -> int:
        """Get the time of a point, the right edge of its interval."""
        return self.origin_ns + (point + 1) * self.step_ns

    @property
    def end_ns(self) -> int:
        """The last time that belongs to it."""
        return self.origin_ns + self.count * self.step_ns

    @property
    def step_s(self) -> float:
        """Length of an interval."""
        return self.step_ns / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplar:
    """A stored span that a series counts."""

    labels: Labels
    value: float
    """NaN: that of the sample of its interval, which is not known yet."""
    time_ns: int
    point: int
    """The interval that it lies in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Labels and a value for each point of a grid, NaN where there is no sample."""

    labels: Labels
    fill: float
    """The value of all points that are not listed."""
    points: Steps
    """(C,) points with a value of their own, ascending."""
    values: Floats
    """(C,) their values."""
    exemplars: tuple[Exemplar, ...] = ()

    def dense(self, count: int) -> Floats:
        """Write all ``count`` points out."""
        found = np.full(count, self.fill)
        found[self.points] = self.values
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsResult:
    """Series in the order in which they are shown."""

    grid: Grid
    series: tuple[Series, ...]
    stats: QueryStats = field(default_factory=QueryStats)
    message: str = ""
    """What the answer lacks; empty if it is complete."""
    missing: tuple[str, ...] = ()
    """IDs of sources that could not be read; only where the caller takes a partial answer."""
    settled_from: int = 0
    """Values of this point and of later ones will not change; in the answer of a query that still
    runs, this is more than 0."""

    @property
    def is_partial(self) -> bool:
        """Whether something is missing."""
        return bool(self.message)

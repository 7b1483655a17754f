"""The spans of a chunk that a metric counts: which they are, and in which interval each begins.

Source: TraceQL reference, 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tracestore.model.series import Grid
from tracestore.query.columns import numbers
from tracestore.query.masks import Mask, mask_and, settle
from tracestore.query.parts import Domain, Operand
from tracestore.query.scan import ChunkScan

Rows = npt.NDArray[np.int64]
_WRAP = 1 << 64


class Timeline:
    """When the spans of a chunk begin, as places on a grid."""

    def __init__(self, scan: ChunkScan, grid: Grid) -> None:
        self.scan = scan
        self.grid = grid

    @cached_property
    def offsets(self) -> npt.NDArray[np.uint64]:
        """(N,) start of each span, less the first nanosecond of the grid; wraps if it is before."""
        start_ns = numbers(self.scan.column(Domain.SPAN, "start_time")).view(np.uint64)
        with np.errstate(over="ignore"):
            return start_ns - np.uint64((self.grid.origin_ns + 1) % _WRAP)

    @cached_property
    def inside(self) -> Mask:
        """The spans that begin inside the grid."""
        length = self.grid.count * self.grid.step_ns
        return settle(self.offsets < np.uint64(min(length, _WRAP - 1)))

    def counted(self, marked: Mask) -> CountedSpans | None:
        """Take the marked spans that begin inside; None if there are none."""
        if marked is False:
            return None
        counted = settle(mask_and(marked, self.inside))
        if counted is False or self.scan.chunk.spans == 0:
            return None
        rows = None if isinstance(counted, bool) else np.flatnonzero(counted)
        return CountedSpans(self, rows)


@dataclass
class CountedSpans:
    """M spans of a chunk."""

    timeline: Timeline
    rows: Rows | None
    """(M,) rows of the chunk, ascending; None: all."""

    @property
    def scan(self) -> ChunkScan:
        return self.timeline.scan

    @property
    def grid(self) -> Grid:
        return self.timeline.grid

    def __len__(self) -> int:
        return self.scan.chunk.spans if self.rows is None else len(self.rows)

    @cached_property
    def offsets(self) -> npt.NDArray[np.uint64]:
        """(M,) nanoseconds since the grid began, less one."""
        found = self.timeline.offsets
        return found if self.rows is None else found.take(self.rows)

    @cached_property
    def points(self) -> Rows:
        """(M,) the interval of each."""
        if self.grid.count == 1:
            return np.zeros(len(self), np.int64)
        return (self.offsets // np.uint64(self.grid.step_ns)).view(np.int64)

    def at(self, places: Rows | None) -> Rows:
        """Get the interval of some of them; None: of all."""
        return self.points if places is None else self.points.take(places)

    def spread(self, operand: Operand) -> Operand:
        """Take the values that an operand over the spans of the chunk has for these."""
        return operand if self.rows is None else operand.spread(self.rows)

    def row(self, place: int) -> int:
        """Get the row of one of them in the chunk."""
        return place if self.rows is None else int(self.rows[place])

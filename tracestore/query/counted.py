"""The spans of a chunk that a metric counts: which they are, and in which interval each begins.

Source: TraceQL reference, 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tracestore.kernel import cell_keys
from tracestore.model.series import Grid
from tracestore.query.columns import numbers
from tracestore.query.extrapolation import span_weights
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
    def start_ns(self) -> npt.NDArray[np.uint64]:
        """(N,) start of each span."""
        return numbers(self.scan.column(Domain.SPAN, "start_time")).view(np.uint64)

    def offsets(self, rows: Rows | None) -> npt.NDArray[np.uint64]:
        """Get nanoseconds since the first one of the grid; wraps if that is later."""
        start_ns = self.start_ns if rows is None else self.start_ns.take(rows)
        with np.errstate(over="ignore"):
            return start_ns - np.uint64((self.grid.origin_ns + 1) % _WRAP)

    @cached_property
    def inside(self) -> Mask:
        """The spans that begin inside the grid."""
        if len(self.start_ns) == 0:
            return False
        first, last = int(self.start_ns.min()), int(self.start_ns.max())
        if self.grid.origin_ns < first and last <= self.grid.end_ns:
            return True  # no array is made
        length = self.grid.count * self.grid.step_ns
        return settle(self.offsets(None) < np.uint64(min(length, _WRAP - 1)))

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

    def rows_at(self, places: Rows | None) -> Rows | None:
        """Get the rows in the chunk of some of them; None: of all, which are all rows."""
        if places is None:
            return self.rows
        return places if self.rows is None else self.rows.take(places)

    def offsets(self, places: Rows | None) -> npt.NDArray[np.uint64]:
        """Get nanoseconds since the first one of the grid, of some of them; None: of all."""
        return self.timeline.offsets(self.rows_at(places))

    def points(self, places: Rows | None) -> Rows:
        """Get the interval of some of them; None: of all."""
        return (self.offsets(places) // np.uint64(self.grid.step_ns)).view(np.int64)

    def keys(self, places: Rows | None, **numbers: Any) -> Rows:
        """Number the cells of some of them; None: of all (``kernel.cell_keys``)."""
        grid = self.grid.origin_ns, self.grid.step_ns, self.grid.count
        return cell_keys(self.timeline.start_ns, grid, rows=self.rows_at(places), **numbers)

    def weights(self) -> npt.NDArray[np.float64] | None:
        """Get for how many spans each of them stands; None: each for itself."""
        weights = span_weights(self.scan)
        return weights if weights is None or self.rows is None else weights.take(self.rows)

    def spread(self, operand: Operand) -> Operand:
        """Take the values that an operand over the spans of the chunk has for these."""
        return operand if self.rows is None else operand.spread(self.rows)

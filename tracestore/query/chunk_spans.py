"""What a chunk says of its spans that metrics of spans and of requests both need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tracestore.model.series import Grid
from tracestore.query.columns import fixed_bytes, numbers
from tracestore.query.label_texts import numbered
from tracestore.query.masks import BoolArray, to_array
from tracestore.query.parts import Domain
from tracestore.query.scan import ChunkScan

Rows = npt.NDArray[np.int64]
Times = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
_ERROR = 2
_WRAP = 1 << 64


@dataclass
class ChunkSpans:
    """Columns of the spans of a chunk, read when they are asked for."""

    scan: ChunkScan

    @cached_property
    def duration_ns(self) -> npt.NDArray[np.int64]:
        """(N,) as it was sent; negative if the clock ran back."""
        found: npt.NDArray[np.int64] = numbers(self.scan.column(Domain.SPAN, "duration"))
        return found

    @cached_property
    def start_ns(self) -> Times:
        """(N,) start of each span."""
        return numbers(self.scan.column(Domain.SPAN, "start_time")).view(np.uint64)

    @cached_property
    def end_ns(self) -> Times:
        """(N,) end of each span."""
        with np.errstate(over="ignore"):
            return self.start_ns + self.duration_ns.view(np.uint64)

    def seconds(self, rows: Rows) -> Floats:
        """Get how long some spans took, at least 0."""
        return np.maximum(self.duration_ns[rows], 0) / 1e9

    @cached_property
    def kinds(self) -> npt.NDArray[np.int32]:
        """(N,) number of the kind."""
        found: npt.NDArray[np.int32] = numbers(self.scan.column(Domain.SPAN, "kind"))
        return found

    @cached_property
    def is_failed(self) -> BoolArray:
        """(N,) whether the status is an error."""
        failed: BoolArray = numbered(self.scan, "status_code") == _ERROR
        return failed

    def ids(self, name: str) -> Times:
        """Get (N,) numbers of span IDs, or of parents, 0 where there is none."""
        raw = np.ascontiguousarray(fixed_bytes(self.scan.column(Domain.SPAN, name)))
        return raw.view(np.uint64).reshape(-1)

    def trace_rows(self, rows: Rows) -> Rows:
        """Get the row of the trace of some spans in their source."""
        return self.scan.index(Domain.TRACE)[rows].astype(np.int64) + self.scan.chunk.first_trace


def points_of(times_ns: Times, grid: Grid) -> tuple[Rows, Rows]:
    """Find the interval of times.

    Returns: places of the times that lie in one, ascending, and the interval of each.
    """
    with np.errstate(over="ignore"):
        offsets = times_ns - np.uint64((grid.origin_ns + 1) % _WRAP)
    length = min(grid.count * grid.step_ns, _WRAP - 1)
    inside = offsets < np.uint64(length)
    places = np.flatnonzero(to_array(inside, len(times_ns)))
    return places, (offsets[places] // np.uint64(grid.step_ns)).astype(np.int64)

"""One trace of a chunk, as a chunk of its own: what is shown of a trace is found out of its rows.

No I/O but through the chunk.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tracestore.model.tables import Table
from tracestore.query.columns import numbers
from tracestore.query.scan import ChunkScan
from tracestore.query.source import Chunk, ColumnStatistics


class TraceScan(ChunkScan):
    """A view of the rows of one trace; columns that several traces share are read once."""

    def __init__(self, whole: ChunkScan, trace: int) -> None:
        """Take the chunk, and the row of the trace in the source."""
        traces = whole.of_source.traces
        chunk = Chunk(
            index=whole.chunk.index,
            first_span=int(traces.first_span[trace]),
            spans=int(traces.span_count[trace]),
            first_trace=trace,
            traces=1,
        )
        super().__init__(whole.of_source, chunk)
        self._whole = whole

    def _read(self, table: Table, name: str) -> pa.Array:
        array = self._whole.stored(table, name)
        if table == Table.TRACES:
            return array.slice(self.chunk.first_trace - self._whole.chunk.first_trace, 1)
        if table == Table.SPANS:
            first = self.chunk.first_span - self._whole.chunk.first_span
            return array.slice(first, self.chunk.spans)
        owners = numbers(self._whole.stored(table, "span"))
        spans = self.chunk.first_span, self.chunk.first_span + self.chunk.spans
        first, end = np.searchsorted(owners, spans).tolist()
        return array.slice(first, end - first)

    def statistics(self, column: str) -> ColumnStatistics | None:
        """Say nothing: bounds are known of whole chunks, and so few rows are soon looked at."""
        return None

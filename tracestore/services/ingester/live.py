"""Live tables: the decoded spans of a head as a ``SpanSource``, like any block.

A frozen view is immutable; the head makes a new one when it has grown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.codec.filters import BlockFilters
from tracestore.kernel import FrozenSpans
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.query.source import Chunk, ColumnStatistics
from tracestore.storage.block.cut import TraceRows, cut_traces, take_rows
from tracestore.storage.block.dictionaries import one_array

SPANS_PER_CHUNK = 65536


class LiveSource:
    """``SpanSource`` over a frozen view of a head. Immutable, thread-safe."""

    def __init__(
        self, frozen: FrozenSpans, block_id: str, *, spans_per_chunk: int = SPANS_PER_CHUNK
    ) -> None:
        """Take the view; it must hold a span.

        Args:
            spans_per_chunk: a chunk ends with the trace that reaches this size.
        """
        self._frozen = frozen
        self._id = block_id
        times = frozen.columns(Table.TRACES, ["first_span", "start_time", "end_time"])
        self._first_span = _int64(times, "first_span")
        self._start_ns = int(_int64(times, "start_time").view(np.uint64).min())
        self._end_ns = int(_int64(times, "end_time").view(np.uint64).max())
        self._chunks = _cut_chunks(self._first_span, frozen.rows(Table.SPANS), spans_per_chunk)

    @property
    def id(self) -> str:
        return self._id

    @property
    def start_ns(self) -> int:
        return self._start_ns

    @property
    def end_ns(self) -> int:
        return self._end_ns

    @property
    def is_live(self) -> bool:
        return True

    @property
    def stored_bytes(self) -> int:
        return 0

    @property
    def frozen(self) -> FrozenSpans:
        """The view, for the flush."""
        return self._frozen

    def rows(self, table: Table) -> int:
        return self._frozen.rows(table)

    def schema(self, table: Table) -> pa.Schema:
        return self._frozen.schema(table)

    def chunks(self) -> Sequence[Chunk]:
        return self._chunks

    def read(
        self, table: Table, columns: Sequence[str], chunk: Chunk | None, stats: QueryStats
    ) -> Sequence[pa.Array]:
        if chunk is None:
            found = self._frozen.columns(table, columns)
        else:
            start, stop = self._rows_of(table, chunk)
            found = self._frozen.columns(table, columns, start, stop)
        stats.inspected_bytes += found.nbytes
        return [one_array(column) for column in found.columns]

    def statistics(self, chunk: Chunk, column: str) -> ColumnStatistics | None:
        return None

    def filters(self, stats: QueryStats) -> BlockFilters | None:
        return None

    def find_trace(self, trace_id: bytes, stats: QueryStats) -> SpanTables | None:
        found = self.find_traces([trace_id], stats)
        return found[0] if found else None

    def find_traces(self, trace_ids: Sequence[bytes], stats: QueryStats) -> list[SpanTables]:
        rows = {self._frozen.find_trace(trace_id) for trace_id in trace_ids}
        trace = np.array(sorted(row for row in rows if row is not None), np.int64)
        if len(trace) == 0:
            return []
        first = self._first_span[trace]
        ends = np.append(self._first_span, self._frozen.rows(Table.SPANS))
        places = TraceRows(rows=trace, first_span=first, span_count=ends[trace + 1] - first)
        found = cut_traces(places, self._take, self._owners)
        stats.inspected_bytes += found.nbytes
        return [found]

    def _take(self, table: Table, rows: npt.NDArray[np.int64]) -> pa.Table:
        """Copy rows of a table; of the large dictionaries of a head, the texts that they use."""
        names = self._frozen.schema(table).names
        start, stop = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
        return take_rows(self._frozen.columns(table, names, start, stop), rows - start, table)

    def _owners(self, table: Table) -> npt.NDArray[np.int64]:
        return _int64(self._frozen.columns(table, ["span"]), "span")

    def _rows_of(self, table: Table, chunk: Chunk) -> tuple[int, int]:
        if table is Table.SPANS:
            return chunk.first_span, chunk.first_span + chunk.spans
        if table is Table.TRACES:
            return chunk.first_trace, chunk.first_trace + chunk.traces
        assert table in (Table.EVENTS, Table.LINKS), f"table {table} has no chunks"
        return self._owned_rows(table, chunk.first_span, chunk.first_span + chunk.spans)

    def _owned_rows(self, table: Table, first: int, stop: int) -> tuple[int, int]:
        """Find the events or links of a range of spans."""
        owner = self._owners(table)
        begin, end = np.searchsorted(owner, [first, stop])
        return int(begin), int(end)


def _cut_chunks(
    first_span: npt.NDArray[np.int64], spans: int, spans_per_chunk: int
) -> tuple[Chunk, ...]:
    """Cut rows into chunks of whole traces that reach a size."""
    ends = np.append(first_span, spans)
    chunks: list[Chunk] = []
    trace = 0
    while trace < len(first_span):
        begin = int(ends[trace])
        stop = int(np.searchsorted(ends, begin + spans_per_chunk))
        stop = min(max(stop, trace + 1), len(first_span))
        chunks.append(
            Chunk(
                index=len(chunks),
                first_span=begin,
                spans=int(ends[stop]) - begin,
                first_trace=trace,
                traces=stop - trace,
            )
        )
        trace = stop
    return tuple(chunks)


def _int64(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    column = table.column(name).combine_chunks()
    numbers: npt.NDArray[np.int64] = column.view(pa.int64()).to_numpy()
    return numbers

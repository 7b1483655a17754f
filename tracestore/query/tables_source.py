"""Tables in memory as a source: what a merged trace, a test or a notebook is searched through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.codec.filters import BlockFilters
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.query.source import Chunk, ColumnStatistics
from tracestore.storage.block.cut import TraceRows, cut_traces, take_rows
from tracestore.storage.block.dictionaries import one_array

SPANS_PER_CHUNK = 65536


class TablesSource:
    """``SpanSource`` over ``SpanTables``. Immutable."""

    def __init__(
        self,
        tables: SpanTables,
        id: str,
        *,
        spans_per_chunk: int = SPANS_PER_CHUNK,
        is_live: bool = True,
    ) -> None:
        """Take the tables.

        Args:
            spans_per_chunk: a chunk ends with the trace that reaches this size.
            is_live: False counts it as a block in the statistics of a query.
        """
        self._tables = tables
        self._id = id
        self._is_live = is_live
        self._chunks = _cut_chunks(tables.traces, spans_per_chunk)
        starts = tables.traces["start_time"].combine_chunks().view(pa.int64()).to_numpy()
        ends = tables.traces["end_time"].combine_chunks().view(pa.int64()).to_numpy()
        self._start_ns = int(starts.view(np.uint64).min()) if len(starts) else 0
        self._end_ns = int(ends.view(np.uint64).max()) if len(ends) else 0

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
        return self._is_live

    @property
    def stored_bytes(self) -> int:
        return 0 if self._is_live else self._tables.nbytes

    def rows(self, table: Table) -> int:
        return int(self._tables.table(table).num_rows)

    def schema(self, table: Table) -> pa.Schema:
        return self._tables.table(table).schema

    def chunks(self) -> Sequence[Chunk]:
        return self._chunks

    def read(
        self, table: Table, columns: Sequence[str], chunk: Chunk | None, stats: QueryStats
    ) -> Sequence[pa.Array]:
        found = self._tables.table(table).select(list(columns))
        if chunk is not None:
            start, stop = self._rows_of(table, chunk)
            found = found.slice(start, stop - start)
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
        traces = self._tables.traces
        ids = traces["trace_id"].to_pylist()
        known = {trace_id: row for row, trace_id in enumerate(ids)}
        rows = np.array(sorted({known[one] for one in trace_ids if one in known}), np.int64)
        if len(rows) == 0:
            return []
        first_span, span_count = (
            traces[name].to_numpy()[rows].astype(np.int64) for name in ("first_span", "span_count")
        )
        places = TraceRows(rows=rows, first_span=first_span, span_count=span_count)
        found = cut_traces(places, self._take, self._owners)
        stats.inspected_bytes += found.nbytes
        return [found]

    def _take(self, table: Table, rows: npt.NDArray[np.int64]) -> pa.Table:
        return take_rows(self._tables.table(table), rows, table)

    def _owners(self, table: Table) -> npt.NDArray[np.int64]:
        owner: npt.NDArray[np.int64] = self._tables.table(table)["span"].to_numpy()
        return owner

    def _rows_of(self, table: Table, chunk: Chunk) -> tuple[int, int]:
        match table:
            case Table.SPANS:
                return chunk.first_span, chunk.first_span + chunk.spans
            case Table.TRACES:
                return chunk.first_trace, chunk.first_trace + chunk.traces
            case Table.EVENTS | Table.LINKS:
                span = self._tables.table(table)["span"].to_numpy()
                start, stop = np.searchsorted(
                    span, [chunk.first_span, chunk.first_span + chunk.spans]
                )
                return int(start), int(stop)
        raise AssertionError(f"table {table} has no chunks")


def _cut_chunks(traces: pa.Table, spans_per_chunk: int) -> tuple[Chunk, ...]:
    chunks: list[Chunk] = []
    first_span = first_trace = spans = 0
    counts = traces["span_count"].to_pylist()
    for trace, count in enumerate(counts):
        spans += count
        if spans >= spans_per_chunk or trace == len(counts) - 1:
            chunks.append(
                Chunk(
                    index=len(chunks),
                    first_span=first_span,
                    spans=spans,
                    first_trace=first_trace,
                    traces=trace + 1 - first_trace,
                )
            )
            first_span, first_trace, spans = first_span + spans, trace + 1, 0
    return tuple(chunks)

"""Tables in memory as a source: what a merged trace, a test or a notebook is searched through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.codec.filters import BlockFilters
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.query.source import Chunk, ColumnStatistics

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
    ) -> pa.Table:
        found = self._tables.table(table).select(list(columns))
        if chunk is not None:
            start, stop = self._rows_of(table, chunk)
            found = found.slice(start, stop - start)
        stats.inspected_bytes += found.nbytes
        return found.combine_chunks()

    def statistics(self, chunk: Chunk, column: str) -> ColumnStatistics | None:
        return None

    def filters(self, stats: QueryStats) -> BlockFilters | None:
        return None

    def find_trace(self, trace_id: bytes, stats: QueryStats) -> SpanTables | None:
        ids = self._tables.traces["trace_id"].to_pylist()
        if trace_id not in ids:
            return None
        found = one_trace(self._tables, ids.index(trace_id))
        stats.inspected_bytes += found.nbytes
        return found

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


def one_trace(tables: SpanTables, trace: int) -> SpanTables:
    """Cut the trace in row ``trace`` of ``traces`` out; row numbers begin at 0, resources stay."""
    row = tables.traces.slice(trace, 1)
    first = int(row["first_span"][0].as_py())
    count = int(row["span_count"][0].as_py())
    spans = tables.spans.slice(first, count)
    owned = {}
    for name in (Table.EVENTS, Table.LINKS):
        table = tables.table(name)
        start, stop = np.searchsorted(table["span"].to_numpy(), [first, first + count])
        owned[name.value] = _renumber(table.slice(int(start), int(stop - start)), "span", first)
    row = _renumber(_renumber(row, "first_span", first), "root_span", first)
    return SpanTables(
        spans=_renumber(spans, "trace", trace),
        traces=row,
        resources=tables.resources,
        scopes=tables.scopes,
        **owned,
    )


def _renumber(table: pa.Table, column: str, first: int) -> pa.Table:
    index = table.schema.get_field_index(column)
    field = table.schema.field(index)
    numbers = pc.subtract(table[column], pa.scalar(first, field.type))
    return table.set_column(index, field, numbers)

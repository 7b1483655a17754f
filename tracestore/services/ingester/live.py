"""Live tables: the decoded spans of a head as a ``SpanSource``, like any block.

A frozen view is immutable; the head makes a new one when it has grown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.codec.filters import BlockFilters
from tracestore.kernel import FrozenSpans
from tracestore.model.results import QueryStats
from tracestore.model.tables import FIXED_SCHEMA, SpanTables, Table
from tracestore.query.source import Chunk, ColumnStatistics
from tracestore.storage.block.dictionaries import compact_texts, one_array

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
    ) -> pa.Table:
        if chunk is None:
            found = self._frozen.columns(table, columns)
        else:
            start, stop = self._rows_of(table, chunk)
            found = self._frozen.columns(table, columns, start, stop)
        stats.inspected_bytes += found.nbytes
        return found

    def statistics(self, chunk: Chunk, column: str) -> ColumnStatistics | None:
        return None

    def filters(self, stats: QueryStats) -> BlockFilters | None:
        return None

    def find_trace(self, trace_id: bytes, stats: QueryStats) -> SpanTables | None:
        trace = self._frozen.find_trace(trace_id)
        if trace is None:
            return None
        first = int(self._first_span[trace])
        stop = self._end_of(trace)
        tables = {
            Table.SPANS: self._all_columns(Table.SPANS, first, stop),
            Table.TRACES: self._all_columns(Table.TRACES, trace, trace + 1),
            Table.RESOURCES: self._all_columns(Table.RESOURCES),
            Table.SCOPES: self._all_columns(Table.SCOPES),
        }
        tables[Table.SPANS] = _renumber(tables[Table.SPANS], "trace", trace)
        for column in ("first_span", "root_span"):
            tables[Table.TRACES] = _renumber(tables[Table.TRACES], column, first)
        for table in (Table.EVENTS, Table.LINKS):
            rows = self._all_columns(table, *self._owned_rows(table, first, stop))
            tables[table] = _renumber(rows, "span", first)
        found = SpanTables(**{table.value: rows for table, rows in tables.items()})
        stats.inspected_bytes += found.nbytes
        return found

    def _all_columns(self, table: Table, start: int = 0, stop: int | None = None) -> pa.Table:
        """Copy rows of a table: the fixed columns, and what else has a value in one of them.

        The dictionaries of a head are large; a trace takes along only the texts that it uses.
        """
        schema = self._frozen.schema(table)
        rows = self._frozen.columns(table, schema.names, start, stop)
        fixed = FIXED_SCHEMA[table].names
        arrays, fields = [], []
        for field, column in zip(schema, rows.columns, strict=True):
            if field.name not in fixed and column.null_count == len(column):
                continue
            array = one_array(column)
            is_text = pa.types.is_dictionary(array.type)
            arrays.append(compact_texts(array).array if is_text else array)
            fields.append(field)
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    def _end_of(self, trace: int) -> int:
        if trace + 1 < len(self._first_span):
            return int(self._first_span[trace + 1])
        return self._frozen.rows(Table.SPANS)

    def _rows_of(self, table: Table, chunk: Chunk) -> tuple[int, int]:
        if table is Table.SPANS:
            return chunk.first_span, chunk.first_span + chunk.spans
        if table is Table.TRACES:
            return chunk.first_trace, chunk.first_trace + chunk.traces
        assert table in (Table.EVENTS, Table.LINKS), f"table {table} has no chunks"
        return self._owned_rows(table, chunk.first_span, chunk.first_span + chunk.spans)

    def _owned_rows(self, table: Table, first: int, stop: int) -> tuple[int, int]:
        """Find the events or links of a range of spans."""
        owner = _int64(self._frozen.columns(table, ["span"]), "span")
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


def _renumber(table: pa.Table, column: str, first: int) -> pa.Table:
    """Count a column of row numbers from ``first``."""
    index = table.schema.get_field_index(column)
    field = table.schema.field(index)
    numbers = pc.subtract(table.column(index), pa.scalar(first, field.type))
    return table.set_column(index, field, numbers)

"""A trace by its ID: the filter, a binary search in ``traces``, then its rows and nothing else."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.errors import CorruptionError
from tracestore.model.results import QueryStats
from tracestore.model.tables import FIXED_SCHEMA, SpanTables, Table
from tracestore.storage.block.dictionaries import compact_texts, one_array
from tracestore.storage.block.footer import TableFooter
from tracestore.storage.block.reader import BlockReader

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a trace is: row group, row of ``traces`` in it, rows of ``spans`` in the block."""

    row_group: int
    row: int
    first_span: int
    spans: int


def find_trace(reader: BlockReader, trace_id: bytes, stats: QueryStats) -> SpanTables | None:
    """Get one trace as tables of its own: rows from 0, without the columns that it does not use.

    Raises: NotFoundError, CorruptionError if the block is damaged.
    Cost: the filter is enough for nearly all traces that are not there; else the columns of one row
        group, which come from the cache the next time.
    """
    place = _locate(reader, trace_id, stats)
    return None if place is None else _extract(reader, place, stats)


def _locate(reader: BlockReader, trace_id: bytes, stats: QueryStats) -> _Place | None:
    if not reader.filters(stats).may_contain_trace(trace_id):
        return None
    footer = reader.footer(Table.TRACES)
    row_group = bisect.bisect_left(
        range(footer.row_groups), trace_id, key=lambda group: _last_trace_id(footer, group)
    )
    if row_group == footer.row_groups:
        return None
    names = ["trace_id", "first_span", "span_count"]
    traces = reader.columns(Table.TRACES, names, row_group, stats)
    ids = traces.column("trace_id").chunk(0)
    row = bisect.bisect_left(range(len(ids)), trace_id, key=lambda at: ids[at].as_py())
    if row == len(ids) or ids[row].as_py() != trace_id:
        return None
    first_span, spans = (traces.column(name)[row].as_py() for name in names[1:])
    return _Place(row_group, row, first_span, spans)


def _last_trace_id(footer: TableFooter, row_group: int) -> bytes:
    bounds = footer.bounds(row_group, "trace_id")
    if bounds is None or not isinstance(bounds.maximum, bytes):
        raise CorruptionError("trace IDs have no bounds", key=footer.key)
    return bounds.maximum


def _extract(reader: BlockReader, place: _Place, stats: QueryStats) -> SpanTables:
    first = place.first_span - reader.footer(Table.SPANS).first_row[place.row_group]
    spans = _rows(
        reader, Table.SPANS, place.row_group, np.arange(first, first + place.spans), stats
    )
    resources, resource = _renumber(spans.column("resource"))
    scopes, scope = _renumber(spans.column("scope"))
    spans = _replace(spans, "trace", np.zeros(place.spans, np.int64))
    spans = _replace(_replace(spans, "resource", resource), "scope", scope)
    traces = _rows(reader, Table.TRACES, place.row_group, np.array([place.row]), stats)
    root = traces.column("root_span")[0].as_py()
    traces = _replace(traces, "first_span", np.zeros(1, np.int64))
    if root is not None:
        traces = _replace(traces, "root_span", np.array([root - place.first_span]))
    return SpanTables(
        spans=spans,
        events=_owned(reader, Table.EVENTS, place, stats),
        links=_owned(reader, Table.LINKS, place, stats),
        traces=traces,
        resources=_rows(reader, Table.RESOURCES, 0, resources, stats),
        scopes=_rows(reader, Table.SCOPES, 0, scopes, stats),
    )


def _owned(reader: BlockReader, table: Table, place: _Place, stats: QueryStats) -> pa.Table:
    """Get the events or links of the trace."""
    owner = reader.columns(table, ["span"], place.row_group, stats).column(0).to_numpy()
    start, stop = np.searchsorted(owner, [place.first_span, place.first_span + place.spans])
    rows = _rows(reader, table, place.row_group, np.arange(start, stop), stats)
    return _replace(rows, "span", owner[start:stop] - place.first_span)


def _rows(
    reader: BlockReader, table: Table, row_group: int, rows: Rows, stats: QueryStats
) -> pa.Table:
    """Copy rows of a row group: all fixed columns, and what else has a value in one of them."""
    footer = reader.footer(table)
    fixed = FIXED_SCHEMA[table].names
    if len(rows) == 0:
        return pa.schema([footer.schema.field(name) for name in fixed]).empty_table()
    nulls = reader.null_columns(table, row_group)
    names = [n for n in footer.schema.names if n in fixed or n not in nulls]
    near = reader.columns(table, names, row_group, stats).slice(rows[0], rows[-1] - rows[0] + 1)
    taken = near.select(_with_values(near, fixed)).take(pa.array(rows - rows[0]))
    kept = _with_values(taken, fixed)
    arrays = [_own(one_array(taken.column(name))) for name in kept]
    return pa.Table.from_arrays(arrays, schema=pa.schema([footer.schema.field(n) for n in kept]))


def _with_values(table: pa.Table, fixed: list[str]) -> list[str]:
    """Name the fixed columns, and the others that are not null in all rows."""
    rows = len(table)
    columns = zip(table.column_names, table.columns, strict=True)
    return [name for name, column in columns if name in fixed or column.null_count < rows]


def _own(array: pa.Array) -> pa.Array:
    return compact_texts(array).array if pa.types.is_dictionary(array.type) else array


def _renumber(column: pa.ChunkedArray) -> tuple[Rows, Rows]:
    """Get the distinct row numbers of a column, ascending, and the column in terms of them."""
    used, numbers = np.unique(column.to_numpy(), return_inverse=True)
    return used.astype(np.int64), numbers.astype(np.int64)


def _replace(table: pa.Table, name: str, numbers: Rows) -> pa.Table:
    position = table.schema.get_field_index(name)
    field = table.schema.field(position)
    return table.set_column(position, field, pa.array(numbers).cast(field.type))

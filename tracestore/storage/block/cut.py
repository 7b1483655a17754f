"""Cuts whole traces out of the six tables: rows of their own, without columns they do not use.

Blocks and live tables give out traces with it, any number at once, in one pass over each column.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.model.tables import FIXED_SCHEMA, SpanTables, Table
from tracestore.storage.block.dictionaries import compact_texts, one_array

DICTIONARY_MAX = 64
"""Entries of a dictionary that is taken along whole: cheaper than to look which are used."""
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRows:
    """Where traces lie in a source or in one row group of it."""

    rows: Rows
    """(K,) rows of ``traces``, ascending."""
    first_span: Rows
    """(K,) row of ``spans`` where each begins."""
    span_count: Rows
    """(K,)"""

    def __len__(self) -> int:
        return len(self.rows)


def cut_traces(
    places: TraceRows,
    take: Callable[[Table, Rows], pa.Table],
    owners: Callable[[Table], Rows],
) -> SpanTables:
    """Copy traces into tables of their own: rows from 0, resources and scopes that they use.

    Args:
        places: at least one trace.
        take: copies rows of a table; ``take_rows`` does it for tables in memory.
        owners: the span row of each event or link, ascending.
    """
    assert len(places)
    first = np.cumsum(places.span_count) - places.span_count
    moved = places.first_span - first
    spans = take(Table.SPANS, ranges(places.first_span, places.span_count))
    resources, resource = _renumber(spans.column("resource"))
    scopes, scope = _renumber(spans.column("scope"))
    trace = np.repeat(np.arange(len(places)), places.span_count)
    for name, numbers in (("trace", trace), ("resource", resource), ("scope", scope)):
        spans = _replace(spans, name, pa.array(numbers))
    traces = _replace(take(Table.TRACES, places.rows), "first_span", pa.array(first))
    root = pc.subtract(traces.column("root_span").cast(pa.int64()), pa.array(moved))
    return SpanTables(
        spans=spans,
        traces=_replace(traces, "root_span", root),
        resources=take(Table.RESOURCES, resources),
        scopes=take(Table.SCOPES, scopes),
        events=_cut_owned(Table.EVENTS, places, moved, take, owners),
        links=_cut_owned(Table.LINKS, places, moved, take, owners),
    )


def _cut_owned(
    table: Table,
    places: TraceRows,
    moved: Rows,
    take: Callable[[Table, Rows], pa.Table],
    owners: Callable[[Table], Rows],
) -> pa.Table:
    """Copy the events or links of the traces."""
    owner = owners(table)
    begin = np.searchsorted(owner, places.first_span)
    counts = np.searchsorted(owner, places.first_span + places.span_count) - begin
    rows = ranges(begin, counts)
    return _replace(take(table, rows), "span", pa.array(owner[rows] - np.repeat(moved, counts)))


def ranges(first: Rows, counts: Rows) -> Rows:
    """Write ranges out one after the other: ``first[i]`` to ``first[i] + counts[i]``."""
    if len(first) == 1:
        return np.arange(first[0], first[0] + counts[0], dtype=np.int64)
    starts = np.cumsum(counts) - counts
    moved: Rows = np.repeat(first - starts, counts)
    moved += np.arange(len(moved))
    return moved


def take_rows(near: pa.Table, rows: Rows, table: Table) -> pa.Table:
    """Copy rows of a table: all fixed columns, and what else has a value in one of them.

    Args:
        rows: ascending.
    """
    fixed = FIXED_SCHEMA[table].names
    if len(rows) == 0:
        return near.select(fixed).schema.empty_table()
    taken = near.slice(rows[0], rows[-1] - rows[0] + 1)
    if len(taken) > len(rows):
        taken = taken.take(pa.array(rows - rows[0]))
    fields, arrays = [], []
    for field, column in zip(near.schema, taken.columns, strict=True):
        if column.null_count < len(rows) or field.name in fixed:
            fields.append(field)
            arrays.append(_own(one_array(column)))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _own(array: pa.Array) -> pa.Array:
    """Leave the rest of a large dictionary behind."""
    if not pa.types.is_dictionary(array.type) or len(array.dictionary) <= DICTIONARY_MAX:
        return array
    return compact_texts(array).array


def _renumber(column: pa.ChunkedArray) -> tuple[Rows, Rows]:
    """Get the distinct row numbers of a column, ascending, and the column in terms of them."""
    used, numbers = np.unique(column.to_numpy(), return_inverse=True)
    return used.astype(np.int64), numbers.astype(np.int64)


def _replace(table: pa.Table, name: str, numbers: pa.Array) -> pa.Table:
    position = table.schema.get_field_index(name)
    field = table.schema.field(position)
    return table.set_column(position, field, numbers.cast(field.type))

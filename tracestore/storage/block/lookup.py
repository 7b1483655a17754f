"""Traces by their IDs: the filter, a search in ``traces``, then their rows and nothing else."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.codec.filters import hash_trace_ids
from tracestore.errors import CorruptionError
from tracestore.model.results import QueryStats
from tracestore.model.tables import FIXED_SCHEMA, SpanTables, Table
from tracestore.storage.block.cut import Rows, TraceRows, cut_traces, take_rows
from tracestore.storage.block.footer import TableFooter
from tracestore.storage.block.reader import BlockReader

ID_BYTES = 16


def find_traces(
    reader: BlockReader, trace_ids: Sequence[bytes], stats: QueryStats
) -> list[SpanTables]:
    """Get traces as tables of their own: rows from 0, without the columns that they do not use.

    Returns: tables of those that are there, one for each row group that has some.
    Raises: NotFoundError, CorruptionError if the block is damaged.
    Cost: the filter is enough for nearly all traces that are not there; else the columns of a row
        group, which come from the cache the next time.
    """
    ids = np.array(sorted(set(trace_ids)), f"S{ID_BYTES}")
    if len(ids):
        ids = ids[reader.filters(stats).may_contain_traces(hash_trace_ids(ids))]
    if len(ids) == 0:
        return []
    footer = reader.footer(Table.TRACES)
    last = [_last_trace_id(footer, group) for group in range(footer.row_groups)]
    groups: dict[int, list[int]] = {}
    for place, trace_id in enumerate(ids.tolist()):
        group = bisect.bisect_left(last, trace_id.ljust(ID_BYTES, b"\0"))
        groups.setdefault(group, []).append(place)
    found = []
    for group, wanted in groups.items():
        if group < footer.row_groups:
            places = _locate(reader, group, ids[wanted], stats)
            if len(places):
                found.append(extract_traces(reader, group, places, stats))
    return found


def find_trace(reader: BlockReader, trace_id: bytes, stats: QueryStats) -> SpanTables | None:
    """Get one trace, or None. Raises: as ``find_traces``."""
    found = find_traces(reader, [trace_id], stats)
    return found[0] if found else None


def _last_trace_id(footer: TableFooter, row_group: int) -> bytes:
    bounds = footer.bounds(row_group, "trace_id")
    if bounds is None or not isinstance(bounds.maximum, bytes):
        raise CorruptionError("trace IDs have no bounds", key=footer.key)
    return bounds.maximum


def _locate(
    reader: BlockReader, group: int, wanted: npt.NDArray[np.bytes_], stats: QueryStats
) -> TraceRows:
    """Find traces in a row group. Args: wanted: (K,) IDs as S16, ascending."""
    names = ["trace_id", "first_span", "span_count"]
    traces = reader.columns(Table.TRACES, names, group, stats)
    column = traces.column("trace_id").chunk(0)
    ids = np.frombuffer(column.buffers()[1], f"S{ID_BYTES}")[column.offset :][: len(column)]
    rows = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    rows = rows[ids[rows] == wanted].astype(np.int64)
    first_span, span_count = (
        traces.column(name).to_numpy()[rows].astype(np.int64) for name in names[1:]
    )
    return TraceRows(rows=rows, first_span=first_span, span_count=span_count)


def extract_traces(
    reader: BlockReader, group: int, places: TraceRows, stats: QueryStats
) -> SpanTables:
    """Copy traces of one row group into tables of their own. Raises: as ``find_traces``."""
    base = reader.footer(Table.SPANS).first_row[group]

    def take(table: Table, rows: Rows) -> pa.Table:
        if table is Table.SPANS:
            rows = rows - base
        row_group = 0 if table in (Table.RESOURCES, Table.SCOPES) else group
        return _rows(reader, table, row_group, rows, stats)

    def owners(table: Table) -> Rows:
        column = reader.columns(table, ["span"], group, stats).column(0)
        owner: Rows = column.to_numpy()
        return owner

    return cut_traces(places, take, owners)


def _rows(
    reader: BlockReader, table: Table, row_group: int, rows: Rows, stats: QueryStats
) -> pa.Table:
    footer = reader.footer(table)
    fixed = FIXED_SCHEMA[table].names
    if len(rows) == 0:
        return pa.schema([footer.schema.field(name) for name in fixed]).empty_table()
    nulls = reader.null_columns(table, row_group)
    names = [n for n in footer.schema.names if n in fixed or n not in nulls]
    return take_rows(reader.columns(table, names, row_group, stats), rows, table)

"""Tables without some of their traces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.model.tables import SpanTables, Table

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


def leave_out(tables: SpanTables, stays: Mask) -> SpanTables:
    """Keep some traces, with rows from 0. Resources and scopes stay as they are.

    Args:
        stays: (T,) which traces stay; at least one.
    """
    counts = tables.traces["span_count"].to_numpy()
    rows = np.repeat(stays, counts)
    moved = np.cumsum(rows) - 1
    spans = tables.spans.filter(pa.array(rows))
    traces = tables.traces.filter(pa.array(stays))
    numbers = np.repeat(np.arange(int(stays.sum())), counts[stays])
    roots = traces["root_span"]
    root_rows = moved[roots.fill_null(0).to_numpy()]
    return SpanTables(
        spans=_replace(spans, "trace", pa.array(numbers)),
        events=_owned(tables.events, rows, moved),
        links=_owned(tables.links, rows, moved),
        traces=_replace(
            _replace(traces, "first_span", pa.array(moved[traces["first_span"].to_numpy()])),
            "root_span",
            pc.if_else(roots.is_valid(), pa.array(root_rows), pa.scalar(None, pa.int64())),
        ),
        resources=tables.table(Table.RESOURCES),
        scopes=tables.table(Table.SCOPES),
    )


def _owned(table: pa.Table, rows: Mask, moved: Rows) -> pa.Table:
    """Keep the events or links of the spans that stay."""
    owners = table["span"].to_numpy()
    mine = rows[owners]
    return _replace(table.filter(pa.array(mine)), "span", pa.array(moved[owners[mine]]))


def _replace(table: pa.Table, name: str, numbers: pa.Array) -> pa.Table:
    place = table.schema.get_field_index(name)
    field = table.schema.field(place)
    return table.set_column(place, field, numbers.cast(field.type))

"""Tables of many sources -> few, so that what has a price per column is paid once.

The result is good for encoding and nothing else: spans, events and links point to their owners,
but traces are not told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from tracestore.model.tables import SpanTables, Table

_POINTERS = (
    (Table.SPANS, "resource", Table.RESOURCES),
    (Table.SPANS, "scope", Table.SCOPES),
    (Table.EVENTS, "span", Table.SPANS),
    (Table.LINKS, "span", Table.SPANS),
)
_Columns = dict[tuple[Table, str], pa.Field]


def append_alike(fragments: Sequence[SpanTables]) -> Iterator[SpanTables]:
    """Append tables whose columns mean the same, in order.

    A name may stand for another type of an attribute in another source: a new run begins there.
    """
    run: list[SpanTables] = []
    known: _Columns = {}
    for fragment in fragments:
        columns = {(table, f.name): f for table in Table for f in fragment.table(table).schema}
        if any(
            (before := known.get(name)) is not None and not before.equals(field, True)
            for name, field in columns.items()
        ):
            yield _append(run)
            run, known = [], {}
        run.append(fragment)
        known |= columns
    if run:
        yield _append(run)


def _append(run: Sequence[SpanTables]) -> SpanTables:
    if len(run) == 1:
        return run[0]
    joined = {
        table: pa.concat_tables([one.table(table) for one in run], promote_options="default")
        for table in Table
    }
    for table, column, owner in _POINTERS:
        counts = [one.table(table).num_rows for one in run]
        sizes = [one.table(owner).num_rows for one in run]
        place = joined[table].schema.get_field_index(column)
        field = joined[table].schema.field(place)
        moved = joined[table].column(place).to_numpy() + np.repeat(np.cumsum(sizes) - sizes, counts)
        joined[table] = joined[table].set_column(place, field, pa.array(moved, field.type))
    return SpanTables(**{table.value: rows for table, rows in joined.items()})

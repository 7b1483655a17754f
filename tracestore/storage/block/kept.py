"""Some traces of six tables as a block is written from: the rest is left out, weights are added.

Rows count from 0 again, resources and scopes are those that a span uses, and an attribute that only
the others had has no column. Columns are made when they are asked for, like those of a frozen head.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.model.tables import (
    FIXED_SCHEMA,
    SAMPLING_WEIGHT,
    SCOPE_OF_TABLE,
    Table,
    overflow_name,
)
from tracestore.storage.block.dictionaries import one_array
from tracestore.storage.block.table_reader import TableReader

Rows = npt.NDArray[np.int64]
_SMALL = {"resource": Table.RESOURCES, "scope": Table.SCOPES}
"""Columns of ``spans`` that are rows of a small table."""


class KeptTraces:
    """``TableReader`` over the traces of another one that have a weight."""

    def __init__(self, reader: TableReader, weights: npt.NDArray[np.float64]) -> None:
        """Take (T,) the weights of all traces, 0: left out; one at least is kept.

        Cost: three columns of ``spans``, and those of attributes once, to see which are used.
        """
        self._reader = reader
        self._all = bool((weights > 0).all())
        kept = np.flatnonzero(weights > 0)
        assert len(kept)
        self._weights = weights[kept] if (weights[kept] != 1).any() else None
        self._rows: dict[Table, Rows] = {}
        self._numbers: dict[Table, Rows] = {}
        self._schemas: dict[Table, pa.Schema] = {}
        if not self._all:
            self._choose(weights > 0, kept)

    def _choose(self, stays: npt.NDArray[np.bool_], kept: Rows) -> None:
        """Find the rows that are kept, and the new number of each row of spans and small tables."""
        first = self._column(Table.TRACES, "first_span")
        counts = np.diff(np.append(first, self._reader.rows(Table.SPANS)))
        spans = np.repeat(stays, counts)
        self._rows = {Table.TRACES: kept, Table.SPANS: np.flatnonzero(spans)}
        self._numbers = {Table.TRACES: np.cumsum(stays) - 1, Table.SPANS: np.cumsum(spans) - 1}
        for table in (Table.EVENTS, Table.LINKS):
            self._rows[table] = np.flatnonzero(spans[self._column(table, "span")])
        for name, table in _SMALL.items():
            used = np.zeros(self._reader.rows(table), np.bool_)
            used[self._column(Table.SPANS, name)[spans]] = True
            self._rows[table] = np.flatnonzero(used)
            self._numbers[table] = np.cumsum(used) - 1

    def _column(self, table: Table, name: str) -> Rows:
        column = self._reader.columns(table, [name]).column(0)
        numbers: Rows = column.cast(pa.int64()).to_numpy()
        return numbers

    def rows(self, table: Table) -> int:
        """Count the rows of a table."""
        return self._reader.rows(table) if self._all else len(self._rows[table])

    def schema(self, table: Table) -> pa.Schema:
        """Get the schema of a table: without the attributes that no row has."""
        if table not in self._schemas:
            schema = self._reader.schema(table)
            if not self._all:
                schema = pa.schema([field for field in schema if self._is_used(table, field)])
            if table is Table.TRACES and self._weights is not None:
                schema = schema.append(SAMPLING_WEIGHT)
            self._schemas[table] = schema
        return self._schemas[table]

    def _is_used(self, table: Table, field: pa.Field) -> bool:
        if field.name in FIXED_SCHEMA[table].names:
            return True
        column = self._reader.columns(table, [field.name]).column(0)
        there = column.is_valid().to_numpy()
        if table in SCOPE_OF_TABLE and field.name == overflow_name(SCOPE_OF_TABLE[table]):
            there = pc.list_value_length(column).fill_null(0).to_numpy() > 0
        return bool(there[self._rows[table]].any())

    def columns(
        self, table: Table, names: Sequence[str], start: int = 0, stop: int | None = None
    ) -> pa.Table:
        """Get columns, rows ``start`` to ``stop``."""
        stop = self.rows(table) if stop is None else stop
        others = [name for name in names if name != SAMPLING_WEIGHT.name]
        found = self._taken(table, others, start, stop)
        if len(others) < len(names):
            assert self._weights is not None
            weights = pa.array(self._weights[start:stop], pa.float64())
            found = found.append_column(SAMPLING_WEIGHT, weights).select(list(names))
        return found

    def _taken(self, table: Table, names: Sequence[str], start: int, stop: int) -> pa.Table:
        if self._all:
            return self._reader.columns(table, names, start, stop)
        rows = self._rows[table][start:stop]
        if len(rows) == 0:
            return self._reader.columns(table, names, 0, 0)
        first = int(rows[0])
        near = self._reader.columns(table, names, first, int(rows[-1]) + 1)
        taken = near if len(near) == len(rows) else near.take(pa.array(rows - first))
        for place, name in enumerate(taken.schema.names):
            if (owner := _OWNERS.get((table, name))) is not None:
                taken = taken.set_column(
                    place, taken.schema.field(place), self._moved(taken.column(place), owner)
                )
        return taken

    def _moved(self, column: pa.ChunkedArray, owner: Table) -> pa.Array:
        """Give rows of another table the numbers that they have now; nulls stay."""
        array = one_array(column)
        numbers = self._numbers[owner][array.fill_null(0).to_numpy().astype(np.int64)]
        moved = pa.array(numbers, pa.int64(), mask=~array.is_valid().to_numpy(False))
        return moved.cast(array.type)


_OWNERS = {
    (Table.SPANS, "trace"): Table.TRACES,
    (Table.SPANS, "resource"): Table.RESOURCES,
    (Table.SPANS, "scope"): Table.SCOPES,
    (Table.EVENTS, "span"): Table.SPANS,
    (Table.LINKS, "span"): Table.SPANS,
    (Table.TRACES, "first_span"): Table.SPANS,
    (Table.TRACES, "root_span"): Table.SPANS,
}
"""Columns that are rows of another table."""

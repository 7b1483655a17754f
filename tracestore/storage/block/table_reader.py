"""What a block is written from: six tables that are read a range of rows at a time.

The frozen head of an ingester is one by itself, ``SpanTablesReader`` makes one of tables in memory,
a compaction one of the blocks that it merges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from tracestore.model.tables import SpanTables, Table


class TableReader(Protocol):
    """Six tables of whole traces, in the order that ``SpanTables`` asks for."""

    def rows(self, table: Table) -> int:
        """Count the rows of a table."""

    def schema(self, table: Table) -> pa.Schema:
        """Get the schema of a table, metadata of attribute columns included."""

    def columns(
        self, table: Table, names: Sequence[str], start: int = 0, stop: int | None = None
    ) -> pa.Table:
        """Get columns, rows ``start`` to ``stop``. The writer asks in ascending order of rows."""


class SpanTablesReader:
    """``SpanTables`` as a ``TableReader``."""

    def __init__(self, tables: SpanTables) -> None:
        self._tables = tables

    def rows(self, table: Table) -> int:
        return len(self._tables.table(table))

    def schema(self, table: Table) -> pa.Schema:
        return self._tables.table(table).schema

    def columns(
        self, table: Table, names: Sequence[str], start: int = 0, stop: int | None = None
    ) -> pa.Table:
        length = None if stop is None else stop - start
        return self._tables.table(table).select(list(names)).slice(start, length)

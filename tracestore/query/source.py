"""What a query reads from: a block or live tables, as column chunks that end with a trace.

A source is immutable: it gives the same answer however often it is asked. Chunks partition the
rows of ``spans`` (and with them ``traces``, ``events`` and ``links``) so that no trace is in two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from tracestore.codec.filters import BlockFilters
from tracestore.model.chunk import Chunk as Chunk
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnStatistics:
    """Bounds of one column of one chunk, as Parquet keeps them; ``None`` where unknown."""

    minimum: object | None
    maximum: object | None
    null_count: int | None


class SpanSource(Protocol):
    """A block or a snapshot of live tables."""

    @property
    def id(self) -> str:
        """Block ID; a live head has the ID of the block that it will become."""

    @property
    def start_ns(self) -> int:
        """Earliest span start."""

    @property
    def end_ns(self) -> int:
        """Latest span end."""

    @property
    def is_live(self) -> bool:
        """Whether these are live tables."""

    @property
    def stored_bytes(self) -> int:
        """Size in the bucket; 0 for live tables."""

    def rows(self, table: Table) -> int:
        """Count the rows of a table."""

    def schema(self, table: Table) -> pa.Schema:
        """Get the schema of a table, metadata of attribute columns included."""

    def chunks(self) -> Sequence[Chunk]:
        """Get the chunks in row order; together they are all spans."""

    def read(
        self, table: Table, columns: Sequence[str], chunk: Chunk | None, stats: QueryStats
    ) -> Sequence[pa.Array]:
        """Read columns of one chunk (``None``: of the whole table).

        Texts come as dictionary<int32, string>, so that a condition is evaluated once per entry; no
        entry is there twice.
        Row numbers in the columns (``first_span``, ``span`` …) are those of the whole table.
        ``stats.inspected_bytes`` grows by what was read.
        """

    def statistics(self, chunk: Chunk, column: str) -> ColumnStatistics | None:
        """Get the bounds of a ``spans`` column in a chunk, if the source knows them."""

    def filters(self, stats: QueryStats) -> BlockFilters | None:
        """Get the proofs of absence, if the source has any."""

    def find_trace(self, trace_id: bytes, stats: QueryStats) -> SpanTables | None:
        """Get one trace as tables of its own (rows renumbered from 0), or None."""

    def find_traces(self, trace_ids: Sequence[bytes], stats: QueryStats) -> list[SpanTables]:
        """Get traces in one pass over the columns: those that are there, in any number of tables.

        Whole traces in each, rows renumbered from 0.
        """

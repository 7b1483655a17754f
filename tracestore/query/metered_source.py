"""A source that tells what is read of it, keeps to the bounds of the query, and names its failures.

Every read passes here: a cancelled query stops, one that reads too much is refused, an object that
cannot be read makes the source known as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import pyarrow as pa

from tracestore.codec.filters import BlockFilters
from tracestore.errors import (
    CorruptionError,
    NotFoundError,
    UnavailableError,
    UnreachableError,
)
from tracestore.model.results import ColumnReads, Explanation, QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.query.control import QueryControl
from tracestore.query.source import Chunk, ColumnStatistics, SpanSource

T = TypeVar("T")


class MeteredSource:
    """``SpanSource`` over another one, for one query. Raises what ``QueryControl`` does, too."""

    def __init__(
        self, source: SpanSource, control: QueryControl, explanation: Explanation | None
    ) -> None:
        self._source = source
        self._control = control
        self._explanation = explanation
        self._chunks_read: set[int] = set()
        self.id = source.id
        self.start_ns = source.start_ns
        self.end_ns = source.end_ns
        self.is_live = source.is_live
        self.stored_bytes = source.stored_bytes
        self.has_failed = False
        """Whether something could not be read."""

    def rows(self, table: Table) -> int:
        return self._source.rows(table)

    def schema(self, table: Table) -> pa.Schema:
        return self._guard(lambda: self._source.schema(table))

    def chunks(self) -> Sequence[Chunk]:
        return self._guard(self._source.chunks)

    def read(
        self, table: Table, columns: Sequence[str], chunk: Chunk | None, stats: QueryStats
    ) -> Sequence[pa.Array]:
        self._control.check()
        before = stats.inspected_bytes
        found = self._guard(lambda: self._source.read(table, columns, chunk, stats))
        self._control.check_bytes(stats.inspected_bytes)
        if self._explanation is not None:
            self._note(self._explanation, table, columns, chunk, stats.inspected_bytes - before)
        return found

    def statistics(self, chunk: Chunk, column: str) -> ColumnStatistics | None:
        return self._guard(lambda: self._source.statistics(chunk, column))

    def filters(self, stats: QueryStats) -> BlockFilters | None:
        return self._guard(lambda: self._source.filters(stats))

    def find_trace(self, trace_id: bytes, stats: QueryStats) -> SpanTables | None:
        return self._guard(lambda: self._source.find_trace(trace_id, stats))

    def find_traces(self, trace_ids: Sequence[bytes], stats: QueryStats) -> list[SpanTables]:
        self._control.check()
        found = self._guard(lambda: self._source.find_traces(trace_ids, stats))
        self._control.check_bytes(stats.inspected_bytes)
        return found

    def _note(
        self,
        explanation: Explanation,
        table: Table,
        columns: Sequence[str],
        chunk: Chunk | None,
        size: int,
    ) -> None:
        """Write down a read; the bytes of several columns are shared out evenly."""
        for column in columns:
            reads = explanation.columns.setdefault((table.value, column), ColumnReads())
            reads.reads += 1
            reads.bytes += size // len(columns)
        if chunk is not None and chunk.index not in self._chunks_read:
            self._chunks_read.add(chunk.index)
            explanation.chunks_read += 1

    def _guard(self, read: Callable[[], T]) -> T:
        """Read, or say which block it was that could not be read.

        Raises: CorruptionError; UnavailableError, which an object that is gone is, too: it may have
        been deleted since the block list was read.
        """
        try:
            return read()
        except CorruptionError as error:
            self.has_failed = True
            if self.id in str(error):
                raise
            raise CorruptionError(
                f"block {self.id} cannot be read ({error})", key=error.key
            ) from error
        except UnreachableError as error:
            self.has_failed = True
            raise UnreachableError(f"live tables {self.id} cannot be read: {error}") from error
        except (NotFoundError, UnavailableError) as error:
            self.has_failed = True
            raise UnavailableError(f"block {self.id} cannot be read: {error}") from error

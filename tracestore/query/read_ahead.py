"""Reads of blocks in a bucket before they are asked for.

A query goes from block to block and, in a block, from chunk to chunk, and asks much the same of
each. What it asked of the last two it will most likely ask of the next ones: that is read for some
of them at once, in other threads, into the memory that all blocks share. The more often it was so,
the further ahead; if it turns out otherwise the counting begins anew. So what is read in vain is
about as much as what was read at all, at most, and a query that looks at one block reads nothing
ahead.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from tracestore.codec.filters import BlockFilters
from tracestore.errors import TracestoreError
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.query.block_source import BlockSource
from tracestore.query.source import Chunk, ColumnStatistics

log = logging.getLogger(__name__)

GAP_MAX = 2
"""Blocks that may lie between two that are asked in turn, plus one: some are left out by time."""


@dataclass(frozen=True, slots=True)
class _Filters:
    """The filters of a block."""


@dataclass(frozen=True, slots=True)
class _Footer:
    """The footer of a table."""

    table: Table


@dataclass(frozen=True, slots=True)
class _Column:
    """A column, of a chunk or of the whole table."""

    table: Table
    name: str
    of_chunk: bool


_Want: TypeAlias = _Filters | _Footer | _Column
_Place: TypeAlias = tuple[int, int]
"""Number of a block in the order of the query, and of a chunk in it."""


class ReadAhead:
    """Watches one query. Thread-safe.

    Args:
        executor: runs the reads; its threads may be shared by all queries.
        blocks_max: how far ahead reads may be.
    """

    def __init__(
        self, blocks: Sequence[BlockSource], executor: Executor, *, blocks_max: int
    ) -> None:
        self._blocks = blocks
        self._executor = executor
        self._blocks_max = blocks_max
        self._lock = threading.Lock()
        self._is_over = False
        self._place: _Place = (-1, 0)
        self._wants: dict[_Want, None] = {}
        """What has been asked at this place."""
        self._before: frozenset[_Want] = frozenset()
        """What was asked at the last place."""
        self._forwards = True
        """Whether the query goes from the first to the last block, or the other way."""
        self._run = 0
        """Places in a row at which something was asked that had been asked at the one before."""
        self._chunks: dict[int, int] = {}
        self._ahead: dict[_Place, Future[None]] = {}
        self._given: dict[_Place, set[_Want]] = {}
        self.sources = [AheadSource(self, number, block) for number, block in enumerate(blocks)]

    def close(self) -> None:
        """End it: nothing more is read ahead."""
        with self._lock:
            self._is_over = True
            waiting = list(self._ahead.values())
            self._ahead.clear()
        for future in waiting:
            future.cancel()

    def ask(self, number: int, chunk: int | None, wants: Sequence[_Want]) -> None:
        """Note what is asked of a block, and wait for it if it is being read ahead."""
        with self._lock:
            place = (number, self._place[1] if number == self._place[0] else 0)
            if chunk is not None:
                place = (number, chunk)
            if place != self._place:
                self._move(place)
            self._wants.update(dict.fromkeys(wants))
            future = self._ahead.pop(place, None)
        if future is not None and not future.cancel():
            future.result()

    def knows_chunks(self, number: int, count: int) -> None:
        """Note how many chunks a block has."""
        self._chunks[number] = count

    def _move(self, place: _Place) -> None:
        """Go on to another place: judge the last two, and read ahead of it."""
        last, asked = self._place, frozenset(self._wants)
        self._place, self._wants = place, {}
        common = asked & self._before
        self._before = asked
        step = place[0] - last[0]
        is_next = step == 0 and place[1] == last[1] + 1
        forwards = step > 0 if step else self._forwards
        if last[0] < 0 or not common or not (is_next or 0 < abs(step) <= GAP_MAX):
            self._run = 1
            return
        self._run = self._run + 1 if forwards == self._forwards else 2
        self._forwards = forwards
        depth = min(self._blocks_max, 1 << (self._run - 1))
        for target in self._after(place, depth):
            missing = common - self._given.setdefault(target, set())
            before = self._ahead.get(target)
            if missing and not self._is_over and (before is None or before.done()):
                self._given[target] |= missing
                self._ahead[target] = self._executor.submit(self._read, target, missing)

    def _after(self, place: _Place, count: int) -> Iterator[_Place]:
        number, chunk = place
        for _ in range(count):
            chunk += 1
            if chunk >= self._chunks.get(number, 1):
                number, chunk = number + (1 if self._forwards else -1), 0
            if not 0 <= number < len(self._blocks):
                return
            yield number, chunk

    def _read(self, place: _Place, wants: frozenset[_Want]) -> None:
        """Read into the shared memory; whoever asks later reads again what cannot be read now."""
        if self._is_over:
            return
        try:
            self._blocks[place[0]].prefetch(
                filters=_Filters() in wants,
                footers=[want.table for want in wants if isinstance(want, _Footer)],
                columns=_by_table(wants, of_chunk=False),
                chunk_columns=_by_table(wants, of_chunk=True),
                chunk=place[1],
            )
        except TracestoreError as error:
            log.debug("read ahead in vain", extra={"error": str(error)})


def _by_table(wants: frozenset[_Want], *, of_chunk: bool) -> dict[Table, list[str]]:
    found: dict[Table, list[str]] = {}
    for want in wants:
        if isinstance(want, _Column) and want.of_chunk == of_chunk:
            found.setdefault(want.table, []).append(want.name)
    return found


class AheadSource:
    """``SpanSource`` over a block that tells ``ReadAhead`` what is asked of it."""

    is_live = False

    def __init__(self, ahead: ReadAhead, number: int, block: BlockSource) -> None:
        self._ahead = ahead
        self._number = number
        self._block = block
        self.id = block.id
        self.start_ns = block.start_ns
        self.end_ns = block.end_ns
        self.stored_bytes = block.stored_bytes

    def rows(self, table: Table) -> int:
        return self._block.rows(table)

    def schema(self, table: Table) -> pa.Schema:
        self._ahead.ask(self._number, None, [_Footer(table)])
        return self._block.schema(table)

    def chunks(self) -> Sequence[Chunk]:
        self._ahead.ask(self._number, None, [_Footer(Table.SPANS), _Footer(Table.TRACES)])
        chunks = self._block.chunks()
        self._ahead.knows_chunks(self._number, len(chunks))
        return chunks

    def read(
        self, table: Table, columns: Sequence[str], chunk: Chunk | None, stats: QueryStats
    ) -> Sequence[pa.Array]:
        wants = [_Column(table, name, chunk is not None) for name in columns]
        self._ahead.ask(self._number, None if chunk is None else chunk.index, wants)
        return self._block.read(table, columns, chunk, stats)

    def statistics(self, chunk: Chunk, column: str) -> ColumnStatistics | None:
        return self._block.statistics(chunk, column)

    def filters(self, stats: QueryStats) -> BlockFilters | None:
        self._ahead.ask(self._number, None, [_Filters()])
        return self._block.filters(stats)

    def find_trace(self, trace_id: bytes, stats: QueryStats) -> SpanTables | None:
        return self._block.find_trace(trace_id, stats)

    def find_traces(self, trace_ids: Sequence[bytes], stats: QueryStats) -> list[SpanTables]:
        self._ahead.ask(self._number, None, [_Filters()])
        return self._block.find_traces(trace_ids, stats)

"""Reads of blocks in a bucket before they are asked for.

A query goes from block to block and, in a block, from chunk to chunk, and asks much the same of
each. What it asked of two neighbours it will most likely ask of the next ones: that is read for
some of them at once, in other threads, into the memory that all blocks share. The more often it was
so, the further ahead; if it turns out otherwise the counting begins anew. So what is read in vain
is about as much as what was read at all, at most, and a query that looks at one block reads nothing
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
_OF_WHOLE_TRACES = tuple(_Footer(table) for table in Table)
"""What whole traces take at least; of a small table it is all there is."""
_Place: TypeAlias = tuple[int, int]
"""Number of a block in the order of the query, and of a chunk in it."""


@dataclass(slots=True)
class _Run:
    """How one want went from block to block."""

    place: _Place
    """Where it was asked last."""
    length: int = 1
    """Places in a row where it was asked."""
    forwards: bool = True

    def go_to(self, place: _Place) -> None:
        """Note that it is asked elsewhere."""
        step = place[0] - self.place[0]
        forwards = step > 0 if step else self.forwards
        is_next = place == (self.place[0], self.place[1] + 1) or 0 < abs(step) <= GAP_MAX
        if not is_next:
            self.length = 1
        elif forwards == self.forwards:
            self.length += 1
        else:
            self.length = 2
        self.place, self.forwards = place, forwards

    def leads_to(self, place: _Place) -> bool:
        """Tell whether it was asked at a place, or just before it."""
        behind = place[0] - self.place[0] if self.forwards else self.place[0] - place[0]
        return 0 <= behind <= GAP_MAX


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
        self._runs: dict[_Want, _Run] = {}
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
        place = (number, chunk or 0)
        with self._lock:
            moved = [run for want in wants if (run := self._note(want, place)) is not None]
            if moved and not self._is_over:
                self._go_ahead(place, max(moved, key=lambda run: run.length))
            future = self._ahead.pop(place, None)
        if future is not None and not future.cancel():
            future.result()

    def knows_chunks(self, number: int, count: int) -> None:
        """Note how many chunks a block has."""
        self._chunks[number] = count

    def _note(self, want: _Want, place: _Place) -> _Run | None:
        """Get the run of a want that goes on at another place."""
        run = self._runs.get(want)
        if run is None:
            self._runs[want] = _Run(place)
            return None
        if run.place == place:
            return None
        run.go_to(place)
        return run if run.length > 1 else None

    def _go_ahead(self, place: _Place, longest: _Run) -> None:
        """Read what goes the same way together, beyond a place."""
        alike = {
            want
            for want, run in self._runs.items()
            if run.length > 1 and run.forwards == longest.forwards and run.leads_to(place)
        }
        depth = min(self._blocks_max, 1 << min(longest.length - 1, 16))
        for target in self._after(place, depth, forwards=longest.forwards):
            missing = alike - self._given.setdefault(target, set())
            if target[1] > 0:
                missing = {w for w in missing if isinstance(w, _Column) and w.of_chunk}
            before = self._ahead.get(target)
            if missing and (before is None or before.done()):
                self._given[target] |= missing
                read = self._executor.submit(self._read, target, frozenset(missing))
                self._ahead[target] = read

    def _after(self, place: _Place, count: int, *, forwards: bool) -> Iterator[_Place]:
        number, chunk = place
        for _ in range(count):
            chunk += 1
            if chunk >= self._chunks.get(number, 1):
                number, chunk = number + (1 if forwards else -1), 0
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
        found = self._block.find_traces(trace_ids, stats)
        if found:
            self._ahead.ask(self._number, None, _OF_WHOLE_TRACES)
        return found

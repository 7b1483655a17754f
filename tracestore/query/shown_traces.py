"""Some traces of a source, as a chunk of their own: what is shown is found out of their rows alone.

The newest traces lie all over a block, a few in each row group. Their rows are put one behind the
other, so that what is asked of them is evaluated once and not once a trace. No I/O but through the
source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.model.tables import Table
from tracestore.query.columns import numbers
from tracestore.query.owned import OwnedRows
from tracestore.query.parts import Domain, is_same_memory
from tracestore.query.scan import TABLE_OF_DOMAIN, ChunkScan, SourceScan
from tracestore.query.source import Chunk, ColumnStatistics

SPANS_MAX = 1 << 16
"""Spans that are put together at a time, or one trace; bounds the memory of an answer."""
Rows = npt.NDArray[np.int64]
Run = tuple[int, int]
"""Where rows that lie together begin, and how many they are."""


def batches(scan: SourceScan, traces: Rows) -> Iterator[Rows]:
    """Cut (M,) rows of traces, in order, into parts of bounded size."""
    spans = scan.traces.span_count[traces]
    begin = np.cumsum(spans, dtype=np.int64) - spans
    yield from np.split(traces, np.flatnonzero(np.diff(begin // SPANS_MAX)) + 1)


@dataclass(frozen=True, slots=True)
class Piece:
    """Where the spans of some traces are in one chunk of the source."""

    chunk: Chunk
    spans: list[Run]


class ShownTraces(ChunkScan):
    """A view of some traces, in the order of their rows."""

    def __init__(self, scan: SourceScan, traces: Rows) -> None:
        """Take (M,) rows of traces, ascending, distinct, at least one."""
        self._first = scan.traces.first_span[traces]
        self._counts = scan.traces.span_count[traces]
        spans = int(self._counts.sum(dtype=np.int64))
        super().__init__(
            scan, Chunk(index=-1, first_span=0, spans=spans, first_trace=-1, traces=len(traces))
        )
        self.traces = traces
        self.pieces = list(self._cut(scan.chunks))
        self._owned_runs: dict[Table, list[list[Run]]] = {}

    def _cut(self, chunks: Sequence[Chunk]) -> Iterator[Piece]:
        of_chunk = np.searchsorted([c.first_trace for c in chunks], self.traces, side="right") - 1
        begins = np.flatnonzero(np.diff(of_chunk, prepend=-1)).tolist()
        for begin, end in zip(begins, [*begins[1:], len(self.traces)], strict=True):
            chunk = chunks[of_chunk[begin]]
            first = (self._first[begin:end] - chunk.first_span).tolist()
            counts = self._counts[begin:end].tolist()
            yield Piece(chunk, _runs(first, counts))

    @cached_property
    def span_counts(self) -> npt.NDArray[np.int32]:
        return self._counts

    @property
    def trace_slice(self) -> slice:
        raise AssertionError("the traces do not lie together")

    def statistics(self, column: str) -> ColumnStatistics | None:
        """Say nothing: bounds are known of whole chunks, and so few rows are soon looked at."""
        return None

    def owned(self, domain: Domain) -> OwnedRows:
        if domain not in self._owned:
            table = TABLE_OF_DOMAIN[domain]
            owners = numbers(self.stored(table, "span"))
            trace = np.searchsorted(self._first, owners, side="right") - 1
            begin = np.cumsum(self._counts, dtype=np.int64) - self._counts
            own = owners - self._first[trace] + begin[trace]
            self._owned[domain] = OwnedRows(own, self.chunk.spans)
        return self._owned[domain]

    def read_ahead(self, table: Table, names: Sequence[str]) -> None:
        missing = [name for name in names if (table, name) not in self._columns]
        if not missing:
            return
        scan = self.of_source
        if table == Table.TRACES:  # a small table, whose columns are kept as a whole
            rows = pa.array(self.traces)
            self._columns |= {
                (table, name): scan.column(table, name).take(rows) for name in missing
            }
            return
        read = [scan.source.read(table, missing, piece.chunk, scan.stats) for piece in self.pieces]
        runs = self._runs_of(table)
        for place, name in enumerate(missing):
            self._columns[table, name] = _gather([one[place] for one in read], runs)

    def stored(self, table: Table, name: str) -> pa.Array:
        self.read_ahead(table, [name])
        return self._columns[table, name]

    def _runs_of(self, table: Table) -> list[list[Run]]:
        """Tell for each piece where the rows are."""
        if table == Table.SPANS:
            return [piece.spans for piece in self.pieces]
        if table not in self._owned_runs:
            self._owned_runs[table] = [self._owned_of(table, piece) for piece in self.pieces]
        return self._owned_runs[table]

    def _owned_of(self, table: Table, piece: Piece) -> list[Run]:
        """Find the events (or links) of the spans of a piece."""
        scan = self.of_source
        (read,) = scan.source.read(table, ["span"], piece.chunk, scan.stats)
        owners = numbers(read)
        first, counts = np.array(piece.spans).T
        begin = np.searchsorted(owners, first + piece.chunk.first_span)
        end = np.searchsorted(owners, first + piece.chunk.first_span + counts)
        return _runs(begin.tolist(), (end - begin).tolist())


def _runs(first: list[int], counts: list[int]) -> list[Run]:
    """Join what lies side by side."""
    runs: list[Run] = []
    for begin, count in zip(first, counts, strict=True):
        if runs and sum(runs[-1]) == begin:
            begin, count = runs[-1][0], runs.pop()[1] + count
        runs.append((begin, count))
    return runs


def _gather(arrays: Sequence[pa.Array], runs: Sequence[list[Run]]) -> pa.Array:
    """Put some rows of each of several arrays one behind the other.

    Texts that share a dictionary go on doing so; others become plain texts.
    """
    if pa.types.is_dictionary(arrays[0].type):
        dictionary = arrays[0].dictionary
        if all(is_same_memory(dictionary, other.dictionary) for other in arrays[1:]):
            codes = _gather([array.indices for array in arrays], runs)
            return pa.DictionaryArray.from_arrays(codes, dictionary, safe=False)
        texts = [
            array.dictionary.take(_gather([array.indices], [of_array]))
            for array, of_array in zip(arrays, runs, strict=True)
        ]
        return pa.concat_arrays(texts)
    return pa.concat_arrays(
        [
            array.slice(begin, count)
            for array, of_array in zip(arrays, runs, strict=True)
            for begin, count in of_array
        ]
    )

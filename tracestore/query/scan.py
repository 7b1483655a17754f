"""Reads what an expression asks for, of one chunk of one source, once.

A value or mask of a small domain (resources, scopes, a constant) is evaluated once per source and
spread over the spans of each chunk by its integer column. Columns are read when they are first
asked for.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore import kernel
from tracestore.codec.filters import BlockFilters
from tracestore.model.results import QueryStats
from tracestore.model.tables import SAMPLING_WEIGHT, Table
from tracestore.query.columns import fixed_bytes, numbers
from tracestore.query.control import QueryControl
from tracestore.query.masks import Mask, settle, take
from tracestore.query.owned import OwnedRows, with_nil_row
from tracestore.query.parts import Domain, IntArray, Operand
from tracestore.query.source import Chunk, ColumnStatistics, SpanSource
from tracestore.storage.block.weights import has_weights, read_weights

TABLE_OF_DOMAIN = {
    Domain.RESOURCE: Table.RESOURCES,
    Domain.SCOPE: Table.SCOPES,
    Domain.TRACE: Table.TRACES,
    Domain.SPAN: Table.SPANS,
    Domain.EVENT: Table.EVENTS,
    Domain.LINK: Table.LINKS,
}
_MIX = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that no bit is lost; many senders leave half of the ID zero."""
_PER_SOURCE = (Domain.CONSTANT, Domain.RESOURCE, Domain.SCOPE)


class Evaluable(Protocol):
    """An expression that is bound to a source (``expressions.py``)."""

    @property
    def domain(self) -> Domain: ...

    def mask(self, scan: ChunkScan) -> Mask: ...

    def operand(self, scan: ChunkScan) -> Operand: ...


@dataclass(frozen=True, kw_only=True)
class SourceTraces:
    """The traces of a source as arrays. Times are unsigned, as OTLP's are."""

    ids: npt.NDArray[np.bytes_]
    """(T,) IDs as S16, ascending; numpy drops trailing zeros when it gives one out."""
    first_span: npt.NDArray[np.int64]
    span_count: npt.NDArray[np.int32]
    start_ns: npt.NDArray[np.uint64]
    end_ns: npt.NDArray[np.uint64]

    @cached_property
    def keys(self) -> npt.NDArray[np.uint64]:
        """(T,) a number of each ID: equal for equal IDs, and hardly ever for others."""
        words = self.ids.view("<u8").reshape(-1, 2)
        mixed: npt.NDArray[np.uint64] = words[:, 0] * _MIX ^ words[:, 1]
        return mixed

    def __len__(self) -> int:
        return len(self.ids)

    def trace_id(self, row: int) -> bytes:
        """Get an ID in full length."""
        return bytes(self.ids[row]).ljust(16, b"\0")

    def find(self, trace_id: bytes) -> int | None:
        """Find the row of a trace by binary search."""
        row = int(np.searchsorted(self.ids, np.bytes_(trace_id)))
        return row if row < len(self.ids) and self.trace_id(row) == trace_id else None


class SourceScan:
    """One source in the course of one query; keeps what chunks share."""

    def __init__(self, source: SpanSource, stats: QueryStats, control: QueryControl) -> None:
        self.source = source
        self.stats = stats
        self.control = control
        self._columns: dict[tuple[Table, str], pa.Array] = {}
        self.masks: dict[Evaluable, Mask] = {}
        self.operands: dict[Evaluable, Operand] = {}
        self.codes: dict[Evaluable, npt.NDArray[np.int64]] = {}
        """Numbers of values (``numbering.py``) over the rows of a small domain."""

    @cached_property
    def filters(self) -> BlockFilters | None:
        """Proofs of absence, read once."""
        return self.source.filters(self.stats)

    @cached_property
    def chunks(self) -> Sequence[Chunk]:
        """The chunks of the source."""
        return self.source.chunks()

    @cached_property
    def traces(self) -> SourceTraces:
        """The traces table, without roots."""
        names = ["trace_id", "first_span", "span_count", "start_time", "end_time"]
        read = self.source.read(Table.TRACES, names, None, self.stats)
        column = dict(zip(names, read, strict=True))
        raw = np.ascontiguousarray(fixed_bytes(column["trace_id"]))
        return SourceTraces(
            ids=raw.reshape(-1).view("S16"),
            first_span=numbers(column["first_span"]),
            span_count=numbers(column["span_count"]),
            start_ns=numbers(column["start_time"]).view(np.uint64),
            end_ns=numbers(column["end_time"]).view(np.uint64),
        )

    @cached_property
    def weights(self) -> npt.NDArray[np.float64] | None:
        """(T,) for how many traces each stands; None: each for itself."""
        if not has_weights(self.source.schema(Table.TRACES)):
            return None
        (column,) = self.source.read(Table.TRACES, [SAMPLING_WEIGHT.name], None, self.stats)
        return read_weights(column)

    def column(self, table: Table, name: str) -> pa.Array:
        """Get a column of a whole (small) table."""
        if (table, name) not in self._columns:
            (self._columns[table, name],) = self.source.read(table, [name], None, self.stats)
        return self._columns[table, name]

    def chunk(self, chunk: Chunk) -> ChunkScan:
        """Begin with a chunk. Raises: DeadlineError."""
        self.control.check()
        return ChunkScan(self, chunk)


class ChunkScan:
    """One chunk: gives expressions their columns, and spreads their answers over its spans."""

    def __init__(self, scan: SourceScan, chunk: Chunk) -> None:
        self.chunk = chunk
        self.of_source = scan
        self._columns: dict[tuple[Table, str], pa.Array] = {}
        self._with_nil: dict[tuple[Table, str], pa.Array] = {}
        self._index: dict[Domain, IntArray] = {}
        self._owned: dict[Domain, OwnedRows] = {}
        self.memo: dict[Hashable, Any] = {}
        """What expressions remember of the chunk."""

    @property
    def has_read(self) -> bool:
        """Whether a column of the chunk has been read."""
        return bool(self._columns)

    def rows(self, domain: Domain) -> int:
        """Count the rows of a domain in this chunk."""
        match domain:
            case Domain.CONSTANT:
                return 1
            case Domain.TRACE:
                return self.chunk.traces
            case Domain.SPAN:
                return self.chunk.spans
            case Domain.EVENT | Domain.LINK:
                return len(self.owned(domain))
        return self.of_source.source.rows(TABLE_OF_DOMAIN[domain])

    def column(self, domain: Domain, name: str) -> pa.Array:
        """Get a column of the domain's table, its rows of this chunk; of events one null more."""
        table = TABLE_OF_DOMAIN[domain]
        if domain in _PER_SOURCE:
            return self.of_source.column(table, name)
        if domain not in (Domain.EVENT, Domain.LINK):
            return self.stored(table, name)
        if (table, name) not in self._with_nil:
            self._with_nil[table, name] = with_nil_row(self.stored(table, name))
        return self._with_nil[table, name]

    def stored(self, table: Table, name: str) -> pa.Array:
        """Get a column as it is stored, its rows of this chunk."""
        if (table, name) not in self._columns:
            scan = self.of_source
            read = scan.source.read(table, [name], self.chunk, scan.stats)
            self._columns[table, name] = read[0]
        return self._columns[table, name]

    def read_ahead(self, table: Table, names: Sequence[str]) -> None:
        """Read some columns that will be asked for, with one call."""
        missing = [name for name in names if (table, name) not in self._columns]
        if missing:
            scan = self.of_source
            read = scan.source.read(table, missing, self.chunk, scan.stats)
            for name, column in zip(missing, read, strict=True):
                self._columns[table, name] = column

    def statistics(self, column: str) -> ColumnStatistics | None:
        """Get the bounds of a ``spans`` column in this chunk, if the source knows them."""
        return self.of_source.source.statistics(self.chunk, column)

    def owned(self, domain: Domain) -> OwnedRows:
        """Get whose the events (or links) of this chunk are."""
        if domain not in self._owned:
            owners = numbers(self.stored(TABLE_OF_DOMAIN[domain], "span")) - self.chunk.first_span
            self._owned[domain] = OwnedRows(owners, self.chunk.spans)
        return self._owned[domain]

    @cached_property
    def span_counts(self) -> npt.NDArray[np.int32]:
        """(T,) the spans of each trace of the chunk; they lie one trace after the other."""
        return self.of_source.traces.span_count[self.trace_slice]

    @property
    def trace_slice(self) -> slice:
        """Rows of the source's traces that are in this chunk."""
        return slice(self.chunk.first_trace, self.chunk.first_trace + self.chunk.traces)

    def index(self, domain: Domain) -> IntArray:
        """Get the row of a small domain for each span."""
        if domain not in self._index:
            if domain == Domain.CONSTANT:
                self._index[domain] = np.zeros(self.chunk.spans, np.int32)
            elif domain == Domain.TRACE:
                self._index[domain] = kernel.run_numbers(self.span_counts, self.chunk.spans)
            else:
                name = "resource" if domain == Domain.RESOURCE else "scope"
                self._index[domain] = numbers(self.column(Domain.SPAN, name))
        return self._index[domain]

    def mask(self, expression: Evaluable, domain: Domain) -> Mask:
        """Evaluate a condition, and spread it to ``domain``: its own, or spans."""
        own = expression.domain
        if own in _PER_SOURCE:
            known = self.of_source.masks
            if expression not in known:
                known[expression] = settle(expression.mask(self))
            mask = known[expression]
        else:
            mask = expression.mask(self)
        if own == domain or isinstance(mask, bool):
            return mask
        assert domain == Domain.SPAN
        return take(mask, self.index(own))

    def operand(self, expression: Evaluable, domain: Domain) -> Operand:
        """Evaluate an expression, and spread its value to ``domain``."""
        own = expression.domain
        if own in _PER_SOURCE:
            known = self.of_source.operands
            if expression not in known:
                known[expression] = expression.operand(self)
            operand = known[expression]
        else:
            operand = expression.operand(self)
        if own == domain:
            return operand
        if own == Domain.CONSTANT:
            return operand.repeated(self.rows(domain))
        assert domain == Domain.SPAN
        return operand.spread(self.index(own))

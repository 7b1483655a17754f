"""Answers as values: what a search found, and what it looked at."""

from __future__ import annotations

from dataclasses import dataclass, field

AttributeValue = str | int | float | bool | tuple[str | int | float | bool, ...]
"""A value in an answer. Durations, status, kind and nil are already their text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanSummary:
    """A matched span. ``attributes``: (name without scope, value) for what the query mentions."""

    span_id: bytes
    name: str
    start_ns: int
    duration_ns: int
    attributes: tuple[tuple[str, AttributeValue], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanSet:
    """Matched spans of one trace; ``matched`` counts all, ``spans`` holds the first of them."""

    matched: int
    spans: tuple[SpanSummary, ...]
    attributes: tuple[tuple[str, AttributeValue], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStats:
    """Spans of one service in a trace."""

    spans: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary:
    """A matched trace. Root fields are empty where no root span was received."""

    trace_id: bytes
    root_service_name: str
    root_name: str
    start_ns: int
    duration_ns: int
    span_sets: tuple[SpanSet, ...]
    service_stats: dict[str, ServiceStats]


@dataclass(slots=True, kw_only=True)
class QueryStats:
    """What a query looked at; owned and added to by one query, never shared between threads."""

    inspected_traces: int = 0
    inspected_spans: int = 0
    inspected_bytes: int = 0
    """Bytes of column data read, from memory or disk."""
    total_blocks: int = 0
    """Blocks of the tenant in the time range; live tables are not counted."""
    total_block_bytes: int = 0
    pruned_blocks: int = 0
    total_jobs: int = 0
    """Sources that may have something to add to the answer."""
    completed_jobs: int = 0
    """Of these, those of which it is known what they add."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceCount:
    """How many traces match in all."""

    traces: int
    exact: bool
    """False if some source could not be read."""


@dataclass(slots=True, kw_only=True)
class ColumnReads:
    """What a query read of a column."""

    reads: int = 0
    bytes: int = 0


@dataclass(slots=True, kw_only=True)
class Explanation:
    """How an answer came about. Times are wall time."""

    sources: int = 0
    outside_window: int = 0
    """Sources not evaluated by themselves: by their bounds they lie outside the time window."""
    pruned: int = 0
    """Sources proven to have no match by their schema and filters, before a column was read."""
    evaluated: int = 0
    not_needed: int = 0
    """Sources all of whose traces come behind the last one that was asked for."""
    chunks: int = 0
    """Row groups of the sources evaluated."""
    chunks_read: int = 0
    """Of these, those of which a column was read; the rest was ruled out unread."""
    joined_traces: int = 0
    """Traces with spans in several sources, put together and evaluated whole."""
    columns: dict[tuple[str, str], ColumnReads] = field(default_factory=dict)
    """By table and column."""
    stage_ns: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Traces in the order asked for, ties by trace ID, at most as many as were asked for."""

    traces: tuple[TraceSummary, ...]
    stats: QueryStats = field(default_factory=QueryStats)
    total: TraceCount | None = None
    """If it was asked for."""
    next_cursor: str = ""
    """Where the next page begins; empty on the last one, or if nobody counts."""
    missing: tuple[str, ...] = ()
    """IDs of sources that could not be read; only where the caller takes a partial answer."""
    explanation: Explanation | None = None
    """If it was asked for."""

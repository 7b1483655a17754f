"""The whole trace with an ID, from all sources that hold a part of it, as OTLP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracestore import kernel
from tracestore.errors import CorruptionError, InvalidRequestError
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables
from tracestore.query.control import QueryControl
from tracestore.query.fragments import merge
from tracestore.query.source import SpanSource


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFound:
    """A trace as an ExportTraceServiceRequest; each span is in it once."""

    tables: SpanTables
    otlp: bytes
    spans: int
    inspected_bytes: int


def find_trace(
    sources: Sequence[SpanSource], trace_id: bytes, control: QueryControl
) -> TraceFound | None:
    """Find a trace; None if no source has a span of it.

    Args:
        trace_id: 16 bytes.

    Raises: DeadlineError; what a source raises that cannot be read.
    """
    stats = QueryStats()
    fragments = [tables for _, tables in _fragments(sources, trace_id, control, stats)]
    if not fragments:
        return None
    whole = fragments[0] if len(fragments) == 1 else merge(fragments)
    return TraceFound(
        tables=whole,
        otlp=kernel.encode(whole),
        spans=whole.spans.num_rows,
        inspected_bytes=stats.inspected_bytes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePart:
    """What some sources have of a trace."""

    fragments: tuple[tuple[str, bytes], ...]
    """ID of the source, and an ExportTraceServiceRequest."""
    inspected_bytes: int


def trace_part(sources: Sequence[SpanSource], trace_id: bytes, control: QueryControl) -> TracePart:
    """Find what some sources have of a trace. Raises: as ``find_trace``."""
    stats = QueryStats()
    fragments = tuple(
        (source.id, kernel.encode(tables))
        for source, tables in _fragments(sources, trace_id, control, stats)
    )
    return TracePart(fragments=fragments, inspected_bytes=stats.inspected_bytes)


def combine_trace(parts: Sequence[TracePart], trace_id: bytes) -> TraceFound | None:
    """Put a trace together of what all sources have. Raises: CorruptionError."""
    fragments = sorted(fragment for part in parts for fragment in part.fragments)
    if not fragments:
        return None
    try:
        whole = kernel.build_tables([otlp for _, otlp in fragments])
    except InvalidRequestError as error:
        raise CorruptionError(f"a part that is no trace: {error}", key=trace_id.hex()) from error
    ids = whole.traces.column("trace_id").to_pylist()
    if ids != [trace_id]:
        raise CorruptionError("a part is of another trace", key=trace_id.hex())
    return TraceFound(
        tables=whole,
        otlp=fragments[0][1] if len(fragments) == 1 else kernel.encode(whole),
        spans=whole.spans.num_rows,
        inspected_bytes=sum(part.inspected_bytes for part in parts),
    )


def _fragments(
    sources: Sequence[SpanSource], trace_id: bytes, control: QueryControl, stats: QueryStats
) -> list[tuple[SpanSource, SpanTables]]:
    """Get what each source has, in the order of their IDs; they are read in the order given."""
    assert len(trace_id) == 16
    found = []
    for source in sources:
        control.check()
        filters = source.filters(stats)
        if filters is not None and not filters.may_contain_trace(trace_id):
            continue
        fragment = source.find_trace(trace_id, stats)
        if fragment is not None:
            found.append((source, fragment))
    return sorted(found, key=lambda each: each[0].id)

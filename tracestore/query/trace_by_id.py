"""The whole trace with an ID, from all sources that hold a part of it, as OTLP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracestore import kernel
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
    assert len(trace_id) == 16
    stats = QueryStats()
    found = []
    for source in sources:
        control.check()
        filters = source.filters(stats)
        if filters is not None and not filters.may_contain_trace(trace_id):
            continue
        fragment = source.find_trace(trace_id, stats)
        if fragment is not None:
            found.append((source.id, fragment))
    if not found:
        return None
    fragments = [fragment for _, fragment in sorted(found, key=lambda each: each[0])]
    whole = fragments[0] if len(fragments) == 1 else merge(fragments)
    return TraceFound(
        tables=whole,
        otlp=kernel.encode(whole),
        spans=whole.spans.num_rows,
        inspected_bytes=stats.inspected_bytes,
    )

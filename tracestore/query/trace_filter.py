"""Which spans of one whole trace a filter marks. No I/O: the trace is there already."""

from __future__ import annotations

import traceql
from traceql.check import check
from traceql.nodes import Filter, Pipeline
from tracestore.errors import InvalidRequestError
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables
from tracestore.query.control import QueryControl
from tracestore.query.pipeline import BoundPipeline
from tracestore.query.plan import SearchPlan, plan_search
from tracestore.query.scan import SourceScan
from tracestore.query.tables_source import TablesSource

SpanKey = tuple[bytes, int]
"""Span ID and kind: what a span of a trace is told apart by."""


def plan_filter(text: str) -> SearchPlan:
    """Read a query that is one ``{ … }``. Raises: InvalidRequestError."""
    try:
        query = traceql.parse(text)
        check(query, text)
        plan = plan_search(query)
    except traceql.QueryError as error:
        raise InvalidRequestError(f"invalid TraceQL filter: {error.locate(text)}") from error
    body = query.body
    if not (isinstance(body, Pipeline) and len(body.stages) == 1):
        raise InvalidRequestError("invalid TraceQL filter: expected one filter, such as { .a = 1 }")
    if not isinstance(body.stages[0], Filter):
        raise InvalidRequestError("invalid TraceQL filter: expected one filter, such as { .a = 1 }")
    return plan


def matched_spans(tables: SpanTables, plan: SearchPlan, control: QueryControl) -> set[SpanKey]:
    """Find the spans that match.

    Args:
        tables: one trace.

    Raises: DeadlineError.
    """
    scan = SourceScan(TablesSource(tables, "trace"), QueryStats(), control)
    pipeline = BoundPipeline(scan, plan)
    if pipeline.is_never:
        return set()
    found: set[SpanKey] = set()
    for chunk in scan.chunks:
        rows = pipeline.run(scan.chunk(chunk)).rows + chunk.first_span
        spans = tables.spans.select(["span_id", "kind"]).take(rows)
        found.update(zip(spans["span_id"].to_pylist(), spans["kind"].to_pylist(), strict=True))
    return found

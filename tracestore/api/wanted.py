"""Checked parameters of a search -> what the engine is asked; a server and a directory share it."""

from __future__ import annotations

from dataclasses import replace

import traceql
from traceql import nodes
from tracestore.api.legacy_search import duration_filter, legacy_query
from tracestore.api.params import SearchParams
from tracestore.query import search
from tracestore.query.ordering import Cursor


def text_of(params: SearchParams) -> str:
    """Get the query as TraceQL; one by tags is translated, durations bound it either way."""
    bounds = duration_filter(params.min_duration_ns, params.max_duration_ns)
    if params.query:
        return _bounded(params.query, bounds) if bounds else params.query
    return legacy_query(params.tags, bounds)


def _bounded(query: str, bounds: str) -> str:
    """Put a filter behind the stages of a query that select spans; a mistake in it stays."""
    try:
        parsed = traceql.parse(query)
    except traceql.ParseError:
        return query
    body = parsed.body
    if isinstance(body, nodes.MetricsMath):
        return query
    (last,) = _pipeline(traceql.parse(bounds)).stages
    bounded = nodes.Pipeline((*_pipeline(parsed).stages, last))
    if isinstance(body, nodes.MetricsQuery):
        return traceql.render(replace(parsed, body=replace(body, pipeline=bounded)))
    return traceql.render(replace(parsed, body=bounded))


def _pipeline(query: nodes.Query) -> nodes.Pipeline:
    body = query.body
    assert not isinstance(body, nodes.MetricsMath)
    return body.pipeline if isinstance(body, nodes.MetricsQuery) else body


def wanted_of(params: SearchParams, text: str, reach_ns: int | None) -> search.SearchParams:
    """Say what the engine should return.

    Args:
        reach_ns: how far from the window spans of a trace that touches it are looked for; None:
            any distance.

    Raises: InvalidRequestError if the cursor is of another search.
    """
    cursor = None
    if params.cursor:
        cursor = Cursor.decode(params.cursor, query=text, sort=params.sort)
    return search.SearchParams(
        limit=params.limit,
        spans_per_span_set=params.spans_per_span_set,
        window=params.time_range,
        reach_ns=reach_ns,
        sort=params.sort,
        count=params.count,
        query=text,
        cursor=cursor,
        allow_partial=params.allow_partial,
        explain=params.explain,
    )

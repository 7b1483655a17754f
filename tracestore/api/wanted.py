"""Checked parameters of a search -> what the engine is asked; a server and a directory share it."""

from __future__ import annotations

from tracestore.api.legacy_search import legacy_query
from tracestore.api.params import SearchParams
from tracestore.query import search
from tracestore.query.ordering import Cursor


def text_of(params: SearchParams) -> str:
    """Get the query as TraceQL; one by tags and durations is translated."""
    return params.query or legacy_query(
        params.tags,
        min_duration_ns=params.min_duration_ns,
        max_duration_ns=params.max_duration_ns,
    )


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

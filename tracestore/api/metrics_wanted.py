"""The text of a metrics query -> what the engine is asked; a server and a directory share it."""

from __future__ import annotations

import traceql
from traceql.check import check
from tracestore.errors import InvalidRequestError
from tracestore.query.metrics_plan import MetricsPlan, plan_metrics


def plan_metrics_query(text: str, *, is_instant: bool) -> MetricsPlan:
    """Read a metrics query and decide how to answer it.

    Raises: InvalidRequestError with the position, as Tempo says it.
    """
    try:
        query = traceql.parse(text)
        check(query, text)
        return plan_metrics(query)
    except traceql.ParseError as error:
        prefix = "compiling query: " if is_instant else ""
        raise InvalidRequestError(f"{prefix}{error.locate(text)}") from error
    except traceql.QueryError as error:
        raise InvalidRequestError(f"compiling query: {error.locate(text)}") from error

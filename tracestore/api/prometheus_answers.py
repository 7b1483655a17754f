"""Values of PromQL, and errors, as answers of Prometheus' API.

Source: Prometheus, "HTTP API", "Format overview"; web/api/v1/api.go.
"""

from __future__ import annotations

import numpy as np

from tracestore.api.app import Answer
from tracestore.api.errors import refuse
from tracestore.codec.prometheus_json import (
    matrix_data,
    render_error,
    render_success,
    scalar_data,
    string_data,
    vector_data,
)
from tracestore.errors import (
    DeadlineError,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
)
from tracestore.query.promql.values import EvaluationError, Matrix, Scalar, String, Value, Vector
from tracestore.query.promql.windows import Times

JSON = "application/json"
_TRUNCATED = "results truncated due to limit"
_KINDS: tuple[tuple[type[Exception], int, str], ...] = (
    (EvaluationError, 422, "execution"),
    (TooLargeError, 413, "bad_data"),
    (InvalidRequestError, 400, "bad_data"),
    (NotFoundError, 404, "not_found"),
    (LimitExceededError, 429, "too_many_requests"),
    (DeadlineError, 503, "timeout"),
    (TimeoutError, 503, "timeout"),
    (UnavailableError, 503, "unavailable"),
)


def success(data: str, *, is_cut: bool = False) -> Answer:
    """Answer with what is JSON already.

    Args:
        is_cut: whether there is more than was asked for.
    """
    warnings = (_TRUNCATED,) if is_cut else ()
    return Answer(body=render_success(data, warnings), media_type=JSON)


def failure(error: Exception) -> Answer:
    """Answer with what is wrong; mistakes of ours are logged, and stay inside."""
    for kind, status, name in _KINDS:
        if isinstance(error, kind):
            message = str(error)
            if kind in (DeadlineError, TimeoutError):
                message = "query timed out in expression evaluation"
            again = kind in (LimitExceededError, UnavailableError)
            delay = {"Retry-After": refuse(error).retry_after_header} if again else {}
            return Answer(
                body=render_error(name, message), status=status, media_type=JSON, headers=delay
            )
    refusal = refuse(error)
    return Answer(
        body=render_error("internal", refusal.message),
        status=refusal.http_status,
        media_type=JSON,
    )


def instant_answer(value: Value, time_ms: int, limit: int) -> Answer:
    """Answer an instant query; each value has the time of the query."""
    match value:
        case Scalar():
            return success(scalar_data(float(value.values[0]), time_ms))
        case String():
            return success(string_data(value.value, time_ms))
        case Matrix():
            return _matrix(value, value.times_ms, limit)
        case Vector():
            return _vector(value, time_ms, limit)


def range_answer(value: Value, times: Times, limit: int) -> Answer:
    """Answer a query over a range: a matrix, also of a scalar."""
    if isinstance(value, Scalar):
        return success(matrix_data([((), value.values.tolist(), times.all_ms.tolist())]))
    assert isinstance(value, Vector)
    return _matrix(value, times.all_ms, limit)


def _vector(vector: Vector, time_ms: int, limit: int) -> Answer:
    rows = np.flatnonzero(vector.present[:, 0]).tolist()
    if not vector.is_ordered:
        rows.sort(key=lambda row: vector.labels[row])
    kept = rows[:limit] if limit else rows
    series = [(vector.labels[row], float(vector.values[row, 0])) for row in kept]
    return success(vector_data(series, time_ms), is_cut=len(kept) < len(rows))


def _matrix(found: Vector | Matrix, times_ms: np.ndarray, limit: int) -> Answer:
    rows = np.flatnonzero(np.logical_or.reduce(found.present, axis=1)).tolist()
    rows.sort(key=lambda row: found.labels[row])
    kept = rows[:limit] if limit else rows
    series = []
    for row in kept:
        there = found.present[row]
        series.append(
            (found.labels[row], found.values[row, there].tolist(), times_ms[there].tolist())
        )
    return success(matrix_data(series), is_cut=len(kept) < len(rows))

"""Errors as Prometheus words them; a mistake of ours stays inside."""

from __future__ import annotations

import json

import pytest

from tracestore.api.prometheus_answers import failure
from tracestore.errors import (
    DeadlineError,
    InvalidRequestError,
    LimitExceededError,
    TooLargeError,
    UnavailableError,
)
from tracestore.query.promql.values import EvaluationError


@pytest.mark.parametrize(
    ("error", "status", "kind", "words"),
    [
        (InvalidRequestError("no"), 400, "bad_data", "no"),
        (EvaluationError("no"), 422, "execution", "no"),
        (TooLargeError("no"), 413, "bad_data", "no"),
        (LimitExceededError("no", limit="x"), 429, "too_many_requests", "no"),
        (DeadlineError("x"), 503, "timeout", "query timed out in expression evaluation"),
        (TimeoutError(), 503, "timeout", "query timed out in expression evaluation"),
        (UnavailableError("the server is starting"), 503, "unavailable", "the server is starting"),
        (KeyError("secret"), 500, "internal", "internal error, see the log of the server"),
    ],
)
def test_errors(error: Exception, status: int, kind: str, words: str) -> None:
    answer = failure(error)
    assert answer.status == status
    body = json.loads(answer.body)
    assert body == {"status": "error", "errorType": kind, "error": words}
    may_retry = kind in ("too_many_requests", "unavailable")
    assert ("Retry-After" in answer.headers) == may_retry

"""Errors -> statuses: the one table that HTTP and gRPC answers are made from.

Source: style guide, section 6; wire contract, sections 4 and 6.2.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from math import ceil

from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from tracestore.errors import (
    ConflictError,
    CorruptionError,
    DeadlineError,
    InvalidRequestError,
    LimitExceededError,
    NoTenantError,
    NotFoundError,
    TooLargeError,
    TracestoreError,
    UnavailableError,
)
from tracestore.query.plan import MetricsMathError

log = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[TracestoreError], int, int], ...] = (
    (MetricsMathError, 500, Code.UNIMPLEMENTED),
    (TooLargeError, 413, Code.INVALID_ARGUMENT),
    (InvalidRequestError, 400, Code.INVALID_ARGUMENT),
    (NoTenantError, 401, Code.UNKNOWN),
    (NotFoundError, 404, Code.NOT_FOUND),
    (LimitExceededError, 429, Code.RESOURCE_EXHAUSTED),
    (ConflictError, 409, Code.ABORTED),
    (UnavailableError, 503, Code.UNAVAILABLE),
    (DeadlineError, 504, Code.DEADLINE_EXCEEDED),
    (CorruptionError, 500, Code.DATA_LOSS),
)

_OTLP_HTTP_STATUS = {
    Code.RESOURCE_EXHAUSTED: 429,
    Code.INVALID_ARGUMENT: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.UNIMPLEMENTED: 404,
    Code.CANCELLED: 503,
    Code.DEADLINE_EXCEEDED: 503,
    Code.ABORTED: 503,
    Code.OUT_OF_RANGE: 503,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 503,
}
INTERNAL_MESSAGE = "internal error, see the log of the server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error as an answer."""

    http_status: int
    grpc_code: int
    message: str
    retry_after_s: float | None = None

    @property
    def otlp_http_status(self) -> int:
        """Status of the OTLP/HTTP receiver, which has a table of its own."""
        if self.http_status == 413:
            return 413
        return _OTLP_HTTP_STATUS.get(self.grpc_code, 500)

    @property
    def retry_after_header(self) -> str:
        """Whole seconds for ``Retry-After``."""
        return str(max(1, ceil(self.retry_after_s or 1)))

    def to_status(self) -> Status:
        """Make a google.rpc.Status, with RetryInfo if the sender should try again."""
        status = Status(code=self.grpc_code, message=self.message)
        if self.retry_after_s:
            delay = Duration()
            delay.FromNanoseconds(int(self.retry_after_s * 1e9))
            status.details.add().Pack(RetryInfo(retry_delay=delay))
        return status


def refuse(error: Exception, *, retry_after_s: float = 0.0) -> Refusal:
    """Turn what went wrong into an answer; mistakes of ours are logged here, once, and stay inside.

    Args:
        retry_after_s: the delay for a limit that names none; 0 is none.
    """
    for kind, http_status, code in _STATUS:
        if isinstance(error, kind):
            delay = getattr(error, "retry_after_s", None)
            if isinstance(error, LimitExceededError):
                delay = retry_after_s if delay is None else delay
            message = "context deadline exceeded" if kind is DeadlineError else str(error)
            return Refusal(
                http_status=http_status, grpc_code=code, message=message, retry_after_s=delay
            )
    log.error("request failed", exc_info=error)
    return Refusal(http_status=500, grpc_code=Code.INTERNAL, message=INTERNAL_MESSAGE)

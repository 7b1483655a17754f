"""The error taxonomy: a class of error is the reaction it asks of the caller.

A new class needs a new reaction. Exceptions of libraries (botocore, Arrow, grpc) stop where that
library is called: ``raise UnavailableError(...) from error``. Messages are lower case, without a
full stop, and name tenant, block, key and number.
"""

from __future__ import annotations


class TracestoreError(Exception):
    """Base of every error that is an answer rather than a mistake of ours."""


class InvalidRequestError(TracestoreError):
    """Change the request. HTTP 400, gRPC INVALID_ARGUMENT."""


class MalformedError(InvalidRequestError):
    """Bytes that are not what they claim to be, with the offset of the first bad one."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.reason = reason
        self.offset = offset


class TooLargeError(InvalidRequestError):
    """Send less at a time. HTTP 413, gRPC INVALID_ARGUMENT."""


class NoTenantError(TracestoreError):
    """Name the tenant. HTTP 401, gRPC UNKNOWN, as Tempo has it."""


class NotFoundError(TracestoreError):
    """Accept that it is not there. HTTP 404, gRPC NOT_FOUND."""


class LimitExceededError(TracestoreError):
    """Slow down, or raise the limit it names. HTTP 429, gRPC RESOURCE_EXHAUSTED."""

    def __init__(self, message: str, *, limit: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.retry_after_s = retry_after_s


class ConflictError(TracestoreError):
    """Read again and retry: a conditional write lost. HTTP 409, gRPC ABORTED."""


class FencedError(ConflictError):
    """Stop: another process answers for this one's log. Nothing that it holds may be committed."""


class OutdatedBlockError(ConflictError):
    """Write the block anew under another ID: this one is too old, its objects may be deleted."""


class UnavailableError(TracestoreError):
    """Retry later, with backoff and jitter. HTTP 503, gRPC UNAVAILABLE."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnreachableError(UnavailableError):
    """Ask another process: this one does not answer, or is about to stop. Else as above."""


class DeadlineError(TracestoreError):
    """Narrow the query or allow more time. HTTP 504, gRPC DEADLINE_EXCEEDED."""


class CorruptionError(TracestoreError):
    """Quarantine; a retry cannot help. HTTP 500, gRPC DATA_LOSS."""

    def __init__(self, message: str, *, key: str, offset: int | None = None) -> None:
        where = key if offset is None else f"{key} at byte {offset}"
        super().__init__(f"{message}: {where}")
        self.key = key
        self.offset = offset


class SettingsError(TracestoreError):
    """The operator should mend a setting: one clear line, exit code 1."""

"""What went wrong with a request to S3: what the caller is told, and whether to ask again."""

from __future__ import annotations

from dataclasses import dataclass

from botocore import exceptions as boto
from urllib3.exceptions import HTTPError

from tracestore.errors import ConflictError, NotFoundError, TracestoreError, UnavailableError

LIBRARY_ERRORS = (boto.BotoCoreError, boto.ClientError, HTTPError, OSError)
"""All that a request may raise."""
_AGAIN_CODES = frozenset(
    {
        *("SlowDown", "InternalError", "ServiceUnavailable", "Throttling", "ThrottlingException"),
        *("RequestTimeout", "RequestTimeoutException", "RequestTimeTooSkewed", "ExpiredToken"),
        *("ConditionalRequestConflict", "OperationAborted", "RequestLimitExceeded"),
        *("TooManyRequests", "BandwidthLimitExceeded", "XMinioServerNotInitialized"),
    }
)
_SET_UP = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.ParamValidationError,
    boto.InvalidRegionError,
)
"""A further attempt would fail in the same way."""
ABSENT = frozenset({"NoSuchKey", "NotFound", "404", ""})
REFUSED_STATUS = frozenset({401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed attempt."""

    error: TracestoreError
    """For the caller."""
    status: int
    """Of the answer; 0 if there was none."""
    code: str
    """The store's word for it, or the class of the library's error."""
    again: bool
    """Whether a further attempt may succeed."""
    unknown: bool
    """Whether the store may have done what it was asked for all the same."""


def failure_of(error: Exception, what: str) -> Failure:
    """Judge what a request raised.

    Args:
        what: the request in words, for the message: ``get s3://bucket/key``.
    """
    if isinstance(error, boto.ClientError):
        return _answered(error, what)
    told = UnavailableError(f"cannot {what}: {_one_line(error)}")
    again = not isinstance(error, _SET_UP)
    return Failure(error=told, status=0, code=type(error).__name__, again=again, unknown=again)


def _answered(error: boto.ClientError, what: str) -> Failure:
    details = error.response.get("Error", {})
    code = str(details.get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = f"{status} {code}: {details.get('Message', '')}".rstrip(": ")
    again = code in _AGAIN_CODES or status in (408, 429) or (status >= 500 and status != 501)
    told: TracestoreError = UnavailableError(f"cannot {what}: {said}")
    if status == 404 and code in ABSENT:
        told = NotFoundError(f"no object: cannot {what}")
    elif status == 412 or (status == 409 and not again):
        told = ConflictError(f"cannot {what}: the object there is not as expected")
    elif status in REFUSED_STATUS and not again:
        told = UnavailableError(
            f"cannot {what}: {said}; check the credentials and what they are allowed"
        )
    unknown = status >= 500 or code in ("RequestTimeout", "RequestTimeoutException")
    return Failure(error=told, status=status, code=code, again=again, unknown=unknown)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

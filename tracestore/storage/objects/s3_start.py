"""Opens a bucket, and sees at the start that it is there, may be used, and keeps conditions."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

from tracestore.clock import Clock
from tracestore.errors import SettingsError, UnavailableError
from tracestore.settings.s3_tree import S3Settings
from tracestore.storage.objects.keys import RESERVED_PART
from tracestore.storage.objects.measured import StoreMetrics
from tracestore.storage.objects.s3 import S3ObjectStore
from tracestore.storage.objects.s3_attempts import Attempts, Request
from tracestore.storage.objects.s3_client import endpoint_url, make_client
from tracestore.storage.objects.s3_failures import (
    LIBRARY_ERRORS,
    Failure,
    failure_of,
)


def open_s3(
    settings: S3Settings,
    metrics: StoreMetrics,
    clock: Clock,
    rng: random.Random,
    *,
    writes: bool = True,
) -> S3ObjectStore:
    """Open a bucket.

    Args:
        writes: whether the process will write, so that conditional writes are looked at.

    Raises: SettingsError naming what is wrong: endpoint, credentials, bucket, conditional writes,
    or a store that answers with errors all the time.
    """
    if not settings.bucket:
        raise SettingsError("storage.s3.bucket is not set: name the bucket")
    client = make_client(settings)
    attempts = Attempts(settings, metrics, clock, rng)
    start = _Start(client, settings, attempts)
    start.check_bucket()
    if writes and settings.check_conditional_writes:
        start.check_conditions()
    return S3ObjectStore(client, settings, attempts)


class _Start:
    """The questions of the start."""

    def __init__(self, client: Any, settings: S3Settings, attempts: Attempts) -> None:
        self._client = client
        self._settings = settings
        self._attempts = attempts
        self._where = endpoint_url(settings) or f"Amazon S3 ({client.meta.region_name})"

    def check_bucket(self) -> None:
        """See that the bucket is there and may be listed."""
        bucket = self._settings.bucket
        prefix = self._settings.prefix.strip("/")
        failure = self._ask(
            f"list bucket {bucket} at {self._where}",
            lambda: self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1),
        )
        if failure is None:
            failure = self._ask(
                f"find bucket {bucket} at {self._where}",
                lambda: self._client.head_bucket(Bucket=bucket),
            )
        if failure is not None:
            raise self._told(failure)

    def check_conditions(self) -> None:
        """See that the store refuses to create what is there and to replace what is another."""
        key = f"{RESERVED_PART}/probe/{uuid.uuid4()}"
        prefix = self._settings.prefix.strip("/")
        at = {"Bucket": self._settings.bucket, "Key": f"{prefix}/{key}" if prefix else key}
        try:
            self._must(at, "create an object", IfNoneMatch="*", Body=b"1")
            self._must_not(at, "If-None-Match: *", "creates what exists", IfNoneMatch="*")
            wrong = '"00000000000000000000000000000000"'
            self._must_not(at, "If-Match", "replaces what has another etag", IfMatch=wrong)
        finally:
            self._ask("delete the probe", lambda: self._client.delete_object(**at))

    def _must(self, at: dict[str, str], what: str, **arguments: Any) -> None:
        failure = self._ask(
            f"{what} in {self._settings.bucket}",
            lambda: self._client.put_object(**at, **arguments),
        )
        if failure is not None and failure.status == 501:
            raise self._ignores("If-None-Match: *", f"answers {failure.status} {failure.code}")
        if failure is not None and failure.status != 412:
            raise self._told(failure)

    def _must_not(self, at: dict[str, str], header: str, does: str, **arguments: Any) -> None:
        failure = self._ask(
            f"write with {header}", lambda: self._client.put_object(**at, Body=b"2", **arguments)
        )
        if failure is None:
            raise self._ignores(header, f"{does} all the same")
        if failure.status == 501:
            raise self._ignores(header, f"answers {failure.status} {failure.code}")
        if failure.status not in (412, 409, 404):
            raise self._told(failure)

    def _ignores(self, header: str, does: str) -> SettingsError:
        return SettingsError(
            f"the object store at {self._where} does not keep conditional writes ({header}): it "
            f"{does}, so that two processes would overwrite each other's index; use a store that "
            "does: docs/storage.md names some"
        )

    def _ask(self, what: str, call: Callable[[], Any]) -> Failure | None:
        """Ask within the bounds of any request; None if it was done."""
        try:
            (failure,) = self._attempts.run(
                Request(operation="start", what=what), lambda: (_judged(call, what),)
            )
        except UnavailableError as error:
            raise SettingsError(f"storage.s3: {error}; check endpoint and network") from error
        return failure

    def _told(self, failure: Failure) -> SettingsError:
        """Make the error that the operator reads."""
        bucket = self._settings.bucket
        if failure.code in ("NoSuchBucket", "404", "NotFound"):
            return SettingsError(
                f"storage.s3.bucket: there is no bucket {bucket} at {self._where}; create it"
            )
        return SettingsError(f"storage.s3: {failure.error}")


def _judged(call: Callable[[], Any], what: str) -> Failure | None:
    """Ask once. A failure that no further attempt would mend is an answer."""
    try:
        call()
    except LIBRARY_ERRORS as error:
        failure = failure_of(error, what)
        if failure.again:
            raise
        return failure
    return None

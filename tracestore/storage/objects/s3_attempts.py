"""Attempts at a request: bounded in number and time, with waits that grow and differ."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tracestore.clock import Clock
from tracestore.errors import ConflictError, NotFoundError, UnavailableError
from tracestore.model.times import SECOND_NS
from tracestore.settings.s3_tree import S3Settings
from tracestore.storage.objects.measured import StoreMetrics
from tracestore.storage.objects.s3_failures import LIBRARY_ERRORS, Failure, failure_of

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is measured and told of a request."""

    operation: str
    """As ``StoreMetrics`` names it."""
    what: str
    """In words, for messages."""
    sent_bytes: int = 0


class TruncatedError(OSError):
    """An answer that ended early."""


class Attempts:
    """Makes requests. Thread-safe; the library's own retries are off, so these are all there are.

    Args:
        sleep: waits some seconds; for tests.
    """

    def __init__(
        self,
        settings: S3Settings,
        metrics: StoreMetrics,
        clock: Clock,
        rng: random.Random,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._sleep = sleep

    def run(
        self,
        request: Request,
        call: Callable[[], _Answer],
        *,
        received: Callable[[_Answer], int] = lambda _: 0,
        instead: Callable[[Failure], _Answer | None] = lambda _: None,
        settled: Callable[[Failure], _Answer | None] = lambda _: None,
    ) -> _Answer:
        """Make a request until it succeeds, is refused, or the bounds are reached.

        Args:
            received: the bytes of an answer.
            instead: what a refusal says that is an answer too.
            settled: asked when a further attempt is refused after one whose outcome is unknown:
                the answer of that one, if it is found to have been done.

        Raises: NotFoundError; ConflictError; UnavailableError.
        """
        settings = self._settings
        end_ns = self._clock.monotonic_ns() + int(settings.deadline_s * SECOND_NS)
        unknown = False
        attempt = 1
        while True:
            outcome = self._attempt(request, call, received)
            if not isinstance(outcome, Failure):
                return outcome
            if not outcome.again:
                answer = settled(outcome) if unknown else instead(outcome)
                if answer is not None:
                    return answer
            unknown = unknown or outcome.unknown
            if not outcome.again:
                raise outcome.error
            wait_s = self._wait_s(attempt)
            late = self._clock.monotonic_ns() + int(wait_s * SECOND_NS) >= end_ns
            if attempt >= settings.attempts_max or late:
                raise UnavailableError(f"{outcome.error} (after {attempt} attempts)")
            self._sleep(wait_s)
            attempt += 1

    def _attempt(
        self, request: Request, call: Callable[[], _Answer], received: Callable[[_Answer], int]
    ) -> _Answer | Failure:
        started_ns = self._clock.monotonic_ns()
        outcome = "error"
        received_bytes = 0
        try:
            answer = call()
            received_bytes = received(answer)
            outcome = "ok"
        except LIBRARY_ERRORS as error:
            failure = failure_of(error, request.what)
            outcome = _outcome(failure)
            return failure
        finally:
            seconds = (self._clock.monotonic_ns() - started_ns) / SECOND_NS
            self._metrics.request(
                request.operation, outcome, seconds, request.sent_bytes, received_bytes
            )
        return answer

    def _wait_s(self, attempt: int) -> float:
        longest = min(
            self._settings.retry_max_s, self._settings.retry_min_s * float(1 << (attempt - 1))
        )
        return longest * (0.5 + self._rng.random() / 2)


def _outcome(failure: Failure) -> str:
    if isinstance(failure.error, NotFoundError):
        return "not_found"
    if isinstance(failure.error, ConflictError):
        return "conflict"
    return "slow_down" if failure.status in (429, 503) else "error"

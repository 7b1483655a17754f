"""Putting one object of a log so that its outcome is known: stored, or the log is no longer ours.

A put whose answer got lost is asked again under the same number with the same bytes. The conflict
that follows is looked at: our own bytes mean that it was stored, anything else that a peer has
sealed the log. Time-outs, conflicts and a bucket that is away are therefore all safe.

A tombstone that is old enough may have been collected, and then the number is free again. So a
writer that was asleep for longer than ``PROOF_AGE_MAX_S`` first asks the index whether it is still
the one; tombstones live for a day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tracestore.clock import Clock
from tracestore.errors import ConflictError, NotFoundError, UnavailableError
from tracestore.model.ids import WriterId
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import wal_key

PROOF_AGE_MAX_S = 60.0
"""So long a put proves that the log was ours when it began; far less than a tombstone lives."""


class LogLostError(ConflictError):
    """A peer answers for the log now: begin another one."""


@dataclass(frozen=True, slots=True)
class _Instant:
    """A moment on two clocks: one stands still while a machine sleeps, the other can be set."""

    monotonic_ns: int
    wall_ns: int

    def age_s(self, clock: Clock) -> float:
        """Tell how much time has passed, by the clock that says more."""
        monotonic_ns = clock.monotonic_ns() - self.monotonic_ns
        return max(monotonic_ns, clock.now_ns() - self.wall_ns) / 1e9


class ObjectPut:
    """Puts the objects of one log. Thread-safe; objects are put side by side."""

    def __init__(
        self, store: ObjectStore, writer: WriterId, is_ours: Callable[[], bool], clock: Clock
    ) -> None:
        """Args:
        is_ours: reads the index; whether the writer is in it and nobody has adopted it. Raises:
            UnavailableError.
        """
        self._store = store
        self._writer = writer
        self._is_ours = is_ours
        self._clock = clock
        self._proof = self._now()

    def attempt(self, number: int, content: bytes) -> None:
        """Store an object; once this returns it is durable and the log is ours.

        Raises: UnavailableError (the outcome is open, and trying again is right), LogLostError.
        """
        if self._proof.age_s(self._clock) > PROOF_AGE_MAX_S:
            self._ask()
        began = self._now()
        if not self._put(number, content):
            raise LogLostError(f"write-ahead log {self._writer} was sealed at object {number}")
        if began.age_s(self._clock) > PROOF_AGE_MAX_S:
            self._ask()
        else:
            self._proof = began

    def _put(self, number: int, content: bytes) -> bool:
        """Put an object. Returns: False if another one has its place."""
        key = wal_key(self._writer, number)
        try:
            self._store.put_if_absent(key, content)
        except ConflictError:
            return self._is_own(key, content)
        return True

    def _is_own(self, key: str, content: bytes) -> bool:
        """Tell whether the object that is in our way is our own, put by a lost attempt."""
        try:
            return self._store.get(key) == content
        except NotFoundError as error:
            self._ask()
            raise UnavailableError(f"object {key} was there and is not any more") from error

    def _ask(self) -> None:
        asked = self._now()
        if not self._is_ours():
            raise LogLostError(f"write-ahead log {self._writer} was adopted")
        self._proof = asked

    def _now(self) -> _Instant:
        return _Instant(self._clock.monotonic_ns(), self._clock.now_ns())

"""What may stop a query: its deadline, and nobody waiting for the answer any more."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from tracestore.clock import Clock
from tracestore.errors import DeadlineError, LimitExceededError


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryControl:
    """Asked between the pieces of a query: per chunk, per trace."""

    clock: Clock
    deadline_ns: int | None = None
    """On the monotonic clock; None: no deadline."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    bytes_max: int = 0
    """Bytes of columns that the query may look at; 0: no bound."""

    answer_bytes_max: int = 0
    """Bytes of the answer, about; 0: no bound."""

    def check(self) -> None:
        """Raises: DeadlineError when the query should not go on."""
        if self.cancelled.is_set():
            raise DeadlineError("the query was cancelled")
        if self.deadline_ns is not None and self.clock.monotonic_ns() >= self.deadline_ns:
            raise DeadlineError(
                "the query ran out of time: narrow its time range or its conditions, "
                "or allow more time (query.query_timeout_s)"
            )

    def check_bytes(self, inspected_bytes: int) -> None:
        """Raises: LimitExceededError when the query has looked at more than it may."""
        if self.bytes_max and inspected_bytes > self.bytes_max:
            raise LimitExceededError(
                f"the query reads more than {self.bytes_max} bytes: narrow its time range or its "
                "conditions, or allow more (query.max_bytes_read)",
                limit="max_bytes_read",
            )

    def check_answer(self, answer_bytes: int) -> None:
        """Raises: LimitExceededError when the answer has become larger than it may."""
        if self.answer_bytes_max and answer_bytes > self.answer_bytes_max:
            raise LimitExceededError(
                f"the answer is larger than {self.answer_bytes_max} bytes: ask for fewer traces "
                "(limit), fewer spans of each (spss) or fewer fields, or allow more "
                "(query.max_answer_bytes)",
                limit="max_answer_bytes",
            )

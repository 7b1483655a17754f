"""What may stop a query: its deadline, and nobody waiting for the answer any more."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from tracestore.clock import Clock
from tracestore.errors import DeadlineError


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryControl:
    """Asked between the pieces of a query: per chunk, per trace."""

    clock: Clock
    deadline_ns: int | None = None
    """On the monotonic clock; None: no deadline."""
    cancelled: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raises: DeadlineError when the query should not go on."""
        if self.cancelled.is_set():
            raise DeadlineError("the query was cancelled")
        if self.deadline_ns is not None and self.clock.monotonic_ns() >= self.deadline_ns:
            raise DeadlineError(
                "the query ran out of time: narrow its time range or its conditions, "
                "or allow more time (query.query_timeout_s)"
            )

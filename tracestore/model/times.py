"""Times are integer unix nanoseconds, ranges half-open."""

from __future__ import annotations

from dataclasses import dataclass

SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """``start_ns <= t < end_ns``."""

    start_ns: int
    end_ns: int

    def overlaps(self, first_ns: int, last_ns: int) -> bool:
        """Tell whether the closed interval from ``first_ns`` to ``last_ns`` meets this range."""
        return first_ns < self.end_ns and last_ns >= self.start_ns

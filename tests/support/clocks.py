"""A clock that stands still until it is told to move."""

from __future__ import annotations


class ManualClock:
    """Sleeping moves it on at once."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self.time_ns = now_ns

    def now_ns(self) -> int:
        return self.time_ns

    def monotonic_ns(self) -> int:
        return self.time_ns

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move on, or back."""
        self.time_ns += int(seconds * 1e9)

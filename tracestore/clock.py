"""Time as a value that is passed in, so that a failure replays.

The only reader of the clock of the machine.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What code may know of time."""

    def now_ns(self) -> int:
        """Wall clock, unix nanoseconds."""

    def monotonic_ns(self) -> int:
        """A clock that never goes back; for durations and deadlines only."""

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling coroutine."""


class SystemClock:
    """The clock of the machine."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

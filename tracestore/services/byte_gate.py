"""A bound on bytes that are on their way somewhere, with a bounded queue in front of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tracestore.errors import UnavailableError


class ByteGate:
    """Lets so many bytes in at a time, first come, first served. Used from one event loop."""

    def __init__(self, what: str, *, bytes_max: int, waiting_max: int, wait_s: float) -> None:
        """Args:
        what: is held, for messages.
        bytes_max: held at a time; one alone may be larger.
        waiting_max: that may wait.
        wait_s: how long one waits.
        """
        self._what = what
        self._bytes_max = bytes_max
        self._waiting_max = waiting_max
        self._wait_s = wait_s
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def held(self) -> int:
        """Bytes that are inside."""
        return self._held

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Have room for some bytes.

        Raises: UnavailableError if too many wait, or this one has waited too long.
        """
        if self._waiting or not self._fits(size):
            await self._wait(size)
        else:
            self._held += size
        try:
            yield
        finally:
            self._release(size)

    def _fits(self, size: int) -> bool:
        return self._held == 0 or self._held + size <= self._bytes_max

    async def _wait(self, size: int) -> None:
        full = f"{self._held} bytes of {self._what} are in flight, the limit is {self._bytes_max}"
        if len(self._waiting) >= self._waiting_max:
            raise UnavailableError(f"{full}, and {len(self._waiting)} requests wait")
        let_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size, let_in)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(self._wait_s):
                await let_in
        except BaseException as error:
            if let_in.done() and not let_in.cancelled():
                self._release(size)  # it was let in at the last moment
            else:
                self._waiting.remove(entry)
                self._let_in()  # one behind it may be small enough
            if isinstance(error, TimeoutError):
                raise UnavailableError(f"{full}, waited for {self._wait_s:g} s") from None
            raise

    def _release(self, size: int) -> None:
        self._held -= size
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, let_in = self._waiting.popleft()
            self._held += size
            let_in.set_result(None)

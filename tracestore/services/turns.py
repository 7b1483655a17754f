"""Turns of queries: so many at a time, the tenants one after another, each in its own order.

However many queries one tenant has waiting, the first of another comes next but one at the latest.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tracestore.errors import LimitExceededError

TENANTS_FULL = 10
"""So many tenants may fill their queues; that bounds what waits in all."""


class Turns:
    """Hands out turns. Used from one event loop."""

    def __init__(self, slots: int, *, waiting_max: int, refusal: str) -> None:
        """Args:
        slots: turns at a time.
        waiting_max: queries of one tenant that may wait.
        refusal: what is said to one too many.
        """
        self._free = slots
        self._waiting_max = waiting_max
        self._refusal = refusal
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """Who waits, by tenant; the tenant whose turn is next comes first. None is empty."""
        self._waiting = 0

    def waiting(self, tenant: str) -> int:
        """Count the queries of a tenant that wait."""
        return len(self._queues.get(tenant, ()))

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it. Raises: LimitExceededError if too many wait."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(tenant)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, tenant: str) -> None:
        full = self._waiting >= TENANTS_FULL * self._waiting_max
        if full or self.waiting(tenant) >= self._waiting_max:
            raise LimitExceededError(self._refusal, limit="query.max_outstanding_queries")
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(tenant, deque()).append(called)
        self._waiting += 1
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                self._pass_on()  # it was called just then
            else:
                self._leave(tenant, called)
            raise

    def _leave(self, tenant: str, called: asyncio.Future[None]) -> None:
        queue = self._queues[tenant]
        queue.remove(called)
        self._waiting -= 1
        if not queue:
            del self._queues[tenant]

    def _pass_on(self) -> None:
        """Give a turn that has ended to the next, or keep it."""
        if not self._queues:
            self._free += 1
            return
        tenant, queue = self._queues.popitem(last=False)
        called = queue.popleft()
        self._waiting -= 1
        if queue:
            self._queues[tenant] = queue
        called.set_result(None)

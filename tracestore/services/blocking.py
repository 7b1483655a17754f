"""The one crossing between asyncio and the synchronous floors: a bounded pool of threads.

A coroutine never computes for long by itself; it hands a plain function to a pool and waits. Each
pool has a purpose, a number of threads and a queue of its own, so that slow queries cannot starve
ingest.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from tracestore.errors import LimitExceededError

P = ParamSpec("P")
T = TypeVar("T")


class Completions:
    """Futures that threads complete, awaited in an event loop. Thread-safe.

    The loop is woken once for all that complete together, not once for each: a wake costs a system
    call and a change of threads, and one sync of the log completes many requests.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: list[tuple[asyncio.Future[None], Callable[[], None] | None]] = []
        """Not yet told to the loop, which knows that there are some."""
        self._loop: asyncio.AbstractEventLoop | None = None

    async def wait(self, work: Future[T], then: Callable[[], None] | None = None) -> T:
        """Wait for a future. Cancelling the caller cancels it.

        Args:
            then: called in the loop once it has ended, also if the caller has gone.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        work.add_done_callback(lambda _: self._end(loop, waiter, then))
        try:
            await waiter
            return work.result()
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            # An error holds this frame, which must not hold the error: what the function had in
            # hand, a large request say, would stay until the collector comes by.
            del work

    def _end(
        self,
        loop: asyncio.AbstractEventLoop,
        waiter: asyncio.Future[None],
        then: Callable[[], None] | None,
    ) -> None:
        with self._lock:
            if self._loop is not loop:
                self._loop, self._ended = loop, []
            self._ended.append((waiter, then))
            must_wake = len(self._ended) == 1
        if must_wake and not loop.is_closed():
            loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        with self._lock:
            ended, self._ended = self._ended, []
        for waiter, then in ended:
            if then is not None:
                then()
            if not waiter.done():
                waiter.set_result(None)


class BlockingPool:
    """A number of threads and a queue in front of them. Used from one event loop only."""

    def __init__(self, name: str, *, threads: int, waiting_max: int, refusal: str) -> None:
        """Args:
        threads: functions that run at a time.
        waiting_max: functions that may wait for a thread.
        refusal: the message of what is refused beyond that.
        """
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._completions = Completions()
        self._name = name
        self._outstanding = 0
        self._outstanding_max = threads + waiting_max
        self._refusal = refusal

    @property
    def outstanding(self) -> int:
        """Functions that run or wait."""
        return self._outstanding

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``function`` in a thread, in the caller's context, and wait for it.

        Cancelling the caller drops a function that waits; one that runs goes on to its end (and
        counts as outstanding until then), so long ones should look at a flag of their own.

        Raises: LimitExceededError if the queue is full; what the function raises.
        """
        if self._outstanding >= self._outstanding_max:
            raise LimitExceededError(self._refusal, limit=self._name, retry_after_s=1.0)
        context = contextvars.copy_context()
        work = self._executor.submit(lambda: context.run(function, *args, **kwargs))
        self._outstanding += 1
        try:
            return await self._completions.wait(work, self._one_less)
        finally:
            del work  # as in ``wait``

    def _one_less(self) -> None:
        self._outstanding -= 1

    def close(self) -> None:
        """Wait for what runs, drop what waits."""
        self._executor.shutdown(wait=True, cancel_futures=True)

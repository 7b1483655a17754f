"""The way of partial answers from the thread of a query to the stream that shows them.

A slow client never holds up a query: while it has not taken what is there, no more is made, and
the next partial answer covers what was left out.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tracestore.api.streaming import Send
from tracestore.clock import Clock
from tracestore.settings.tree import StreamingSettings

T = TypeVar("T")
Packets = list[bytes]


@dataclass(frozen=True, slots=True)
class _End:
    """Nothing more will be shown."""


class Feed(Generic[T]):
    """The ``Progress`` of one query: its messages, made in the thread of the query."""

    def __init__(
        self, render: Callable[[T], Packets], settings: StreamingSettings, clock: Clock
    ) -> None:
        """Begin now; to be made in the event loop.

        Args:
            render: makes messages of what is new in a partial answer.
        """
        self._render = render
        self._clock = clock
        self._interval_ns = int(settings.interval_s * 1e9)
        self._rest = (1 - settings.busy_max) / settings.busy_max
        self._waiting_max = settings.waiting_max
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Packets | _End] = asyncio.Queue()
        self._shown = 0  # counted in the thread of the query alone
        self._sent = 0  # counted in the event loop alone
        self._asked_ns = clock.monotonic_ns()
        self._due_ns = self._asked_ns + self._interval_ns

    def is_due(self) -> bool:
        """Tell whether enough time has passed, and the client keeps up."""
        if self._shown - self._sent >= self._waiting_max:
            return False
        self._asked_ns = self._clock.monotonic_ns()
        return self._asked_ns > self._due_ns

    def show(self, partial: T) -> None:
        """Send what is new."""
        packets = self._render(partial)
        self._shown += 1
        now_ns = self._clock.monotonic_ns()
        spent_ns = now_ns - self._asked_ns  # what it took to make it, too
        self._due_ns = now_ns + max(self._interval_ns, int(self._rest * spent_ns))
        self._loop.call_soon_threadsafe(self._queue.put_nowait, packets)

    def end(self) -> None:
        """Let ``send_all`` return once everything is sent; in the event loop."""
        self._queue.put_nowait(_End())

    async def send_all(self, send: Send) -> None:
        """Send what is shown, until the end."""
        while not isinstance(packets := await self._queue.get(), _End):
            for packet in packets:
                await send(packet)
            self._sent += 1


async def stream(
    work: Callable[[threading.Event], Awaitable[Packets]], feed: Feed[T], send: Send
) -> None:
    """Run a query and send what it shows, then its whole answer.

    Args:
        work: takes the event that is set when the client is gone; gives the last messages.

    Raises: what ``work`` or ``send`` raises.
    """
    cancelled = threading.Event()
    failure: list[Exception] = []
    last: list[Packets] = []

    async def run() -> None:
        try:
            last.append(await work(cancelled))
        except Exception as error:  # noqa: BLE001 - carried around the task group, raised below
            failure.append(error)
        finally:
            feed.end()

    async with asyncio.TaskGroup() as tasks:
        runner = tasks.create_task(run())
        try:
            await feed.send_all(send)
        except Exception as error:  # noqa: BLE001 - as above
            failure.append(error)
            runner.cancel()
        finally:
            cancelled.set()
    if failure:
        raise failure[0]
    for packet in last[0]:
        await send(packet)

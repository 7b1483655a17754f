"""Stops a query when its client goes away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request

T = TypeVar("T")


async def while_connected(request: Request, work: Callable[[threading.Event], Awaitable[T]]) -> T:
    """Run ``work`` with an event that is set once the client has disconnected.

    Raises: what ``work`` raises.
    """
    cancelled = threading.Event()
    outcome: list[T] = []
    failure: list[Exception] = []
    async with asyncio.TaskGroup() as tasks:
        watcher = tasks.create_task(_watch(request, cancelled))
        try:
            outcome.append(await work(cancelled))
        except Exception as error:  # noqa: BLE001 - carried around the task group, raised below
            failure.append(error)
        finally:
            cancelled.set()
            watcher.cancel()
    if failure:
        raise failure[0]
    return outcome[0]


async def _watch(request: Request, cancelled: threading.Event) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # the body, which no query route has a use for
    cancelled.set()

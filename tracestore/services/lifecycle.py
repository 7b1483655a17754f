"""Services as one: they start in order, drain in reverse, and one that fails ends them all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

log = logging.getLogger(__name__)


class State(StrEnum):
    """Where a service is in its life, in Tempo's words."""

    NEW = "New"
    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    TERMINATED = "Terminated"
    FAILED = "Failed"


class Service(Protocol):
    """A long-lived part of the process. Its constructor only stores what it is given."""

    @property
    def name(self) -> str:
        """What the status page calls it."""

    async def start(self) -> None:
        """Get ready; afterwards the service answers."""

    async def run(self) -> None:
        """Work until cancelled. A service lives as long as the process: returning is a failure."""

    async def drain(self) -> None:
        """Refuse new work, finish the old, flush, close. Called once, after ``run``."""


class Supervisor:
    """Starts, runs and drains the services of a process."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = tuple(services)
        self._states = {service.name: State.NEW for service in services}
        self._stopping = False

    @property
    def states(self) -> dict[str, State]:
        """State of each service by name, in the order of the start."""
        return dict(self._states)

    @property
    def stopping(self) -> bool:
        """Whether the process is on its way out."""
        return self._stopping

    @property
    def ready(self) -> bool:
        """Whether every service answers."""
        return not self._stopping and all(s is State.RUNNING for s in self._states.values())

    async def run_until(
        self, stop: asyncio.Event, *, on_started: Callable[[], None] | None = None
    ) -> None:
        """Start all, run until ``stop``, drain all.

        Args:
            on_started: called once when every service answers.

        Raises: what ended a service, after the others were drained; what drained badly.
        """
        started: list[Service] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                stopper = tasks.create_task(stop.wait())
                starter = tasks.create_task(self._start_all(started, tasks))
                if on_started is not None:
                    starter.add_done_callback(lambda done: _report(done, on_started))
                await asyncio.wait((stopper, starter), return_when=asyncio.FIRST_COMPLETED)
                await stopper
                raise _Stopped
        except* _Stopped:
            pass
        except* Exception as failures:
            raise _only(failures) from failures
        finally:
            self._stopping = True
            await self._drain_all(started)

    async def _start_all(self, started: list[Service], tasks: asyncio.TaskGroup) -> None:
        for service in self._services:
            self._states[service.name] = State.STARTING
            started.append(service)
            await service.start()
            self._states[service.name] = State.RUNNING
            tasks.create_task(self._run(service))

    async def _run(self, service: Service) -> None:
        try:
            await service.run()
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._states[service.name] = State.FAILED
            raise
        raise RuntimeError(f"service {service.name} ended by itself")

    async def _drain_all(self, started: list[Service]) -> None:
        failures: list[Exception] = []
        for service in reversed(started):
            self._states[service.name] = State.STOPPING
            try:
                await service.drain()
            except Exception as error:
                self._states[service.name] = State.FAILED
                log.exception("service did not drain", extra={"service": service.name})
                failures.append(error)
                continue
            self._states[service.name] = State.TERMINATED
        if failures:
            raise ExceptionGroup("services did not drain", failures)


def _only(failures: BaseExceptionGroup[Exception]) -> Exception:
    """Take the one failure out of its groups, if it is one."""
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup) and len(failure.exceptions) == 1:
        failure = failure.exceptions[0]
    assert isinstance(failure, Exception)
    return failure


def _report(starter: asyncio.Task[None], on_started: Callable[[], None]) -> None:
    if not starter.cancelled() and starter.exception() is None:
        on_started()


class _Stopped(Exception):  # noqa: N818 - not an error: it ends the task group
    """Carries the wish to stop through the task group, which cancels what runs in it."""

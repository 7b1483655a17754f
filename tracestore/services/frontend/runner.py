"""Answers queries by having queriers do them, on one snapshot that this process takes.

Live tables stay pinned where they are, or here, until the query is over; a job names all of them,
so whoever does it, and whoever does it again, sees the same spans.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from tracestore.clock import Clock
from tracestore.codec.job_wire import JobRequest, LostSpans, PinnedTables, SnapshotNames
from tracestore.errors import DeadlineError, InvalidRequestError, UnavailableError, UnreachableError
from tracestore.model.ids import TenantId
from tracestore.query.control import QueryControl
from tracestore.query.jobs.answers import decode_answer, encode_operation
from tracestore.query.jobs.operation import Operation
from tracestore.query.progress import Progress
from tracestore.query.source import SpanSource
from tracestore.services.frontend.dispatch import Dispatcher, Shipment, Show
from tracestore.services.live.pins import LivePins, head_of
from tracestore.services.live.remote import RemoteSource
from tracestore.services.live.snapshot import LostSource
from tracestore.services.querier.runner import Asking
from tracestore.services.querier.service import Querier
from tracestore.services.turns import Turns
from tracestore.settings.tree import QuerySettings

R = TypeVar("R")
T = TypeVar("T")

WATCH_S = 0.05
"""How often it is looked whether somebody still waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwayRunner:
    """See ``QueryRunner``: answers by the queriers of the cluster."""

    querier: Querier
    """Takes snapshots, counts and bounds queries; it evaluates nothing here."""
    dispatcher: Dispatcher
    turns: Turns
    """Of jobs, over all queries."""
    pins: LivePins
    own_address: str
    """Where queriers read what is pinned here."""

    @property
    def clock(self) -> Clock:
        """That of the querier."""
        return self.querier.clock

    @property
    def settings(self) -> QuerySettings:
        """Of the process."""
        return self.querier.settings

    def settings_for(self, tenants: tuple[TenantId, ...]) -> QuerySettings:
        """Get the settings of a query of some tenants."""
        return self.querier.settings_for(tenants)

    async def run(
        self,
        asking: Asking,
        operation: Operation[R],
        render: Callable[[R], T],
        progress: Progress[R] | None = None,
    ) -> T:
        """Have an operation answered; see ``QueryRunner``."""
        querier, tenants = self.querier, asking.tenants
        async with querier.counted(tenants, operation.kind, asking.cancelled) as control:
            work = self._attempts(tenants, operation, control, progress)
            content = await unless_stopped(control, work)
            async with querier.turn(tenants):
                return await querier.pool.run(self._finish, tenants, operation, content, render)

    async def _attempts(
        self,
        tenants: tuple[TenantId, ...],
        operation: Operation[R],
        control: QueryControl,
        progress: Progress[R] | None,
    ) -> bytes:
        """Have the query done, again on a new snapshot if a process went away under it."""
        attempts = self.settings.live.attempts_max
        for attempt in range(1, attempts + 1):
            try:
                async with self._snapshot(tenants) as names:
                    return await self._ship(tenants, operation, names, control, progress)
            except UnreachableError:
                if attempt == attempts:
                    raise
                progress = None  # what was shown of one snapshot need not begin that of another
        raise AssertionError("at least one attempt is made")

    async def _ship(
        self,
        tenants: tuple[TenantId, ...],
        operation: Operation[R],
        names: SnapshotNames,
        control: QueryControl,
        progress: Progress[R] | None,
    ) -> bytes:
        """Have the query done as one job."""
        written, snapshot = encode_operation(operation), names.encode()

        def encode(left_s: float | None) -> bytes:
            return JobRequest(
                tenants=tenants,
                operation=written,
                snapshot=snapshot,
                primary=None,
                timeout_s=left_s,
                bytes_max=control.bytes_max,
                answer_bytes_max=control.answer_bytes_max,
                shows=progress is not None,
            ).encode()

        # the same question goes to the same querier, which has read the columns before
        key = hashlib.blake2b(written, digest_size=16).hexdigest()
        shipment = Shipment(key=key, encode=encode, deadline_ns=control.deadline_ns)
        show = None if progress is None else self._shower(operation, progress)
        self.querier.metrics.jobs_per_query.labels(operation.kind.value).observe(1)
        async with self.turns.turn("|".join(tenants)):
            return await self.dispatcher.run(shipment, show)

    def _shower(self, operation: Operation[R], progress: Progress[R]) -> Show:
        def show_in_thread(content: bytes) -> None:
            if progress.is_due():
                progress.show(_read(operation, content))

        async def show(content: bytes) -> None:
            await self.querier.pool.run(show_in_thread, content)

        return show

    def _finish(
        self,
        tenants: tuple[TenantId, ...],
        operation: Operation[R],
        content: bytes,
        render: Callable[[R], T],
    ) -> T:
        answer = _read(operation, content)
        stats = operation.stats_of(answer)
        if stats is not None:
            self.querier.count_inspected(tenants, operation.kind, stats)
        return render(answer)

    @asynccontextmanager
    async def _snapshot(self, tenants: tuple[TenantId, ...]) -> AsyncIterator[SnapshotNames]:
        """Hold a snapshot of the cluster."""
        held, is_over = ExitStack(), threading.Event()
        try:
            async with self.querier.turn(tenants):
                names = await self.querier.pool.run(self._take, tenants, held, is_over)
            yield names
        finally:
            is_over.set()
            held.close()

    def _take(
        self, tenants: tuple[TenantId, ...], held: ExitStack, is_over: threading.Event
    ) -> SnapshotNames:
        live, metas = held.enter_context(self.querier.taken(tenants))
        pinned, lost = self._name(live, held)
        if is_over.is_set():  # nobody has waited for it
            held.close()
        return SnapshotNames(pinned=pinned, lost=lost, blocks=tuple(metas))

    def _name(
        self, live: Sequence[SpanSource], held: ExitStack
    ) -> tuple[tuple[PinnedTables, ...], tuple[LostSpans, ...]]:
        """Say where live sources are found; what is only here is pinned here."""
        pinned, lost, here = [], [], dict[str, SpanSource]()
        for source in live:
            if isinstance(source, LostSource):
                lost.append(LostSpans(id=source.id, reason=source.reason))
            elif isinstance(source, RemoteSource):
                pinned.append(source.pinned)
            else:
                here[source.id] = source
        if here:
            token = self.pins.pin(here)
            held.callback(self.pins.let_go, token)
            pinned += [
                PinnedTables(address=self.own_address, token=token, head=head_of(source))
                for source in here.values()
            ]
        return tuple(pinned), tuple(lost)


def _read(operation: Operation[R], content: bytes) -> R:
    try:
        return decode_answer(operation, content)
    except InvalidRequestError as error:  # not the client's fault
        raise UnavailableError(f"the answer of a querier cannot be read: {error}") from error


async def unless_stopped(control: QueryControl, work: Coroutine[Any, Any, T]) -> T:
    """Wait for work as long as somebody waits for its answer; else it is cancelled.

    Raises: DeadlineError if the time is over or nobody waits any more; what the work raises.
    """
    outcome: list[T] = []
    failure: list[Exception] = []

    async def run() -> None:
        try:
            outcome.append(await work)
        except Exception as error:  # noqa: BLE001 - carried around the task group, raised below
            failure.append(error)
        finally:
            watcher.cancel()

    async def watch() -> None:
        try:
            while True:
                control.check()
                await control.clock.sleep(WATCH_S)
        except DeadlineError as error:
            failure.append(error)
            worker.cancel()

    async with asyncio.TaskGroup() as tasks:
        worker = tasks.create_task(run())
        watcher = tasks.create_task(watch())
    if outcome:
        return outcome[0]
    raise failure[0]

"""Answers queries on one snapshot that this process takes: by queriers, or here if it is small.

Live tables stay pinned where they are, or here, until the query is over; a job names all of them,
so whoever does it, and whoever does it again, sees the same spans.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from tracestore.errors import DeadlineError, UnreachableError
from tracestore.model.block_meta import BlockMeta
from tracestore.query.control import QueryControl
from tracestore.query.jobs.operation import Operation, Site
from tracestore.query.progress import Progress
from tracestore.query.source import SpanSource
from tracestore.services.frontend.cut import Piece, cut
from tracestore.services.frontend.dispatch import Queriers
from tracestore.services.frontend.held import HeldSnapshot, HeldSnapshots
from tracestore.services.frontend.shipping import Finish, Question, Shipping
from tracestore.services.querier.runner import Asking, OverQuerier
from tracestore.storage.block.cache import BlockCache

R = TypeVar("R")
T = TypeVar("T")

WATCH_S = 0.05
"""How often it is looked whether somebody still waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontendRunner(OverQuerier):
    """See ``QueryRunner``: answers with the queriers of the cluster."""

    snapshots: HeldSnapshots
    shipping: Shipping
    queriers: Queriers
    cache: BlockCache | None
    """Of a process that is a querier itself; None: nothing is evaluated here."""

    async def run(
        self,
        asking: Asking,
        operation: Operation[R],
        render: Callable[[R], T],
        progress: Progress[R] | None = None,
    ) -> T:
        """Have an operation answered; see ``QueryRunner``."""
        querier, tenants = self.querier, asking.tenants
        attempts = self.settings.live.attempts_max
        async with querier.counted(tenants, operation.kind, asking.cancelled) as control:
            for attempt in range(1, attempts + 1):
                try:
                    async with self.snapshots.take(tenants, partial(self._cut, operation)) as taken:
                        question = Question(
                            tenants=tenants,
                            operation=operation,
                            taken=taken,
                            control=control,
                            progress=progress,
                        )
                        return await self._answer(question, render)
                except UnreachableError:  # a process went away; the next snapshot knows of it
                    control.check()
                    if attempt == attempts:
                        raise
                    progress = None  # what was shown need not begin the answer of another snapshot
        raise AssertionError("at least one attempt is made")

    async def _answer(self, question: Question[R], render: Callable[[R], T]) -> T:
        querier = self.querier
        finish: Finish[R]
        if self.cache is not None and not question.taken.pieces:
            finish = partial(self._at_home, question)
        else:
            shipped = self.shipping.answer(question)
            finish = await unless_stopped(question.control, shipped)
        async with querier.turn(question.tenants):
            return await querier.pool.run(self._finish, question, finish, render)

    def _cut(
        self, operation: Operation[Any], live: Sequence[SpanSource], metas: Sequence[BlockMeta]
    ) -> Sequence[Piece]:
        """Decide how a query is divided; no pieces: it is not. In a pool thread."""
        living = self.queriers.living()
        if not operation.is_divisible or all(member.is_self for member in living):
            return ()
        names = [member.identity.instance for member in living]
        return cut(live, metas, names, self.settings.frontend)

    def _at_home(self, question: Question[R]) -> R:
        taken: HeldSnapshot = question.taken
        blocks = [self.querier.open_block(meta) for meta in taken.metas]
        with self.querier.reading(blocks) as read:
            site = Site(control=question.control, cache=self.cache)
            sources = [*taken.live, *read]
            return question.operation.answer(sources, site, question.progress)

    def _finish(self, question: Question[R], finish: Finish[R], render: Callable[[R], T]) -> T:
        question.control.check()
        with self.querier.tracing.step("query") as span:
            sources = len(question.taken.live) + len(question.taken.metas)
            span.set_attributes(
                {
                    "tracestore.tenant": "|".join(question.tenants),
                    "tracestore.sources": sources,
                    "tracestore.jobs": len(question.taken.pieces),
                }
            )
            answer = finish()
        stats = question.operation.stats_of(answer)
        if stats is not None:
            self.querier.count_inspected(question.tenants, question.operation.kind, stats)
        return render(answer)


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

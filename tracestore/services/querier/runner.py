"""Who answers the questions of routes and streams: this process by itself, or with others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tracestore.clock import Clock
from tracestore.model.ids import TenantId
from tracestore.query.control import QueryControl
from tracestore.query.jobs.operation import Operation, Site
from tracestore.query.progress import Progress
from tracestore.query.source import SpanSource
from tracestore.services.querier.service import Querier
from tracestore.settings.tree import QuerySettings
from tracestore.storage.block.cache import BlockCache

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Whose spans a question is about, and what ends it."""

    tenants: tuple[TenantId, ...]
    """Looked at together, as if they were one tenant."""
    cancelled: threading.Event
    """Set by the caller when nobody waits for the answer any more."""


class QueryRunner(Protocol):
    """Answers operations over everything that tenants have."""

    @property
    def clock(self) -> Clock:
        """What time it is for queries."""

    @property
    def settings(self) -> QuerySettings:
        """Of the process."""

    def settings_for(self, tenants: tuple[TenantId, ...]) -> QuerySettings:
        """Get the settings of a query of some tenants."""

    async def run(
        self,
        asking: Asking,
        operation: Operation[R],
        render: Callable[[R], T],
        progress: Progress[R] | None = None,
    ) -> T:
        """Answer an operation.

        Args:
            render: makes of the answer what is sent; called in a pool thread, for it may take long.
            progress: is shown what is known so far, in a pool thread.

        Raises: UnavailableError while starting, LimitExceededError if too many wait, DeadlineError
        when the time is over, and what the operation and ``render`` raise.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class OverQuerier:
    """What all runners take from the querier of their process."""

    querier: Querier
    """Takes snapshots, counts and bounds queries."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeRunner(OverQuerier):
    """Answers in this process: from the snapshot to what is sent in one thread of its pool."""

    cache: BlockCache | None = None
    """Keeps what was counted in blocks."""

    async def run(
        self,
        asking: Asking,
        operation: Operation[R],
        render: Callable[[R], T],
        progress: Progress[R] | None = None,
    ) -> T:
        """Answer an operation at home; see ``QueryRunner``."""

        def evaluate(sources: Sequence[SpanSource], control: QueryControl) -> T:
            answer = operation.answer(sources, Site(control=control, cache=self.cache), progress)
            stats = operation.stats_of(answer)
            if stats is not None:
                self.querier.count_inspected(asking.tenants, operation.kind, stats)
            return render(answer)

        return await self.querier.run(asking.tenants, operation.kind, evaluate, asking.cancelled)

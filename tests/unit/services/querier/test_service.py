import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from support.blocks import block_meta
from support.clocks import ManualClock

from tracestore.errors import DeadlineError, LimitExceededError, UnavailableError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, TenantId
from tracestore.query.control import QueryControl
from tracestore.query.jobs.operation import QueryKind
from tracestore.query.source import SpanSource
from tracestore.services.blocking import BlockingPool
from tracestore.services.querier.service import Querier
from tracestore.settings.tree import QuerySettings, TracingSettings
from tracestore.storage.index.blocklist import BlockList
from tracestore.telemetry import Metrics
from tracestore.tracing import Tracing


@dataclass(frozen=True)
class NamedSource:
    """A source of which only the ID matters."""

    id: str


class Live:
    """Heads by ID; ``before_return`` happens between reading the heads and the block list."""

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids
        self.before_return: Callable[[], None] = lambda: None

    def has(self, tenant: TenantId) -> bool:
        return bool(self.ids)

    def sources(self, tenant: TenantId) -> Sequence[SpanSource]:
        found = [NamedSource(name) for name in self.ids]
        self.before_return()
        return found  # type: ignore[return-value]


class Setup:
    def __init__(self, *, threads: int = 1, waiting: int = 1) -> None:
        self.live = Live([])
        self.metas: tuple[BlockMeta, ...] = ()
        self.clock = ManualClock()
        self.pool = BlockingPool(
            "q", threads=threads, waiting_max=waiting, refusal="job queue full"
        )
        self.querier = Querier(
            settings=QuerySettings(query_timeout_s=30.0),
            live=self.live,
            blocks=lambda: BlockList(tenants={SINGLE_TENANT: self.metas}),
            open_block=lambda meta: NamedSource(meta.id),  # type: ignore[arg-type,return-value]
            pool=self.pool,
            metrics=Metrics(version="0"),
            clock=self.clock,
            tracing=Tracing(TracingSettings(), version="0"),
            is_ready=lambda: True,
        )

    def ids(self) -> list[str]:
        with self.querier.snapshot((SINGLE_TENANT,)) as sources:
            return [source.id for source in sources]

    async def run(
        self,
        evaluate: Callable[[Sequence[SpanSource], QueryControl], object],
        cancelled: threading.Event | None = None,
    ) -> object:
        return await self.querier.run(
            (SINGLE_TENANT,), QueryKind.SEARCH, evaluate, cancelled or threading.Event()
        )


def meta(name: str) -> BlockMeta:
    return block_meta(name, tenant=SINGLE_TENANT)


def test_a_flush_between_the_two_reads_leaves_neither_gap_nor_double() -> None:
    setup = Setup()
    setup.live.ids = ["b", "c"]
    setup.metas = (meta("a"),)

    def flush_b() -> None:
        setup.metas = (meta("a"), meta("b"))
        setup.live.ids = ["c"]

    before = setup.ids()
    setup.live.before_return = flush_b
    during = setup.ids()
    after = setup.ids()

    assert sorted(before) == sorted(during) == sorted(after) == ["a", "b", "c"]


def test_too_many_queries_are_refused() -> None:
    setup = Setup()
    gate = threading.Event()

    async def check() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(setup.run(lambda sources, control: gate.wait()))
            await asyncio.sleep(0)
            with pytest.raises(LimitExceededError, match=r"^job queue full$"):
                await setup.run(lambda sources, control: None)
            gate.set()

    asyncio.run(check())


def test_a_query_has_a_deadline() -> None:
    setup = Setup()

    def slow(sources: Sequence[SpanSource], control: QueryControl) -> None:
        setup.clock.advance(31)
        control.check()

    with pytest.raises(DeadlineError):
        asyncio.run(setup.run(slow))


def test_a_query_that_nobody_waits_for_stops() -> None:
    cancelled = threading.Event()
    cancelled.set()

    with pytest.raises(DeadlineError):
        asyncio.run(Setup().run(lambda sources, control: pytest.fail("ran"), cancelled))


def test_nothing_is_answered_before_everything_is_there() -> None:
    setup = Setup()
    starting = replace(setup.querier, is_ready=lambda: False)

    with pytest.raises(UnavailableError, match="starting"):
        asyncio.run(
            starting.run((SINGLE_TENANT,), QueryKind.SEARCH, lambda s, c: None, threading.Event())
        )

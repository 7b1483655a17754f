"""Queries in jobs over real gRPC give what one process gives that reads all sources itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest
from support.otlp import request, span
from support.query import control
from support.query_cluster import query_cluster
from support.search_cases import place_spans, request_for
from support.written_blocks import write_block

from tracestore.errors import DeadlineError, InvalidRequestError, LimitExceededError, NotFoundError
from tracestore.kernel import SpanBuilder, build_tables
from tracestore.model.block_meta import BlockMeta
from tracestore.model.results import SearchResult
from tracestore.model.series import Grid
from tracestore.model.tags import TagScope
from tracestore.query.block_source import BlockSource
from tracestore.query.jobs.metrics import ComputeMetrics
from tracestore.query.jobs.operation import Operation, Site
from tracestore.query.jobs.search import SearchTraces
from tracestore.query.jobs.tags import ListNames, ListValues, Narrowing
from tracestore.query.jobs.trace import GetTrace
from tracestore.query.metrics import MetricsParams
from tracestore.query.search import SearchParams
from tracestore.query.source import SpanSource
from tracestore.services.ingester.live import LiveSource
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.memory import MemoryObjectStore

R = TypeVar("R")
SOURCES = 5
PARAMS = SearchParams(limit=100, spans_per_span_set=3)


@dataclass
class World:
    """Spans of the same traces in blocks and in live tables."""

    store: MemoryObjectStore
    metas: list[BlockMeta]
    live: list[SpanSource]
    trace_id: bytes

    def sources(self) -> list[SpanSource]:
        """All of them."""
        cache = BlockCache(1 << 24)
        return [*self.live, *(BlockSource(self.store, meta, cache) for meta in self.metas)]

    def at_home(self, operation: Operation[R]) -> R:
        """What one process answers."""
        return operation.answer(self.sources(), Site(control=control()))


def make_world(seed: int) -> World:
    placed, store = place_spans(seed, SOURCES), MemoryObjectStore()
    metas, live = list[BlockMeta](), list[SpanSource]()
    trace_id = b""
    for number in range(SOURCES):
        request = request_for(placed, number)
        tables = build_tables([request])
        if tables.spans.num_rows == 0:
            continue
        trace_id = tables.traces["trace_id"][0].as_py()
        if number == 0:
            builder = SpanBuilder()
            builder.append(request)
            live.append(LiveSource(builder.freeze(attribute_columns_max=3), "head"))
        else:
            block = f"0190b6f0-0000-7000-8000-00000000000{number}"
            metas.append(write_block(store, tables, block=block))
    return World(store, metas, live, trace_id)


def questions(world: World) -> Sequence[Operation[Any]]:
    sources = world.sources()
    first, last = min(s.start_ns for s in sources), max(s.end_ns for s in sources)
    step_ns = max(1, (last - first) // 4)
    grid = Grid(origin_ns=first - step_ns, step_ns=step_ns, count=7)
    return [
        SearchTraces(text="{ }", params=PARAMS),
        SearchTraces(text="{ status = error } | count() > 1", params=replace(PARAMS, limit=2)),
        SearchTraces(text="{ } >> { .a != nil }", params=replace(PARAMS, count=True)),
        ComputeMetrics(
            text="{ } | rate() by (name)", is_instant=False, params=MetricsParams(grid=grid)
        ),
        ListNames(scopes=tuple(TagScope), narrowing=Narrowing()),
        ListValues(tag="name", is_legacy=False, narrowing=Narrowing(filter="{ status = error }")),
        GetTrace(trace_id=world.trace_id),
        GetTrace(trace_id=b"\xfe" * 16),
    ]


def plain(answer: object) -> object:
    """Leave out what tells how the answer came about."""
    return [
        getattr(answer, name, None)
        for name in ("traces", "total", "missing", "scopes", "types", "texts")
    ] + [
        [(one.labels, one.points.tolist(), one.values.tolist(), one.fill) for one in series]
        for series in [getattr(answer, "series", ())]
    ]


@pytest.mark.parametrize("job_bytes", [1, 1 << 30])
@pytest.mark.parametrize("seed", range(3))
def test_jobs_give_the_answer_of_one_process(seed: int, job_bytes: int) -> None:
    world = make_world(seed)
    operations = questions(world)

    async def ask_all() -> list[Any]:
        async with query_cluster(
            world.live, lambda: world.store, world.metas, job_bytes=job_bytes
        ) as cluster:
            answers = [await cluster.ask(operation) for operation in operations]
            at_least = len(operations) * (1 if job_bytes > 1 else len(world.sources()) // 2)
            assert cluster.jobs() >= at_least
            return answers

    answers = asyncio.run(ask_all())

    for operation, answer in zip(operations, answers, strict=True):
        expected = world.at_home(operation)
        if isinstance(operation, GetTrace):
            assert (answer and answer.found.otlp) == (expected and expected.found.otlp)
        else:
            assert repr(plain(answer)) == repr(plain(expected)), operation


class Shown:
    """Takes every partial answer there is."""

    def __init__(self) -> None:
        self.partial: list[SearchResult] = []

    def is_due(self) -> bool:
        return True

    def show(self, partial: SearchResult) -> None:
        self.partial.append(partial)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_shown_begins_the_answer(seed: int) -> None:
    world = make_world(seed)
    search = SearchTraces(text="{ }", params=PARAMS)

    async def ask() -> tuple[SearchResult, list[SearchResult]]:
        shown = Shown()
        async with query_cluster(world.live, lambda: world.store, world.metas) as cluster:
            return await cluster.ask(search, progress=shown), shown.partial

    answer, shown = asyncio.run(ask())

    assert shown
    for partial in shown:
        assert partial.traces == answer.traces[: len(partial.traces)]


def test_the_newest_traces_are_the_answer_once_no_other_job_can_have_newer_ones() -> None:
    """One block each, an hour apart."""
    store = MemoryObjectStore()
    metas = []
    for number in range(4):
        at_ms = number * 3_600_000
        body = request(
            resource={"service.name": "shop"},
            spans=[span(trace=number + 1, id=1, name="n", start_ms=at_ms)],
        )
        block = f"0190b6f0-0000-7000-8000-00000000000{number}"
        metas.append(write_block(store, build_tables([body]), block=block))
    world = World(store, metas, [], b"")
    newest = SearchTraces(text="{ }", params=replace(PARAMS, limit=1))

    async def ask() -> SearchResult:
        async with query_cluster([], lambda: store, metas) as cluster:
            return await cluster.ask(newest)

    answer, expected = asyncio.run(ask()), world.at_home(newest)

    assert answer.traces == expected.traces
    assert answer.stats.total_blocks == expected.stats.total_blocks == 4
    assert answer.stats.total_jobs == expected.stats.total_jobs


def test_what_is_held_for_a_query_is_let_go() -> None:
    world = make_world(1)

    async def ask() -> int:
        async with query_cluster(world.live, lambda: world.store, world.metas) as cluster:
            await cluster.ask(SearchTraces(text="{ }", params=PARAMS))
            return cluster.frontend.pins.held

    assert asyncio.run(ask()) == 0


def test_mistakes_and_limits_keep_their_class() -> None:
    world = make_world(2)

    async def ask(operation: Operation[Any], bytes_max: int = 0) -> None:
        async with query_cluster(world.live, lambda: world.store, world.metas) as cluster:
            querier = cluster.runner.querier
            settings = replace(querier.settings, max_bytes_read=bytes_max)
            bounded = replace(cluster.runner, querier=replace(querier, settings=settings))
            await replace(cluster, runner=bounded).ask(operation)

    with pytest.raises(InvalidRequestError, match="expected"):
        asyncio.run(ask(SearchTraces(text="{ .a = }", params=PARAMS)))
    with pytest.raises(LimitExceededError, match="max_bytes_read"):
        asyncio.run(ask(SearchTraces(text="{ .a != nil }", params=PARAMS), bytes_max=10))


def test_a_block_that_one_cannot_read_is_missing_from_all_parts_or_fails_the_query() -> None:
    world = make_world(3)
    lost = world.metas[1]
    broken = MemoryObjectStore()
    for found in world.store.list(""):
        if str(lost.id) not in found.key:
            broken.put(found.key, world.store.get(found.key))
    stores = iter([world.store, broken])
    partial = SearchTraces(text="{ .a != nil }", params=replace(PARAMS, allow_partial=True))

    async def ask() -> Any:
        async with query_cluster(world.live, lambda: next(stores), world.metas) as cluster:
            return await cluster.ask(partial)

    answer = asyncio.run(ask())

    # whoever has it at home decides: either all parts had it, or all are without
    without = [source for source in world.sources() if source.id != lost.id]
    expected = {
        (): world.at_home(partial).traces,
        (str(lost.id),): partial.answer(without, Site(control=control())).traces,
    }
    assert answer.missing in expected
    assert answer.traces == expected[answer.missing]


def test_a_cancelled_query_stops_the_threads_that_work_on_it() -> None:
    world = make_world(4)
    gate, reading = threading.Event(), threading.Event()
    gate.set()
    reads: list[str] = []

    class Gated(MemoryObjectStore):
        """Holds reads back while the gate is closed."""

        def get_range(self, key: str, start: int, length: int) -> bytes:
            reads.append(key)
            reading.set()
            assert gate.wait(20)
            return world.store.get_range(key, start, length)

        def get(self, key: str) -> bytes:
            reads.append(key)
            reading.set()
            assert gate.wait(20)
            return world.store.get(key)

    async def ask() -> None:
        question = SearchTraces(text="{ .a != nil }", params=PARAMS)
        async with query_cluster(world.live, Gated, world.metas) as cluster:
            await cluster.ask(question)
        whole = len(reads)
        reads.clear()
        reading.clear()
        gate.clear()
        async with query_cluster(world.live, Gated, world.metas) as cluster:
            cancelled = threading.Event()
            asked = asyncio.ensure_future(cluster.ask(question, cancelled=cancelled))
            await asyncio.to_thread(reading.wait, 20)
            cancelled.set()
            with pytest.raises(DeadlineError, match="cancelled"):
                await asked
            async with asyncio.timeout(20):
                gate.set()
                while any(node.pool.outstanding for node in cluster.queriers):
                    await asyncio.sleep(0.01)
            # each thread comes to the end of the read that it was in, or was about to begin, and
            # looks at its control
            assert len(reads) < whole / 2

    asyncio.run(ask())


def test_a_missing_object_fails_a_query_that_wants_all() -> None:
    world = make_world(3)

    async def ask() -> None:
        async with query_cluster(world.live, MemoryObjectStore, world.metas) as cluster:
            await cluster.ask(SearchTraces(text="{ .a != nil }", params=PARAMS))

    with pytest.raises(Exception, match="cannot be read") as raised:
        asyncio.run(ask())
    assert not isinstance(raised.value, NotFoundError)

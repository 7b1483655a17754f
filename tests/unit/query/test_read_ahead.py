"""Reading ahead changes no answer, and asks for nothing that would not be asked for."""

import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.otlp import request, span
from support.query import control, run_metrics, run_search

from tracestore.clock import SystemClock
from tracestore.errors import UnavailableError
from tracestore.kernel import build_tables
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, BlockId
from tracestore.model.results import QueryStats
from tracestore.model.series import Grid
from tracestore.model.tables import Table
from tracestore.model.times import SECOND_NS
from tracestore.query.block_source import BlockSource
from tracestore.query.read_ahead import ReadAhead
from tracestore.query.trace_by_id import find_trace
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.table_reader import SpanTablesReader
from tracestore.storage.block.writer import BlockIdentity, BlockWriter
from tracestore.storage.objects.cached import CachedObjectStore
from tracestore.storage.objects.disk_cache import DiskCache
from tracestore.storage.objects.memory import MemoryObjectStore

BLOCKS = 24
EPOCH_NS = 1_700_000_000 * SECOND_NS


class Recording(MemoryObjectStore):
    """Notes every read, and the thread that made it; fails for keys in ``broken``."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[str, int, int]] = []
        self.threads: set[int] = set()
        self.broken = ""
        self.directory = Path()

    def get(self, key: str) -> bytes:
        self._note(key, 0, -1)
        return super().get(key)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        self._note(key, offset, length)
        return super().get_range(key, offset, length)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        for each in ranges:
            self._note(key, *each)
        return super().get_ranges(key, ranges)

    def _note(self, key: str, offset: int, length: int) -> None:
        if self.broken and self.broken in key:
            raise UnavailableError(f"{key} is broken")
        self.reads.append((key, offset, length))
        self.threads.add(threading.get_ident())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recording, list[BlockMeta]]:
    store = Recording()
    store.directory = tmp_path_factory.mktemp("caches")
    writer = BlockWriter(store, BlockSettings(row_group_spans=2), SystemClock())
    metas = []
    for number in range(BLOCKS):
        requests = []
        for trace in range(1, 6):
            requests.append(
                request(
                    resource={"service.name": f"s{number % 3}"},
                    spans=[
                        span(
                            trace=1000 * number + trace,
                            id=trace,
                            name=f"n{trace}",
                            status="error" if trace == 2 else "ok",
                            start_ms=1000 * number + trace,
                            attributes={"n": number},
                        )
                    ],
                )
            )
        identity = BlockIdentity(id=BlockId(f"{number:032x}"), tenant=SINGLE_TENANT)
        metas.append(writer.write(SpanTablesReader(build_tables(requests)), identity))
    return store, metas


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def sources_of(written, cache: BlockCache) -> list[BlockSource]:  # type: ignore[no-untyped-def]
    """Open the blocks as a process does, with an empty cache on the disk."""
    recording, metas = written
    recording.reads.clear()
    recording.threads.clear()
    disk = DiskCache(tempfile.mkdtemp(dir=recording.directory), 1 << 30, SystemClock())
    store = CachedObjectStore(recording, disk)
    return [BlockSource(store, meta, cache) for meta in reversed(metas)]


SEARCHES = ["{ }", "{ status = error }", "{ span.n = 7 }", '{ name = "none" }', "{ duration > 1h }"]


@pytest.mark.parametrize("text", SEARCHES)
@pytest.mark.parametrize("limit", [1, 1000])
def test_a_search_is_answered_as_without(written, executor, text: str, limit: int) -> None:  # type: ignore[no-untyped-def]
    plain = run_search(sources_of(written, BlockCache(1 << 26)), text, limit=limit)
    alone = set(written[0].reads)
    ahead = ReadAhead(sources_of(written, BlockCache(1 << 26)), executor, blocks_max=8)
    found = run_search(ahead.sources, text, limit=limit)
    ahead.close()

    assert found.traces == plain.traces
    assert found.stats == plain.stats
    reads = written[0].reads
    assert len(reads) == len(set(reads)), "something is read twice"
    if limit > 1:
        assert set(reads) == alone, "a query over all blocks reads no more than without"


def test_several_threads_read(written, executor) -> None:  # type: ignore[no-untyped-def]
    grid = Grid(origin_ns=EPOCH_NS - SECOND_NS, step_ns=10 * SECOND_NS, count=10)
    plain = run_metrics(sources_of(written, BlockCache(1 << 26)), "{ } | rate()", grid)
    ahead = ReadAhead(sources_of(written, BlockCache(1 << 26)), executor, blocks_max=8)
    found = run_metrics(ahead.sources, "{ } | rate()", grid)
    ahead.close()

    assert [series.labels for series in found.series] == [s.labels for s in plain.series]
    assert len(written[0].threads) > 1


def test_a_look_at_one_block_reads_nothing_ahead(written, executor) -> None:  # type: ignore[no-untyped-def]
    ahead = ReadAhead(sources_of(written, BlockCache(1 << 26)), executor, blocks_max=8)
    first = ahead.sources[0]
    first.read(Table.SPANS, ["name"], first.chunks()[0], QueryStats())
    ahead.close()

    assert len({key.split("/")[2] for key, _, _ in written[0].reads}) == 1


def test_a_trace_is_looked_for_in_many_blocks_at_once(written, executor) -> None:  # type: ignore[no-untyped-def]
    ahead = ReadAhead(sources_of(written, BlockCache(1 << 26)), executor, blocks_max=8)
    found = find_trace(ahead.sources, (1000 * 3 + 2).to_bytes(16, "big"), control())
    ahead.close()

    assert found is not None
    assert found.spans == 1
    assert len(written[0].threads) > 1


def test_a_block_that_cannot_be_read_fails_where_it_is_asked_for(written, executor) -> None:  # type: ignore[no-untyped-def]
    store, metas = written
    store.broken = metas[10].id
    try:
        ahead = ReadAhead(sources_of(written, BlockCache(1 << 26)), executor, blocks_max=8)
        with pytest.raises(UnavailableError, match=metas[10].id):
            find_trace(ahead.sources, bytes(15) + b"\x99", control())
        ahead.close()
    finally:
        store.broken = ""

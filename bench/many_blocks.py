"""What a search costs over many small blocks: CPU milliseconds, cold and warm.

Blocks follow one another in time; one trace of each goes on in the next.

    python bench/many_blocks.py --blocks 1000
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parent))
from load import SERVICES, START_NS, batch, resource, trace

import traceql
from tracestore import kernel
from tracestore.clock import SystemClock
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, BlockId
from tracestore.model.results import SearchResult
from tracestore.model.times import SECOND_NS, TimeRange
from tracestore.query.block_source import BlockSource
from tracestore.query.control import QueryControl
from tracestore.query.plan import plan_search
from tracestore.query.search import SearchParams, search
from tracestore.query.trace_by_id import find_trace
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.table_reader import SpanTablesReader
from tracestore.storage.block.writer import BlockIdentity, BlockWriter
from tracestore.storage.objects.local import LocalObjectStore

T = TypeVar("T")
QUERIES = [
    "{ }",
    "{ status = error }",
    '{ span.no.such.key = "x" }',
    '{ span.app.request.id = "0123456789abcdef" }',
    '{ resource.service.name = "no-such" && duration > 1h }',
    '{ name = "nothing of that name" }',
    "{ nestedSetParent < 0 && duration > 10h }",
]


def write_blocks(store: LocalObjectStore, count: int, traces: int) -> list[BlockMeta]:
    """Write blocks one after the other in time; the last trace of each goes on in the next."""
    rng = random.Random(3)
    resources = [resource(service, service % 5) for service in range(len(SERVICES))]
    writer = BlockWriter(store, BlockSettings(), SystemClock())
    metas, now_ns = [], START_NS
    carried: list[tuple[int, int, bytes]] = []
    for number in range(count):
        spans, carried = carried, []
        for _ in range(traces):
            last = trace(rng, now_ns)
            now_ns += rng.randrange(20_000_000)
            spans += last
        if len(last) > 1:
            carried = [spans.pop()]
        reader = SpanTablesReader(kernel.build_tables([batch(spans, resources)]))
        identity = BlockIdentity(id=BlockId(f"{number * 0x9E3779B9:032x}"), tenant=SINGLE_TENANT)
        metas.append(writer.write(reader, identity))
    return metas


def run(
    sources: list[BlockSource], text: str, window: TimeRange | None, limit: int
) -> SearchResult:
    """Search as the API does."""
    plan = plan_search(traceql.parse(text))
    params = SearchParams(
        limit=limit, spans_per_span_set=3, window=window, reach_ns=3600 * SECOND_NS
    )
    return search(sources, plan, params, QueryControl(clock=SystemClock()))


def cpu_ms(work: Callable[[], T]) -> tuple[float, T]:
    """Time one call."""
    begin = time.process_time_ns()
    result = work()
    return (time.process_time_ns() - begin) / 1e6, result


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=1000)
    parser.add_argument("--traces", type=int, default=20, help="traces in a block")
    parser.add_argument("--profile", help="profile one query instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = LocalObjectStore(Path(directory))
        metas = write_blocks(store, arguments.blocks, arguments.traces)
        cache = BlockCache(1 << 30)
        sources = [BlockSource(store, meta, cache) for meta in metas]
        middle = metas[len(metas) // 2]
        window = TimeRange(start_ns=middle.start_ns, end_ns=middle.end_ns)
        if arguments.profile:
            profile(sources, arguments.profile)
            return
        print(f"{'cold ms':>9} {'warm ms':>9} {'traces':>7}  query")
        for text in QUERIES:
            for limit, during in ((20, None), (20, window), (100_000, None)):
                cold, _ = cpu_ms(partial(run, sources, text, during, limit))
                warm, result = cpu_ms(partial(run, sources, text, during, limit))
                suffix = f"  limit {limit}" + ("  one block's time" if during else "")
                print(f"{cold:>9.1f} {warm:>9.1f} {len(result.traces):>7}  {text}{suffix}")
        control = QueryControl(clock=SystemClock())
        known = run(sources, "{ }", None, 1).traces[0].trace_id
        for name, trace_id in (("known", known), ("unknown", bytes(15) + b"1")):
            spent, _ = cpu_ms(partial(find_trace, sources, trace_id, control))
            print(f"{'':>9} {spent:>9.1f} {'':>7}  trace by ID, {name}")


def profile(sources: list[BlockSource], text: str) -> None:
    """Show where the time of a warm query goes."""
    run(sources, text, None, 20)
    profiler = cProfile.Profile()
    profiler.runcall(run, sources, text, None, 20)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()

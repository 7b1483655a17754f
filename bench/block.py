"""What a block costs: CPU to write it, bytes a span by column, CPU to read columns and traces.

python bench/block.py --spans 1000000
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parent))
from load import requests

from tracestore.clock import SystemClock
from tracestore.kernel import FrozenSpans, SpanBuilder
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, BlockId
from tracestore.model.results import QueryStats
from tracestore.model.tables import Table
from tracestore.query.block_source import BlockSource
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.writer import BlockIdentity, BlockWriter
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.local import LocalObjectStore

LOOKUPS = 200
Result = TypeVar("Result")


def timed(name: str, count: int, unit: str, work: Callable[[], Result]) -> Result:
    """Run and print the CPU time per thing."""
    started = time.process_time()
    result = work()
    each = (time.process_time() - started) / count * 1e6
    print(f"{name:36} {each:10.3f} us CPU a {unit}")
    return result


def build(spans: int) -> FrozenSpans:
    """Decode the synthetic load."""
    builder = SpanBuilder()
    for payload in requests(spans):
        builder.append(payload)
    return builder.freeze()


def print_sizes(reader: BlockReader, meta: BlockMeta) -> None:
    """Print the bytes a span of each object, and of each column of ``spans``."""
    print(f"\n{'object':36} {'bytes a span':>12}")
    for name, size in meta.object_bytes.items():
        print(f"{name:36} {size / meta.spans:12.3f}")
    print(f"{'all':36} {meta.stored_bytes / meta.spans:12.3f}")
    footer = reader.footer(Table.SPANS)
    print(f"\n{'column of spans':36} {'bytes a span':>12}")
    for name in footer.schema.names:
        size = sum(footer.stored_bytes(group, name) for group in range(footer.row_groups))
        print(f"{name:36} {size / meta.spans:12.3f}")


def read_column(source: BlockSource, name: str) -> None:
    """Read a column of all chunks."""
    for chunk in source.chunks():
        source.read(Table.SPANS, [name], chunk, QueryStats())


def find_traces(source: BlockSource, trace_ids: list[bytes]) -> None:
    """Read traces by ID; all of them must be there."""
    for trace_id in trace_ids:
        if source.find_trace(trace_id, QueryStats()) is None:
            raise AssertionError(f"trace {trace_id.hex()} was not found")


def measure_reads(store: ObjectStore, meta: BlockMeta, cache_bytes: int) -> None:
    """Read columns, cold and warm, and traces by ID."""
    print()
    source = BlockSource(store, meta, BlockCache(cache_bytes))
    for name in ("duration", "name", "span_id"):
        timed(f"column {name}, cold", meta.spans, "span", partial(read_column, source, name))
    timed("column duration, warm", meta.spans, "span", lambda: read_column(source, "duration"))
    ids = source.read(Table.TRACES, ["trace_id"], None, QueryStats())[0].to_pylist()
    rng = random.Random(1)
    chunk = source.chunks()[rng.randrange(len(source.chunks()))]
    near = ids[chunk.first_trace : chunk.first_trace + chunk.traces]
    timed("trace by ID, cold", 1, "trace", lambda: find_traces(source, [rng.choice(near)]))
    warm = [rng.choice(near) for _ in range(LOOKUPS)]
    timed("trace by ID, warm", LOOKUPS, "trace", lambda: find_traces(source, warm))
    absent = [rng.randbytes(16) for _ in range(LOOKUPS)]
    timed(
        "trace by ID, absent",
        LOOKUPS,
        "trace",
        lambda: [source.find_trace(trace_id, QueryStats()) for trace_id in absent],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--cache-mib", type=int, default=256)
    options = parser.parse_args()
    frozen = timed("generate and decode", options.spans, "span", lambda: build(options.spans))
    timed("all columns", options.spans, "span", frozen.tables)
    with tempfile.TemporaryDirectory() as directory:
        store = LocalObjectStore(directory)
        writer = BlockWriter(store, BlockSettings(), SystemClock())
        identity = BlockIdentity(id=BlockId("bench"), tenant=SINGLE_TENANT)
        spans = frozen.rows(Table.SPANS)
        meta = timed("write", spans, "span", lambda: writer.write(frozen, identity))
        print_sizes(BlockReader(store, meta, BlockCache(1 << 24)), meta)
        measure_reads(store, meta, options.cache_mib << 20)


if __name__ == "__main__":
    main()

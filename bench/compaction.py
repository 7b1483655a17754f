"""Merging blocks: spans per CPU second, from reading to writing, and the memory that it takes.

    python -m bench.compaction [--blocks 8]

Writes recorded spans as flushed blocks whose traces are spread over them, merges them
in a process that does nothing else, and prints the figures. Hard inputs: ``merge_memory``.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.recordings import ONLINE_BOUTIQUE, TRAIN_TICKET, read_recording

from tracestore.clock import SystemClock
from tracestore.kernel import SpanBuilder
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, new_block_id
from tracestore.services.compactor.merging import merge_bounds
from tracestore.settings.compactor_tree import CompactionSettings
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.writer import BlockIdentity, BlockWriter
from tracestore.storage.compaction.merge import merge_blocks
from tracestore.storage.objects.local import LocalObjectStore


def main() -> None:
    """Write in one process, merge and print in another."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=8)
    options = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory:
        with processes.Pool(1) as pool:
            metas = pool.apply(write_blocks, (directory, options.blocks))
        with processes.Pool(1) as pool:
            print(pool.apply(merge, (directory, metas)))


def merge(directory: str, metas: list[BlockMeta]) -> str:
    """Merge, and tell what it took."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    started = time.process_time()
    result = merge_blocks(
        LocalObjectStore(directory),
        metas,
        settings=BlockSettings(),
        clock=SystemClock(),
        rng=random.Random(2),
        bounds=merge_bounds(CompactionSettings()),
    )
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return (
        f"{len(metas)} blocks of {result.spans_in} spans -> {len(result.metas)} of "
        f"{result.spans_out}: {result.spans_in / seconds:,.0f} spans per CPU second, "
        f"{result.traces_in} parts of traces -> {result.traces_out} traces, "
        f"resident {before} MiB before, {peak} MiB at most"
    )


def write_blocks(directory: str, count: int) -> list[BlockMeta]:
    """Write blocks; request i goes into block i modulo their number."""
    store, rng = LocalObjectStore(directory), random.Random(1)
    writer = BlockWriter(store, BlockSettings(), SystemClock())
    metas = []
    for number in range(count):
        builder = SpanBuilder()
        for content in itertools.islice(recorded(), number, None, count):
            builder.append(content)
        id = new_block_id(SystemClock().now_ns(), rng)
        identity = BlockIdentity(id=id, tenant=SINGLE_TENANT)
        metas.append(writer.write(builder.freeze(), identity))
    return metas


def recorded() -> Iterator[bytes]:
    """Give the recorded requests."""
    for recording in (ONLINE_BOUTIQUE, TRAIN_TICKET):
        yield from read_recording(recording)


if __name__ == "__main__":
    main()

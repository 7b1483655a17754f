"""Merging blocks: spans per CPU second, from reading to writing, and the memory that it takes.

    python -m bench.compaction [--blocks 8] [--repeat 1]

Writes recorded spans as flushed blocks whose traces are spread over them, merges them, and prints
the figures as a line. Runs in one process; the memory is the peak of the process over the merge.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.recordings import ONLINE_BOUTIQUE, TRAIN_TICKET, read_recording

from tracestore.clock import SystemClock
from tracestore.kernel import SpanBuilder
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, new_block_id
from tracestore.settings.compactor_tree import CompactionSettings
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.writer import BlockIdentity, BlockWriter
from tracestore.storage.compaction.merge import merge_blocks
from tracestore.storage.objects.local import LocalObjectStore


def main() -> None:
    """Write, merge, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=8)
    options = parser.parse_args()
    clock, rng = SystemClock(), random.Random(1)
    with tempfile.TemporaryDirectory() as directory:
        store = LocalObjectStore(directory)
        metas = write_blocks(store, options.blocks, rng)
        started = time.process_time()
        result = merge_blocks(
            store,
            metas,
            settings=BlockSettings(),
            clock=clock,
            rng=rng,
            spans_max=CompactionSettings().spans_max,
        )
        seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{len(metas)} blocks of {result.spans_in} spans -> {len(result.metas)} of "
        f"{result.spans_out}: {result.spans_in / seconds:,.0f} spans per CPU second, "
        f"{result.traces_in} parts of traces -> {result.traces_out} traces, "
        f"peak {peak} MiB (writing the inputs included)"
    )


def write_blocks(store: LocalObjectStore, count: int, rng: random.Random) -> list[BlockMeta]:
    """Write blocks; request i goes into block i modulo their number."""
    writer = BlockWriter(store, BlockSettings(), SystemClock())
    metas = []
    for number in range(count):
        builder = SpanBuilder()
        for recording in (ONLINE_BOUTIQUE, TRAIN_TICKET):
            for place, request in enumerate(read_recording(recording)):
                if place % count == number:
                    builder.append(request)
        id = new_block_id(SystemClock().now_ns(), rng)
        identity = BlockIdentity(id=id, tenant=SINGLE_TENANT)
        metas.append(writer.write(builder.freeze(), identity))
    return metas


if __name__ == "__main__":
    main()

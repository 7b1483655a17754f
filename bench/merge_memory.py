"""The memory of a merge, in a process of its own, for inputs that are hard on it.

    python bench/merge_memory.py SHAPE [--spans 1000000] [--blocks 4]

giant: one trace of recorded spans, spread over the blocks. blocks: recorded spans in many blocks,
each trace moved to IDs of its own per block. wide: 512 keys, 17 on each span. These are made up,
and each is one trace, if not said otherwise: large: spans with five attributes; repeated: the same,
but every block has all of them; texts: an attribute of 100 KB on each; events: 20 events and 10
links on each; resources: one of its own for each span, in traces of ten. The blocks are written by
one process and merged by another, whose peak of resident memory is printed.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

SPANS_OF_A_REQUEST = 2000
MADE = ("large", "repeated", "texts", "events", "resources")
TEXT_BYTES = 100_000


def main() -> None:
    """Write the blocks, or merge them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", choices=["giant", "blocks", "wide", *MADE])
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--merge", help="merge the blocks of this directory, and do nothing else")
    parser.add_argument("--write", help="write the blocks into this directory, and do nothing else")
    options = parser.parse_args()
    if options.merge:
        print(json.dumps(merge(options.merge)))
        return
    if options.write:
        write(options.write, options.shape, options.spans, options.blocks)
        return
    with tempfile.TemporaryDirectory() as directory:
        write(directory, options.shape, options.spans, options.blocks)
        arguments = [sys.executable, __file__, options.shape]
        print(options.shape, flush=True)
        subprocess.run([*arguments, "--merge", directory], check=True)


def merge(directory: str) -> dict[str, float]:
    """Merge all blocks of a directory."""
    from tracestore.clock import SystemClock
    from tracestore.model.block_meta import BlockMeta
    from tracestore.services.compactor.merging import merge_bounds
    from tracestore.settings.compactor_tree import CompactionSettings
    from tracestore.settings.tree import BlockSettings
    from tracestore.storage.compaction.merge import merge_blocks
    from tracestore.storage.objects.local import LocalObjectStore

    metas = [
        BlockMeta.from_json(path.read_bytes(), key=str(path))
        for path in Path(directory).glob("blocks/*/*/meta.json")
    ]
    before = _peak_mib()
    started = time.process_time()
    result = merge_blocks(
        LocalObjectStore(directory),
        metas,
        settings=BlockSettings(),
        clock=SystemClock(),
        rng=random.Random(1),
        bounds=merge_bounds(CompactionSettings()),
    )
    seconds = time.process_time() - started
    return {
        "inputs": len(metas),
        "outputs": len(result.metas),
        "spans_in": result.spans_in,
        "spans_out": result.spans_out,
        "spans_per_cpu_second": round(result.spans_in / seconds),
        "peak_mib_before": before,
        "peak_mib": _peak_mib(),
    }


def _peak_mib() -> int:
    """Read the peak of this process alone: what the parent had at the fork does not count."""
    status = Path("/proc/self/status").read_text()
    found = [line for line in status.splitlines() if line.startswith("VmHWM")]
    if found:
        return int(found[0].split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def write(directory: str, shape: str, spans: int, blocks: int) -> None:
    """Write the input blocks."""
    from tracestore.clock import SystemClock
    from tracestore.kernel import SpanBuilder
    from tracestore.model.ids import SINGLE_TENANT, new_block_id
    from tracestore.settings.tree import BlockSettings
    from tracestore.storage.block.writer import BlockIdentity, BlockWriter
    from tracestore.storage.objects.local import LocalObjectStore

    rng = random.Random(1)
    writer = BlockWriter(LocalObjectStore(directory), BlockSettings(), SystemClock())
    requests = _wide(rng) if shape == "wide" else _recorded(rng, is_one_trace=shape == "giant")
    for _ in range(blocks):
        if shape in MADE:
            seed = 1 if shape == "repeated" else rng.random()
            requests = _made(random.Random(seed), shape)
        builder = SpanBuilder()
        while builder.spans < (spans if shape == "repeated" else spans // blocks):
            builder.append(next(requests))
        identity = BlockIdentity(id=new_block_id(SystemClock().now_ns(), rng), tenant=SINGLE_TENANT)
        writer.write(builder.freeze(), identity)


def _recorded(rng: random.Random, *, is_one_trace: bool) -> Iterator[bytes]:
    """Recorded requests with other IDs, again and again."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
    from support.recordings import ONLINE_BOUTIQUE, TRAIN_TICKET, read_recording

    parents: list[bytes] = []
    while True:
        for recording in (ONLINE_BOUTIQUE, TRAIN_TICKET):
            mask = rng.randbytes(16)
            for request in read_recording(recording, requests_max=150):
                message = TracesData.FromString(request)
                for resources in message.resource_spans:
                    for scopes in resources.scope_spans:
                        for span in scopes.spans:
                            if not is_one_trace:
                                old = span.trace_id
                                span.trace_id = bytes(a ^ b for a, b in zip(old, mask, strict=True))
                                continue
                            span.trace_id = b"one giant trace."
                            span.span_id = rng.randbytes(8)
                            span.parent_span_id = rng.choice(parents) if parents else b""
                            if len(parents) < 5000:
                                parents.append(span.span_id)
                yield message.SerializeToString()


def _wide(rng: random.Random) -> Iterator[bytes]:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from support.otlp import request, span

    keys = [f"key.{number}" for number in range(512)]
    while True:
        yield request(
            resource={"service.name": "wide"},
            scope="s",
            spans=[
                span(
                    trace=rng.getrandbits(127) | 1,
                    id=rng.getrandbits(63) | 1,
                    attributes={k: f"value {rng.randrange(1000)}" for k in rng.sample(keys, 17)},
                )
                for _ in range(SPANS_OF_A_REQUEST)
            ],
        )


def _made(rng: random.Random, shape: str) -> Iterator[bytes]:
    """Make requests of one trace, or of traces of ten spans; columns of IDs are put in anew."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    import numpy as np
    import pyarrow as pa
    from support.otlp import event, link, request, span

    from tracestore.kernel import build_tables, encode

    count = 20 if shape == "texts" else SPANS_OF_A_REQUEST
    chance = np.random.default_rng(rng.getrandbits(32))
    while True:
        spans = [
            span(
                trace=rng.getrandbits(120) + 1 if shape == "resources" and n % 10 == 0 else 1,
                id=n + 1,
                parent=1,
                name=f"operation {n % 50}",
                start_ms=n,
                attributes={"a": n % 7, "b": f"value {n % 100}", "c": True, "d": 0.5, "e": "x" * 40}
                | ({"text": rng.randbytes(TEXT_BYTES // 2).hex()} if shape == "texts" else {}),
                events=[event("e", at_ms=n, attributes={"i": n})] * 20 * (shape == "events"),
                links=[link(n + 1, 1)] * 10 * (shape == "events"),
            )
            for n in range(count)
        ]
        if shape == "resources":
            for n, one in enumerate(spans):
                one.trace_id = spans[n - n % 10].trace_id
                resource = {"service.name": "s", "host.id": rng.randbytes(16).hex(), "n": n}
                yield request(resource=resource, scope="s", spans=[one])
            continue
        tables = build_tables([request(resource={"service.name": "s"}, scope="s", spans=spans)])
        for _ in range(1 if shape == "texts" else 50):
            ids = chance.integers(1, 1 << 63, count, np.uint64)
            parents = np.roll(ids, 1)
            columns = {"span_id": ids, "parent_span_id": parents}
            made = tables.spans
            for name, values in columns.items():
                buffers = [None, pa.py_buffer(values)]
                array = pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), count, buffers)
                place = made.schema.get_field_index(name)
                made = made.set_column(place, made.schema.field(place), array)
            yield encode(replace(tables, spans=made))


if __name__ == "__main__":
    main()

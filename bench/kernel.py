"""What the kernel does in a CPU second: check, append, freeze and all columns, and how much memory.

python bench/kernel.py --spans 500000
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
from load import requests

from tracestore.kernel import LiveTraces, SpanBuilder, check, encode, limit_request, shard
from tracestore.model.tables import Table

Result = TypeVar("Result")


def timed(name: str, spans: int, work: Callable[[], Result]) -> Result:
    """Run and print the CPU time."""
    started = time.process_time()
    result = work()
    seconds = time.process_time() - started
    print(f"{name:24} {seconds:8.3f} s {spans / seconds:12,.0f} spans/CPU-s")
    return result


def append_all(builder: SpanBuilder, payloads: list[bytes]) -> None:
    for payload in payloads:
        builder.append(payload)


def admit_all(payloads: list[bytes], counts: list[int]) -> None:
    """Hold every request against limits of live traces and their sizes, which let all pass."""
    traces = LiveTraces(seed=1, idle_s=5, keep_s=300, traces_max=1_000_000)
    for number, (payload, spans) in enumerate(zip(payloads, counts, strict=True)):
        traces.admit(payload, spans, 1 + number // 40, traces_max=10**7, bytes_max=5_000_000)


def cut_all(payloads: list[bytes], size: int) -> None:
    for payload in payloads:
        limit_request(payload, attribute_bytes_max=size)


def shard_all(payloads: list[bytes], counts: list[int], places: int) -> None:
    """Cut every request by trace ID."""
    seeds = np.arange(1, places + 1, dtype=np.uint64)
    for payload, spans in zip(payloads, counts, strict=True):
        shard(payload, spans, seeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", type=int, default=500_000)
    spans = parser.parse_args().spans
    payloads = timed("generate", spans, lambda: list(requests(spans)))
    builder = SpanBuilder()
    timed("check", spans, lambda: [check(payload) for payload in payloads])
    counts = [check(payload).spans for payload in payloads]
    timed("admit", spans, lambda: admit_all(payloads, counts))
    timed("limit, some attributes", spans, lambda: cut_all(payloads, 16))
    timed("shard, 3 places", spans, lambda: shard_all(payloads, counts, 3))
    timed("shard, 30 places", spans, lambda: shard_all(payloads, counts, 30))
    timed("append (with check)", spans, lambda: append_all(builder, payloads))
    frozen = timed("freeze", spans, builder.freeze)
    tables = timed("all columns", spans, frozen.tables)
    timed("freeze again", spans, builder.freeze)
    timed("encode", spans, lambda: encode(tables))
    print(f"{'wire':24} {builder.wire_bytes / spans:8.1f} bytes a span")
    print(f"{'builder':24} {builder.memory_bytes / spans:8.1f} bytes a span")
    print(f"{'columns':24} {tables.nbytes / spans:8.1f} bytes a span")
    for table in Table:
        rows, columns = frozen.rows(table), len(frozen.schema(table))
        print(f"{table.value:24} {rows:8} rows, {columns} columns")


if __name__ == "__main__":
    main()

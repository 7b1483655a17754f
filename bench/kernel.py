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
from load import requests

from tracestore.kernel import SpanBuilder, check, encode
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", type=int, default=500_000)
    spans = parser.parse_args().spans
    payloads = timed("generate", spans, lambda: list(requests(spans)))
    builder = SpanBuilder()
    timed("check", spans, lambda: [check(payload) for payload in payloads])
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

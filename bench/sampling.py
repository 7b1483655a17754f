"""Cost of judging a head by a sampling policy, and of the steps around it, without a server.

Makes the live tables of the load of ``bench/load.py``, as an ingester has them when a block is due,
judges them by policies, and writes the block of what stays. CPU seconds of this process, best of
several runs.

    python bench/sampling.py --spans 400000
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from load import requests

from tracestore.clock import SystemClock
from tracestore.codec.filters import hash_trace_ids
from tracestore.kernel import FrozenSpans, SpanBuilder
from tracestore.model.ids import SINGLE_TENANT, BlockId
from tracestore.model.tables import Table
from tracestore.query.control import QueryControl
from tracestore.query.wholes import scan_of
from tracestore.services.ingester.live import LiveSource
from tracestore.services.sampling.judging import deciding_rules
from tracestore.services.sampling.memory import DecisionMemory
from tracestore.services.sampling.policy import parse_policy
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.kept import KeptTraces
from tracestore.storage.block.table_reader import TableReader
from tracestore.storage.block.writer import BlockIdentity, BlockWriter
from tracestore.storage.objects.memory import MemoryObjectStore

NOISE = '{ span.http.target = "/health" }'
POLICIES = {
    "a ratio": (("keep_ratio: 0.1",), ()),
    "four entries and noise": (
        (
            "keep: { status = error }",
            "keep: { trace:duration > 2s }",
            'keep: { resource.service.name =~ "payment-api|auth-service" }',
            "keep_ratio: 0.1",
        ),
        (NOISE,),
    ),
}
BLOCK = BlockId("0190b6f0-0000-7000-8000-000000000001")


def timed(work: Callable[[], object], runs: int) -> float:
    """CPU seconds of the best run."""
    best = float("inf")
    for _ in range(runs):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def head(payloads: list[bytes]) -> FrozenSpans:
    builder = SpanBuilder()
    for payload in payloads:
        builder.append(payload)
    return builder.freeze()


def write(reader: TableReader) -> None:
    identity = BlockIdentity(id=BLOCK, tenant=SINGLE_TENANT)
    BlockWriter(MemoryObjectStore(), BlockSettings(), SystemClock()).write(reader, identity)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=400_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    payloads = list(requests(arguments.spans))
    frozen = head(payloads)
    spans, control = frozen.rows(Table.SPANS), QueryControl(clock=SystemClock())

    def show(name: str, seconds: float, note: str = "") -> None:
        print(f"{name:44} {seconds * 1e9 / spans:8.0f} ns a span  {note}")

    def judged(name: str) -> np.ndarray:
        policy = parse_policy(*POLICIES[name])
        scan = scan_of(LiveSource(frozen, BLOCK), control)
        places = deciding_rules(policy, scan, (), control)
        return policy.weights(places, hash_trace_ids(scan.traces.ids))

    show("decode", timed(lambda: head(payloads), 1))
    show("write everything", timed(lambda: write(frozen), arguments.runs))
    for name in POLICIES:
        weights = judged(name)
        share = float((weights > 0).mean())
        show(f"judge, {name}", timed(lambda name=name: judged(name), arguments.runs))
        show(
            "  write what stays",
            timed(lambda w=weights: write(KeptTraces(frozen, w)), arguments.runs),
            f"{share:.0%} of the traces",
        )
    scan = scan_of(LiveSource(frozen, BLOCK), control)
    hashes = hash_trace_ids(scan.traces.ids)
    memory = DecisionMemory(traces_max=4_000_000, keep_s=3600)
    for number in range(10):
        known = hashes ^ np.uint64(number + 1)
        memory.remember("a", known, np.zeros(len(known)), number)
    asked = timed(lambda: memory.recall("a", hashes, 10), arguments.runs)
    print(f"{'ask the memory, ten flushes in it':44} {asked * 1e9 / len(hashes):8.0f} ns a trace")


if __name__ == "__main__":
    main()

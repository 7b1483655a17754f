"""What it costs to answer a question in parts: CPU seconds of one job and of a job a block.

Blocks follow one another in time; one trace of each goes on in the next.

    python bench/jobs.py --blocks 8 --traces 4000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from load import START_NS
from many_blocks import write_blocks

from tracestore.clock import SystemClock
from tracestore.model.series import Grid
from tracestore.model.tags import TagScope
from tracestore.model.times import SECOND_NS
from tracestore.query.block_source import BlockSource
from tracestore.query.control import QueryControl
from tracestore.query.jobs.metrics import ComputeMetrics
from tracestore.query.jobs.operation import Share, Site
from tracestore.query.jobs.questions import AnyOperation
from tracestore.query.jobs.search import SearchTraces
from tracestore.query.jobs.tags import ListNames, ListValues, Narrowing
from tracestore.query.metrics import MetricsParams
from tracestore.query.ordering import Sort
from tracestore.query.search import SearchParams
from tracestore.query.source import SpanSource
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.local import LocalObjectStore

SEARCHES = [
    ("newest", "{ status = error }", Sort.NEWEST, False),
    ("counted", "{ status = error }", Sort.NEWEST, True),
    ("rare", "{ nestedSetParent < 0 && duration > 10h }", Sort.NEWEST, False),
    ("structural, counted", "{ status = error } << { kind = server }", Sort.NEWEST, True),
]
METRICS = [
    "{} | rate() by(resource.service.name)",
    "{ status = error } | quantile_over_time(duration, .5, .99) by(name)",
    "{ kind = server } >> { status = error } | count_over_time() by(name)",
    "{} | compare({ status = error })",
]


def questions(seconds: int) -> list[tuple[str, AnyOperation]]:
    """Make the questions."""
    grid = Grid(origin_ns=START_NS - 1, step_ns=-(-seconds * SECOND_NS // 100), count=100)
    found: list[tuple[str, AnyOperation]] = []
    for name, text, sort, count in SEARCHES:
        params = SearchParams(limit=20, spans_per_span_set=3, sort=sort, count=count, query=text)
        found.append((f"{text}, {name}", SearchTraces(text=text, params=params)))
    for text in METRICS:
        params_of = MetricsParams(grid=grid, exemplars=100)
        found.append((text, ComputeMetrics(text=text, is_instant=False, params=params_of)))
    narrowing = Narrowing(filter="{ status = error }")
    found.append(("names, filtered", ListNames(scopes=tuple(TagScope), narrowing=narrowing)))
    found.append(("values of name", ListValues(tag="name", is_legacy=False, narrowing=narrowing)))
    return found


def cpu_s(ask: Callable[[], object], runs: int) -> float:
    """Measure the fastest of some runs."""
    spent = []
    for _ in range(runs):
        begin = time.process_time()
        ask()
        spent.append(time.process_time() - begin)
    return min(spent)


def in_parts(operation: AnyOperation, sources: Sequence[SpanSource], site: Site) -> int:
    """Ask with a job a source. Returns: bytes of the parts."""
    parts = [
        operation.part(sources, site, Share(primary=frozenset({source.id}))) for source in sources
    ]
    operation.combine(parts, site)
    return sum(map(len, parts))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--traces", type=int, default=4000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = LocalObjectStore(Path(directory))
        metas = write_blocks(store, options.blocks, options.traces)
        cache = BlockCache(1 << 30)
        sources: list[SpanSource] = [BlockSource(store, meta, cache) for meta in metas]
        site = Site(control=QueryControl(clock=SystemClock()), cache=cache)
        end_ns = max(source.end_ns for source in sources)
        print(f"{options.blocks} blocks, {sum(meta.spans for meta in metas)} spans")
        print(f"{'question':72} {'1 job':>8} {options.blocks:>3} jobs  ratio   KB sent")
        for name, operation in questions((end_ns - START_NS) // SECOND_NS + 1):
            operation.answer(sources, site)  # warm
            one = cpu_s(lambda op=operation: op.answer(sources, site), options.runs)
            sent = in_parts(operation, sources, site)
            many = cpu_s(lambda op=operation: in_parts(op, sources, site), options.runs)
            print(f"{name:72} {one:8.3f} {many:8.3f} {many / one:6.2f} {sent / 1000:9.1f}")


if __name__ == "__main__":
    main()

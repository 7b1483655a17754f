"""How the cost of a search grows with the number of blocks: CPU milliseconds, warm, the median.

Blocks follow one another in time, the last trace of each goes on in the next. Searches that must
look at every span count all matches; those that filters prune, and those that are done with the
newest blocks, should not grow.

    python bench/growth.py --blocks 30 --traces 12500 --runs 3
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from many_blocks import write_blocks

import traceql
from tracestore.cli.memory import tune_process
from tracestore.clock import SystemClock
from tracestore.model.results import QueryStats
from tracestore.model.tables import Table
from tracestore.query.block_source import BlockSource
from tracestore.query.control import QueryControl
from tracestore.query.plan import plan_search
from tracestore.query.search import SearchParams, search
from tracestore.query.trace_by_id import find_trace
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.local import LocalObjectStore

STEPS = (1, 2, 5, 10, 20, 30)
EVERY_SPAN = [
    "{ status = error }",
    '{ resource.service.name = "cart-api" }',
    "{ span.http.response.status_code >= 500 && kind = server }",
    "{ kind = server } >> { status = error }",
    "{} | avg(duration) > 20ms",
    "{} | by(resource.service.name) | count() > 5",
]
PRUNED = [
    '{ span.no.such.key = "x" }',
    '{ span.request.id = "0123456789abcdef" }',
    '{ resource.service.name = "no-such" && status = error }',
    "{ duration > 1h }",
]
NEWEST = ["{ }", "{ status = error }"]


def run(sources: list[BlockSource], text: str, count: bool) -> None:
    """Search as the API does; with ``count`` all matches are looked for."""
    params = SearchParams(limit=20, spans_per_span_set=3, count=count)
    plan = plan_search(traceql.parse(text))
    search(sources, plan, params, QueryControl(clock=SystemClock()))


def cpu_ms(work: Callable[[], object], runs: int) -> float:
    """Time a few calls after one that does not count: the median."""
    times = []
    for _ in range(runs + 1):
        begin = time.process_time_ns()
        work()
        times.append((time.process_time_ns() - begin) / 1e6)
    return statistics.median(times[1:])


def print_row(
    name: str, cost: Callable[[list[BlockSource]], float], all_: list[BlockSource]
) -> None:
    """Print what something costs over the first blocks."""
    steps = [step for step in STEPS if step <= len(all_)]
    print(f"{name:64}" + "".join(f"{cost(all_[:step]):8.1f}" for step in steps))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=30)
    parser.add_argument("--traces", type=int, default=12_500, help="traces in a block, of 8 spans")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    tune_process()
    with tempfile.TemporaryDirectory() as directory:
        store, cache = LocalObjectStore(Path(directory)), BlockCache(8 << 30)
        metas = write_blocks(store, options.blocks, options.traces)
        sources = [BlockSource(store, meta, cache) for meta in metas]
        spans = sum(source.rows(Table.SPANS) for source in sources)
        print(f"{len(sources)} blocks, {spans} spans; CPU ms over the first")
        print(f"{'':64}" + "".join(f"{step:8}" for step in STEPS if step <= len(sources)))
        for title, texts, count in (
            ("every span, all matches counted", EVERY_SPAN, True),
            ("pruned, all matches counted", PRUNED, True),
            ("newest 20", NEWEST, False),
        ):
            print(f"\n{title}")
            for text in texts:
                print_row(
                    text,
                    lambda some, text=text, count=count: cpu_ms(  # type: ignore[misc]  # bound at once
                        partial(run, some, text, count), options.runs
                    ),
                    sources,
                )
        (ids,) = sources[0].read(Table.TRACES, ["trace_id"], None, QueryStats())
        control = QueryControl(clock=SystemClock())
        for name, trace_id in (("there", ids[0].as_py()), ("not there", bytes(15) + b"\1")):
            print_row(
                f"trace by ID, {name}",
                lambda some, trace_id=trace_id: cpu_ms(  # type: ignore[misc]  # bound at once
                    partial(find_trace, some, trace_id, control), options.runs
                ),
                sources,
            )


if __name__ == "__main__":
    main()

"""What a search costs: CPU milliseconds by kind of query, over one block of the synthetic load.

Each query is run a few times on a warm cache; the median counts. Beside it stands what it costs
``pyarrow.parquet``, on one thread, to open the file and read just the columns that the conditions
of the query ask for (of the traces if they ask for none), and how many times that the search is:
by the medians, and by the least of the runs, which other work on the machine disturbs least.
A query that is settled by statistics and filters reads no column; it has no ratio. The process is
set up as that of a server; pyarrow reads with the memory pool that it has by default.

    python bench/search.py --spans 1000000 --runs 7
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import pyarrow as pa
import pyarrow.parquet as pq
from load import requests

import traceql
from tracestore.cli.memory import tune_process
from tracestore.clock import SystemClock
from tracestore.kernel import SpanBuilder
from tracestore.model.ids import SINGLE_TENANT, BlockId
from tracestore.model.results import Explanation, SearchResult
from tracestore.model.tables import Table
from tracestore.query.block_source import BlockSource
from tracestore.query.control import QueryControl
from tracestore.query.found import Scope
from tracestore.query.plan import plan_search
from tracestore.query.search import SearchParams, search
from tracestore.query.source import SpanSource
from tracestore.services.ingester.live import LiveSource
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.writer import BlockIdentity, BlockWriter, table_name
from tracestore.storage.objects.local import LocalObjectStore

QUERIES = [
    "{ }",
    "{ status = error }",
    "{ duration > 1s }",
    '{ name = "GET /api/v1/items/{id}" }',
    '{ resource.service.name = "cart-api" }',
    '{ resource.service.name = "cart-api" && status = error }',
    '{ .service.name = "cart-api" && duration > 50ms }',
    "{ span.http.response.status_code >= 500 }",
    "{ .http.response.status_code >= 500 && kind = server }",
    "{ span.user.id = 4711 }",
    '{ span.request.id = "0123456789abcdef" }',
    '{ span.url.path =~ "/api/v1/items/1.*" }',
    '{ span.request.id =~ ".*0[a-c]f$" }',
    '{ span.url.path != "/api/v1/items/1" }',
    "{ span.cache.hit }",
    "{ span.queue.wait_ms > 20 }",
    "{ span.db.system = nil }",
    "{ nestedSetParent < 0 }",
    '{ rootName = "nothing" || traceDuration > 10s }',
    '{ span.db.query.text =~ ".*users.*" && !(status = error) }',
    "{ span.server.port * 2 = 16160 }",
    '{ span.no.such.key = "x" }',
    "{ kind = server } > { status = error }",
    "{ status = error } < { kind = server }",
    '{ resource.service.name = "cart-api" } >> { status = error }',
    "{ status = error } << { kind = server }",
    "{ kind = client } ~ { status = error }",
    "{ kind = server } !>> { kind = client }",
    "{ kind = server } &>> { status = error }",
    "{ status = error } && { span.db.system != nil }",
    "{} >> {}",
    "{ span.no.such.key = 1 } >> {}",
    "{ status = error } | count() > 2",
    "{} | avg(duration) > 20ms",
    "{} | max(duration) > 10 * avg(duration)",
    "{} | by(resource.service.name) | count() > 5",
    "{ kind = server } | by(span.http.response.status_code) | count() > 1",
    "{} | by(span.request.id) | count() > 1",
]


def sources(spans: int, directory: str) -> dict[str, SpanSource]:
    """Make the load live, and write it as a block."""
    builder = SpanBuilder()
    for payload in requests(spans):
        builder.append(payload)
    frozen = builder.freeze()
    store = LocalObjectStore(directory)
    writer = BlockWriter(store, BlockSettings(), SystemClock())
    meta = writer.write(frozen, BlockIdentity(id=BlockId("bench"), tenant=SINGLE_TENANT))
    return {
        "block": BlockSource(store, meta, BlockCache(1 << 30)),
        "live": LiveSource(frozen, "live"),
    }


def run(source: SpanSource, text: str) -> SearchResult:
    """Search as the API does by default."""
    plan = plan_search(traceql.parse(text))
    params = SearchParams(limit=20, spans_per_span_set=3)
    return search([source], plan, params, QueryControl(clock=SystemClock()))


Times = tuple[float, float]
"""CPU milliseconds: the median of some runs, and the least."""


def cpu_ms(source: SpanSource, text: str, runs: int) -> tuple[float, Times, SearchResult]:
    """Measure the first run, and the others."""
    times = []
    for _ in range(runs + 1):
        started = time.process_time()
        result = run(source, text)
        times.append((time.process_time() - started) * 1e3)
    return times[0], (statistics.median(times[1:]), min(times[1:])), result


OF_EVERY_SEARCH = {"trace_id", "first_span", "span_count", "start_time", "end_time"}
"""Columns of traces that order an answer, whatever was asked."""


def columns_asked(source: SpanSource, text: str) -> dict[Table, list[str]]:
    """Find the columns that the conditions of a query read."""
    explanation = Explanation()
    scope = Scope(
        [source],
        plan_search(traceql.parse(text)),
        QueryControl(clock=SystemClock()),
        window=None,
        reach_ns=None,
        explanation=explanation,
    )
    for scan in scope.inside:
        scope.evaluate(scan)
    asked: dict[Table, list[str]] = {}
    for table, column in explanation.columns:
        if table != Table.TRACES or column not in OF_EVERY_SEARCH:
            asked.setdefault(Table(table), []).append(column)
    if not asked and explanation.columns:
        asked[Table.TRACES] = [column for _, column in explanation.columns]
    return asked


DEFAULT_POOL = pa.default_memory_pool()


def parquet_ms(directory: Path, asked: dict[Table, list[str]], runs: int) -> Times:
    """Measure reading columns with pyarrow."""
    ours = pa.default_memory_pool()
    pa.set_memory_pool(DEFAULT_POOL)
    try:
        return _parquet_ms(directory, asked, runs)
    finally:
        pa.set_memory_pool(ours)


def _parquet_ms(directory: Path, asked: dict[Table, list[str]], runs: int) -> Times:
    times = []
    paths = {table: next(directory.rglob(table_name(table))) for table in asked}
    for _ in range(runs + 1):
        started = time.process_time()
        for table, columns in asked.items():
            pq.ParquetFile(paths[table], memory_map=True).read(columns, use_threads=False)
        times.append((time.process_time() - started) * 1e3)
    return statistics.median(times[1:]), min(times[1:])


def measure(
    name: str, source: SpanSource, runs: int, queries: Sequence[str], directory: Path | None
) -> None:
    """Print a table.

    Args:
        directory: of the block, to read its columns with pyarrow.
    """
    print(
        f"\n{name:64} {'first ms':>9} {'warm ms':>9} {'pyarrow':>8} {'ratio':>6} {'least':>6}"
        f" {'MB read':>8} {'traces':>7}"
    )
    for text in queries:
        first, warm, result = cpu_ms(source, text, runs)
        read = result.stats.inspected_bytes / 1e6
        asked = columns_asked(source, text) if directory else {}
        beside = f"{'':8} {'':6} {'':6}"
        if directory and asked:
            alone = parquet_ms(directory, asked, runs)
            beside = f"{alone[0]:8.1f} {warm[0] / alone[0]:6.1f} {warm[1] / alone[1]:6.1f}"
        print(f"{text:64} {first:9.1f} {warm[0]:9.1f} {beside} {read:8.2f} {len(result.traces):7}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    tune_process()
    with tempfile.TemporaryDirectory() as directory:
        for name, source in sources(options.spans, directory).items():
            of_block = None if source.is_live else Path(directory)
            measure(name, source, options.runs, QUERIES, of_block)


if __name__ == "__main__":
    main()

"""What a metrics query costs: CPU milliseconds by kind of query, over a block of the load.

Each query covers all spans in about 240 intervals, exemplars and JSON included, and is run a few
times on a warm cache, in a process set up as a server is; the median counts. Beside it stands what
it costs ``pyarrow.parquet``, on one thread, to open the files and read just the columns of spans,
resources and scopes that the query reads.


    python bench/metrics.py --spans 1000000 --runs 7
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
from search import parquet_ms, sources

import traceql
from tracestore.api.metrics_params import default_step_ns
from tracestore.cli.memory import tune_process
from tracestore.clock import SystemClock
from tracestore.codec.metrics_json import render_range_json
from tracestore.model.results import QueryStats
from tracestore.model.series import Grid, MetricsResult
from tracestore.model.tables import Table
from tracestore.query.control import QueryControl
from tracestore.query.metered_source import MeteredSource
from tracestore.query.metrics import MetricsParams, metrics
from tracestore.query.metrics_plan import plan_metrics
from tracestore.query.source import Chunk, SpanSource

QUERIES = [
    "{} | rate()",
    "{} | rate() by(resource.service.name)",
    "{} | count_over_time() by(status)",
    "{ status = error } | rate() by(resource.service.name)",
    "{} | rate() by(span.http.response.status_code)",
    "{} | rate() by(span.http.route, span.http.request.method)",
    "{} | rate() by(span.url.path) | topk(10)",
    "{} | rate() by(rootName)",
    "{} | max_over_time(duration)",
    "{} | avg_over_time(duration) by(resource.service.name)",
    "{} | sum_over_time(span.queue.wait_ms) by(resource.service.name)",
    "{} | quantile_over_time(duration, .5, .9, .99)",
    "{} | quantile_over_time(duration, .9) by(resource.service.name)",
    "{} | histogram_over_time(duration)",
    "{} | histogram_over_time(duration) by(resource.service.name)",
    "{ nestedSetParent < 0 } | rate()",
    "({ status = error } | rate() by(kind)) / ({} | rate() by(kind))",
    "{ kind = server } >> { status = error } | rate()",
    "{} | compare({ status = error })",
]


class Recording(MeteredSource):
    """A source that writes down which columns are read."""

    def __init__(self, source: SpanSource, control: QueryControl) -> None:
        super().__init__(source, control, None)
        self.asked: dict[Table, list[str]] = {}

    def read(
        self, table: Table, columns: Sequence[str], chunk: Chunk | None, stats: QueryStats
    ) -> pa.Table:
        known = self.asked.setdefault(table, [])
        known += [column for column in columns if column not in known]
        return super().read(table, columns, chunk, stats)


def grid_over(source: SpanSource) -> Grid:
    """Make the intervals that a request for everything has."""
    length_ns = source.end_ns - source.start_ns
    step_ns = default_step_ns(length_ns)
    origin_ns = source.start_ns // step_ns * step_ns - step_ns
    count = -(-(source.end_ns - origin_ns) // step_ns)
    return Grid(origin_ns=origin_ns, step_ns=step_ns, count=count)


def run(source: SpanSource, text: str, grid: Grid) -> tuple[MetricsResult, bytes]:
    """Answer as the API does by default."""
    query = traceql.parse(text)
    traceql.check(query, text)
    params = MetricsParams(grid=grid, exemplars=100)
    result = metrics([source], plan_metrics(query), params, QueryControl(clock=SystemClock()))
    return result, render_range_json(result)


def cpu_ms(source: SpanSource, text: str, grid: Grid, runs: int) -> tuple[float, float, int]:
    """Measure the first run and the median of the others, and count the series."""
    times = []
    for _ in range(runs + 1):
        started = time.process_time()
        result, _ = run(source, text, grid)
        times.append((time.process_time() - started) * 1e3)
    return times[0], statistics.median(times[1:]), len(result.series)


def measure(name: str, source: SpanSource, runs: int, directory: Path | None, only: str) -> None:
    """Print a table.

    Args:
        directory: of the block, to read its columns with pyarrow.
    """
    grid = grid_over(source)
    print(f"\n{name}, {grid.count} intervals of {grid.step_s:g} s")
    print(f"{'':76} {'first ms':>9} {'warm ms':>9} {'pyarrow':>8} {'ratio':>6} {'series':>7}")
    for text in QUERIES:
        if only not in text:
            continue
        first, warm, series = cpu_ms(source, text, grid, runs)
        beside = f"{'':8} {'':6}"
        if directory is not None:
            recording = Recording(source, QueryControl(clock=SystemClock()))
            run(recording, text, grid)
            asked = {t: c for t, c in recording.asked.items() if t is not Table.TRACES}
            alone, _ = parquet_ms(directory, asked, runs)
            beside = f"{alone:8.1f} {warm / alone:6.2f}"
        print(f"{text:76} {first:9.1f} {warm:9.1f} {beside} {series:7}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", default="", help="queries with this text in them")
    options = parser.parse_args()
    tune_process()
    with tempfile.TemporaryDirectory() as directory:
        for name, source in sources(options.spans, directory).items():
            of_block = None if source.is_live else Path(directory)
            measure(name, source, options.runs, of_block, options.only)


if __name__ == "__main__":
    main()

"""What PromQL over stored spans costs: CPU milliseconds, from the text to the JSON.

The spans are those of the load, in a block and in live tables. Each query covers all of them, at
one time with a range over all, or at 240 times, and is asked a few times on a warm cache; the
median counts.

    python bench/promql.py --spans 1000000 --runs 5
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from metrics import grid_over
from search import sources
from service_graph import cpu_ms

from tracestore.api.prometheus_answers import instant_answer, range_answer
from tracestore.cli.memory import tune_process
from tracestore.clock import SystemClock
from tracestore.query.control import QueryControl
from tracestore.query.jobs.operation import Site
from tracestore.query.jobs.several_series import CountSeveralSeries
from tracestore.query.promql.evaluate import plan
from tracestore.query.promql.parse import parse
from tracestore.query.promql.readings import Meaning
from tracestore.query.promql.windows import Times
from tracestore.query.source import SpanSource
from tracestore.query.span_series_run import SeriesParams
from tracestore.settings.generator_tree import ProcessorSettings

POINTS = 240
GRAPH = "traces_service_graph_request"
CALLS = "traces_spanmetrics_calls_total"
LATENCY = "traces_spanmetrics_latency_bucket"
INSTANT = [
    f"sum by (client, server) (rate({GRAPH}_total[RANGE]))",
    f"group by (client, connection_type, server) ({GRAPH}_server_seconds_bucket)",
    f'topk(5, sum(rate({CALLS}{{span_kind="SPAN_KIND_SERVER"}}[RANGE])) by (span_name))',
    f"histogram_quantile(.9, sum(rate({LATENCY}[RANGE])) by (le, service))",
]
OVER_TIME = [
    f"sum by (service) (rate({CALLS}[1m]))",
    f'sum(rate({CALLS}{{status_code="STATUS_CODE_ERROR"}}[1m])) / sum(rate({CALLS}[1m]))',
    f"histogram_quantile(0.95, sum by (le, service) (rate({LATENCY}[1m])))",
    f"sum by (client, server) (rate({GRAPH}_total[1m]))",
    f"rate({CALLS}[1m])",
]


def ask(source: SpanSource, text: str, times: Times) -> int:
    """Answer a query. Returns: bytes of the answer."""
    is_range = times.points > 1
    lookback_ms = 3_600_000
    meaning = Meaning(lookback_ms=lookback_ms, stale_ms=900_000, samples_max=5_000_000)
    planned = plan(parse(text), times, meaning, is_range=is_range)
    operation = CountSeveralSeries(
        questions=planned.questions, params=SeriesParams(processor=ProcessorSettings())
    )
    found = operation.answer([source], Site(control=QueryControl(clock=SystemClock())))
    value = planned.evaluate(dict(zip(planned.questions, found, strict=True)))
    if is_range:
        return len(range_answer(value, times, 0).body)
    return len(instant_answer(value, times.start_ms, 0).body)


def measure(name: str, source: SpanSource, runs: int) -> None:
    """Print a table."""
    grid = grid_over(source)
    start_ms, end_ms = (time_ns // 1_000_000 for time_ns in (grid.origin_ns, grid.end_ns))
    step_ms = max(1000, (end_ms - start_ms) // POINTS // 1000 * 1000)
    over = Times(start_ms=start_ms, step_ms=step_ms, points=POINTS)
    at = Times(start_ms=end_ms, step_ms=1, points=1)
    print(f"\n{name}, {(end_ms - start_ms) / 1000:g} s of spans, steps of {step_ms / 1000:g} s")
    print(f"{'':92} {'first ms':>9} {'warm ms':>9} {'bytes':>9}")
    for times, queries in ((at, INSTANT), (over, OVER_TIME)):
        for query in queries:
            text = query.replace("RANGE", f"{(end_ms - start_ms) // 1000 + 60}s")
            figures = cpu_ms(lambda text=text, times=times: ask(source, text, times), runs)  # type: ignore[misc]
            print("{:92} {:9.1f} {:9.1f} {:9}".format(query, *figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    tune_process()
    with tempfile.TemporaryDirectory() as directory:
        for name, source in sources(options.spans, directory).items():
            measure(name, source, options.runs)


if __name__ == "__main__":
    main()

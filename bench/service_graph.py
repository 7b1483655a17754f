"""What the metrics of stored spans cost: CPU milliseconds, over a block and live tables.

The spans are those of the load.

Each question covers all spans, in about 240 intervals or in one, and is asked a few times on a warm
cache, in a process set up as a server is; the median counts. ``graph`` is all of
``/api/service-graph``, JSON included: requests and services, 545 buckets, exemplars.

    python bench/service_graph.py --spans 1000000 --runs 7
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from metrics import grid_over
from search import sources

from tracestore.cli.memory import tune_process
from tracestore.clock import SystemClock
from tracestore.codec.service_graph_json import render_graph_json
from tracestore.query.control import QueryControl
from tracestore.query.service_graph import graph_questions, make_graph
from tracestore.query.source import SpanSource
from tracestore.query.span_series import (
    Family,
    Matcher,
    MatchOperator,
    SeriesCells,
    SeriesQuestion,
)
from tracestore.query.span_series_run import SeriesParams, count_series
from tracestore.settings.generator_tree import ProcessorSettings

SERVICE = Matcher(label="service", op=MatchOperator.EQUAL, value="cart-api")
SERVERS = Matcher(label="span_kind", op=MatchOperator.EQUAL, value="SPAN_KIND_SERVER")
QUESTIONS: dict[str, dict[str, Any]] = {
    "calls, all labels": {"family": Family.CALLS},
    "calls by service": {"family": Family.CALLS, "by": ("service",)},
    "calls of servers by span_name": {
        "family": Family.CALLS,
        "by": ("span_name",),
        "matchers": (SERVERS,),
    },
    "latency of one service by span_name": {
        "family": Family.LATENCY,
        "by": ("span_name",),
        "matchers": (SERVICE,),
    },
    "latency, all labels": {"family": Family.LATENCY},
    "requests, all labels": {"family": Family.EDGES},
    "requests by client and server, counts only": {
        "family": Family.EDGES,
        "by": ("client", "server"),
        "has_buckets": False,
    },
}


def count(sources: Sequence[SpanSource], question: SeriesQuestion) -> SeriesCells:
    """Answer one question."""
    params = SeriesParams(processor=ProcessorSettings())
    return count_series(sources, question, params, QueryControl(clock=SystemClock()))


def graph(source: SpanSource, start_ns: int, end_ns: int) -> int:
    """Make a graph. Returns: the edges."""
    requests, services = (count([source], one) for one in graph_questions(start_ns, end_ns, "{}"))
    made = make_graph(requests, services, start_ns=start_ns, end_ns=end_ns)
    render_graph_json(made)
    return len(made.edges)


def cpu_ms(ask: Callable[[], int], runs: int) -> tuple[float, float, int]:
    """Measure the first run and the median of the others."""
    times = []
    for _ in range(runs + 1):
        started = time.process_time()
        found = ask()
        times.append((time.process_time() - started) * 1e3)
    return times[0], statistics.median(times[1:]), found


def measure(name: str, source: SpanSource, runs: int) -> None:
    """Print a table."""
    grid = grid_over(source)
    print(f"\n{name}, {grid.count} intervals of {grid.step_s:g} s")
    print(f"{'':46} {'first ms':>9} {'warm ms':>9} {'series':>7}")
    for text, asked in QUESTIONS.items():
        question = SeriesQuestion(
            start_ns=grid.origin_ns, step_ns=grid.step_ns, points=grid.count, **asked
        )

        def ask(question: SeriesQuestion = question) -> int:
            return len(count([source], question).labels)

        print("{:46} {:9.1f} {:9.1f} {:7}".format(text, *cpu_ms(ask, runs)))
    found = cpu_ms(lambda: graph(source, grid.origin_ns, grid.end_ns), runs)
    print("{:46} {:9.1f} {:9.1f} {:7}".format("graph", *found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    tune_process()
    with tempfile.TemporaryDirectory() as directory:
        for name, source in sources(options.spans, directory).items():
            measure(name, source, options.runs)


if __name__ == "__main__":
    main()

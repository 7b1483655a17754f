"""What it costs to read a query, and to refuse a hostile text: CPU milliseconds.

python bench/language.py
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.traceql_golden import GOLDEN, read_cases

import traceql
from traceql.nodes import MetricsMath

TYPICAL = {
    "one condition": "{ status = error }",
    "a search as Grafana's builder writes it": (
        '{resource.service.name="shop" && name="GET /" && duration>100ms && '
        '(span.http.method="GET" || span.http.method="HEAD")}'
    ),
    "structure, pipeline and select": (
        '{ resource.service.name = "shop" && kind = server } >> { status = error } '
        "| by(resource.service.name) | count() > 2 | select(span.http.route, name)"
    ),
    "the structure tab of Traces Drilldown": (
        "({nestedSetParent<0 && true} &>> { kind = server }) || ({nestedSetParent<0 && true}) "
        "| select(status, resource.service.name, name, "
        "nestedSetParent, nestedSetLeft, nestedSetRight)"
    ),
    "a metrics query": (
        '{ kind = server && span.http.route =~ "/api/.*" } '
        "| quantile_over_time(duration, .5, .99) by(resource.service.name) with(exemplars=10)"
    ),
}
SIZE = 100_000
HOSTILE = {
    "10,000 parentheses": "{ " + "(" * 10_000 + ".a = 1" + ")" * 10_000 + " }",
    "100,000 open parentheses": "(" * SIZE,
    "100,000 signs": "{ .a = " + "-" * SIZE + "1 }",
    "100,000 negations": "{ " + "!" * SIZE + ".a }",
    "16,000 conditions in a chain": "{ " + " && ".join([".a=1"] * 16_000) + " }",
    "18,000 spansets in a chain": " || ".join(["{}"] * 18_000),
    "40,000 stages": "|".join(["{}"] * 40_000),
    "a regex of 60,000 nested groups": '{ .a =~ "' + "(" * 60_000 + ")" * 60_000 + '" }',
    "a regex of 15,000 alternatives": '{ .a =~ "'
    + "|".join(f"w{n}" for n in range(15_000))
    + '" }',
    "a regex of 20,000 nested stars": '{ .a =~ "' + "(a*)*" * 20_000 + '" }',
    "a string without end": '{ .a = "' + "x" * SIZE,
}


def read(text: str) -> None:
    """Parse, check and plan."""
    query = traceql.parse(text)
    traceql.check(query, text)
    if not isinstance(query.body, MetricsMath):
        traceql.plan(query)


def is_refused(text: str) -> bool:
    """Read a text that need not be a query."""
    try:
        read(text)
    except traceql.QueryError:
        return True
    return False


def milliseconds(action: Callable[[], object], runs: int) -> float:
    """Measure the median CPU time."""
    spent = []
    for _ in range(runs):
        begin = time.process_time_ns()
        action()
        spent.append(time.process_time_ns() - begin)
    return statistics.median(spent) / 1e6


def corpus() -> list[str]:
    """Collect the queries of the golden files."""
    lines = (GOLDEN / "queries.txt").read_text(encoding="utf-8").splitlines()
    written = [line for line in lines if line and not line.startswith("#")]
    texts = [*written, *(text for _, text in read_cases("traceql_accepted.test"))]
    return [text for text in texts if not is_refused(text)]


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    print(f"first query, tables of the grammar: {milliseconds(lambda: read('{}'), 1):.0f} ms")
    print("| query | ms |\n| --- | --- |")
    for name, text in TYPICAL.items():
        print(f"| {name} | {milliseconds(lambda text=text: read(text), runs):.2f} |")
    each = sorted(milliseconds(lambda text=text: read(text), 5) for text in corpus())
    print(f"| {len(each)} queries of the golden files: median | {each[len(each) // 2]:.2f} |")
    print(f"| the slowest of them | {each[-1]:.2f} |")
    print("\n| text | bytes | ms | outcome |\n| --- | --- | --- | --- |")
    for name, text in HOSTILE.items():
        spent = milliseconds(lambda text=text: is_refused(text), 3)
        outcome = "refused" if is_refused(text) else "read"
        print(f"| {name} | {len(text):,} | {spent:.0f} | {outcome} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"\nrecursion limit {sys.getrecursionlimit()}, peak memory {peak} MB")


if __name__ == "__main__":
    main()

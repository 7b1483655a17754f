"""A real Prometheus that has scraped a generator: its history is made of spans, at once.

What a generator would have counted of the spans (by ``naive_metrics_generator``) is written as
OpenMetrics, a sample every 15 s, made into blocks by ``promtool`` and served by ``prometheus``.
A new counter begins with a 0, as the wire contract has it, a little less than 15 s earlier; so
nothing is extrapolated at times that are multiples of 15 s, and rates are exact.
"""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.naive_metrics_generator import (
    Labels,
    NaiveSpan,
    Range,
    edges,
    labels_of,
    span_metrics,
)
from support.prometheus import Prometheus, require_prometheus, running_prometheus

SAMPLE_S = 15
SPAN_BOUNDS = [0.002 * 2**power for power in range(14)]
EDGE_BOUNDS = [0.1 * 2**power for power in range(8)]
Counters = dict[tuple[str, Labels], dict[int, float]]
"""Name and labels -> what is added in each interval of 15 s, by its number."""


def counters_of(spans: list[NaiveSpan], over: Range) -> Counters:
    """Count what a generator makes of spans."""
    found: Counters = defaultdict(lambda: defaultdict(float))
    for (labels, point), total in span_metrics(spans, over).items():
        found["traces_spanmetrics_calls_total", labels][point] += total.count
        _observe(found, "traces_spanmetrics_latency", labels, point, total.seconds["span"])
    for edge in edges(spans):
        point = over.point(edge.end_ns)
        if point is None:
            continue
        labels = labels_of(
            client=edge.client_name, server=edge.server_name, connection_type=edge.connection
        )
        found["traces_service_graph_request_total", labels][point] += 1
        if any(side.span.status.code == 2 for side in edge.sides):
            found["traces_service_graph_request_failed_total", labels][point] += 1
        client_s = edge.client.seconds if edge.client else 0.0
        server_s = edge.server.seconds if edge.server else 0.0
        server_s = client_s if edge.connection == "database" else server_s
        base = "traces_service_graph_request"
        _observe(found, f"{base}_client_seconds", labels, point, [client_s])
        _observe(found, f"{base}_server_seconds", labels, point, [server_s])
    return found


def _observe(
    found: Counters, base: str, labels: Labels, point: int, seconds: Iterable[float]
) -> None:
    bounds = SPAN_BOUNDS if base.startswith("traces_spanmetrics") else EDGE_BOUNDS
    for value in seconds:
        found[f"{base}_count", labels][point] += 1
        found[f"{base}_sum", labels][point] += value
        for bound in bounds:
            text = f"{bound:.3f}".rstrip("0").rstrip(".")
            bucket = tuple(sorted((*labels, ("le", text))))
            found[f"{base}_bucket", bucket][point] += value <= bound
        found[f"{base}_bucket", tuple(sorted((*labels, ("le", "+Inf"))))][point] += 1


def open_metrics(counters: Mapping[tuple[str, Labels], Mapping[int, float]], over: Range) -> str:
    """Write what a scrape every 15 s would have seen."""
    lines = []
    first_s = over.origin_ns // 10**9
    starts: dict[tuple[str, Labels], int] = {}
    for (name, labels), added in counters.items():
        family = (name.rsplit("_", 1)[0], tuple(pair for pair in labels if pair[0] != "le"))
        starts[family] = min(starts.get(family, over.points), *added)
    for (name, labels), added in sorted(counters.items()):
        written = ",".join(f'{key}="{value}"' for key, value in labels)
        start = starts[name.rsplit("_", 1)[0], tuple(pair for pair in labels if pair[0] != "le")]
        value = 0.0
        lines.append(f"{name}{{{written}}} 0 {first_s + SAMPLE_S * start}.001")
        for point in range(start, over.points):
            value += added.get(point, 0.0)
            lines.append(f"{name}{{{written}}} {value!r} {first_s + SAMPLE_S * (point + 1)}")
    return "\n".join([*lines, "# EOF", ""])


def scraped(text: str, times_s: Iterable[int]) -> str:
    """Write what a server exposes as if it had been scraped at some times, the same each time."""
    lines = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            name, _, labels = series.removesuffix("}").partition("{")
            given = ",".join(part for part in (labels, 'job="tracestore",instance="one"') if part)
            lines += [f"{name}{{{given}}} {value} {time_s}" for time_s in times_s]
    return "".join(f"{line}\n" for line in lines)


@contextmanager
def running_history(directory: Path, samples: str) -> Iterator[Prometheus]:
    """Start a Prometheus that has these samples, and scrapes nothing."""
    require_prometheus()
    text = directory / "history.txt"
    text.write_text(samples)
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", text, directory / "data"],
        check=True,
        capture_output=True,
    )
    with running_prometheus(directory, "--storage.tsdb.retention.time=100y") as prometheus:
        yield prometheus

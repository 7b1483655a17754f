"""What is counted of spans as they come is what is counted of them once they are stored.

Each span comes once, in the order of their ends, and nobody's other side is given up too early.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.call_traces import call_spans
from support.generator import Counted
from support.jobs import site
from support.otlp import EPOCH_NS, request_of
from support.search_cases import request_for
from support.source_makers import kernel_tables

from tracestore.model.times import SECOND_NS
from tracestore.query.jobs.span_series import CountSeries
from tracestore.query.span_series import Family, SeriesCells, SeriesQuestion
from tracestore.query.span_series_run import SeriesParams
from tracestore.settings.generator_limits import TenantProcessors, TenantSpanMetrics
from tracestore.settings.generator_tree import ProcessorSettings, SpanMetricsSettings

DIMENSIONS = ("region", "other")
Counts = dict[tuple[tuple[str, str], ...], tuple[float, ...]]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**48))
def test_counts_agree(seed: int) -> None:
    placed = call_spans(seed, 1)
    for one in placed:
        one.span.end_time_unix_nano = max(
            one.span.end_time_unix_nano, one.span.start_time_unix_nano
        )
    ordered = sorted(
        placed, key=lambda one: (one.span.end_time_unix_nano, one.span.span_id, one.span.kind)
    )
    overrides = TenantProcessors(span_metrics=TenantSpanMetrics(dimensions=DIMENSIONS))
    counted = Counted(overrides=overrides)
    for one in ordered:
        counted.take(request_of([one.group()]))
    counted.clock.advance(60)
    counted.tenant.expire()

    spans, edges = (
        stored(request_for(placed, 0), family) for family in (Family.LATENCY, Family.EDGES)
    )
    values = counted.values()
    assert generated(
        values, "traces_spanmetrics_calls_total", "traces_spanmetrics_latency"
    ) == counts(spans, "span")
    failed = generated(values, "traces_service_graph_request_failed_total")
    assert failed == {key: (total,) for key, total in totals(edges, "failed").items() if total}
    for side in ("server", "client"):
        name = f"traces_service_graph_request_{side}_seconds"
        found = generated(values, "traces_service_graph_request_total", name)
        assert found == counts(edges, side)


def stored(request: bytes, family: Family) -> SeriesCells:
    """Count stored spans, all at once."""
    params = SeriesParams(
        processor=ProcessorSettings(span_metrics=SpanMetricsSettings(dimensions=DIMENSIONS))
    )
    question = SeriesQuestion(
        family=family, start_ns=EPOCH_NS - 3600 * SECOND_NS, step_ns=7200 * SECOND_NS, points=1
    )
    source = kernel_tables(request, "0", 1000, 512)
    return CountSeries(question=question, params=params).answer([source], site())


def totals(cells: SeriesCells, what: str) -> dict[tuple[tuple[str, str], ...], float]:
    column = getattr(cells, what)
    return {labels: float(column[at, 0]) for at, labels in enumerate(cells.labels)}


def counts(cells: SeriesCells, side: str) -> Counts:
    """Get the count, the rounded seconds and the cumulative buckets of each series."""
    found: Counts = {}
    for at, labels in enumerate(cells.labels):
        buckets = cells.buckets[side][at, 0].cumsum().tolist()
        seconds = round(float(cells.sums[side][at, 0]), 9)
        found[labels] = (float(cells.counts[at, 0]), seconds, *buckets)
    return found


def generated(
    values: dict[tuple[tuple[str, str], ...], float], counter: str, histogram: str = ""
) -> Counts:
    """Get the same of what was generated."""
    found: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for labels, value in values.items():
        if ("__name__", counter) in labels:
            found[tuple(pair for pair in labels if pair[0] != "__name__")] = [value]
    if not histogram:
        return {labels: tuple(numbers) for labels, numbers in found.items()}
    for suffix in ("_sum", "_bucket"):
        for labels, value in values.items():
            if ("__name__", histogram + suffix) in labels:
                key = tuple(pair for pair in labels if pair[0] not in ("__name__", "le"))
                found[key].append(round(value, 9))
    return {labels: tuple(numbers) for labels, numbers in found.items()}

"""Traces that are shown have, put together, the rows that they have where they lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.naive_tables import naive_tables
from support.otlp import event, link, request, span
from support.query import StandingClock

from tracestore.model.results import QueryStats
from tracestore.query.control import QueryControl
from tracestore.query.parts import Domain
from tracestore.query.scan import SourceScan
from tracestore.query.shown_traces import SPANS_MAX, ShownTraces, batches
from tracestore.query.tables_source import TablesSource

TABLES = naive_tables(
    [
        request(
            spans=[
                span(trace=1, id=1, name="a", events=[event("x", at_ms=1)]),
                span(trace=2, id=2, name="b", attributes={"n": 1}),
                span(trace=2, id=3, name="c", links=[link(7, 1)], events=[event("y", at_ms=2)]),
                span(trace=3, id=4, name="d", status="error"),
                span(trace=3, id=5, name="e", events=[event("z", at_ms=3), event("x", at_ms=4)]),
            ]
        )
    ]
)


def scan_of(spans_per_chunk: int) -> SourceScan:
    source = TablesSource(TABLES, "s", spans_per_chunk=spans_per_chunk)
    return SourceScan(source, QueryStats(), QueryControl(clock=StandingClock()))


@pytest.mark.parametrize("spans_per_chunk", [1, 3, 1000])
@pytest.mark.parametrize("traces", [[0], [1], [2], [0, 2], [1, 2], [0, 1, 2]], ids=str)
@pytest.mark.parametrize(
    ("domain", "column"),
    [
        (Domain.SPAN, "name"),
        (Domain.SPAN, "status_code"),
        (Domain.SPAN, "span.n"),
        (Domain.TRACE, "trace_id"),
        (Domain.EVENT, "name"),
        (Domain.LINK, "trace_id"),
    ],
)
def test_traces_have_their_rows(
    spans_per_chunk: int, traces: list[int], domain: Domain, column: str
) -> None:
    apart = scan_of(1)
    alone = [apart.chunk(apart.chunks[trace]) for trace in traces]

    shown = ShownTraces(scan_of(spans_per_chunk), np.array(traces))

    values = [one.column(domain, column).to_pylist() for one in alone]
    if domain in (Domain.EVENT, Domain.LINK):  # a null behind them stands for none
        values = [[value for one in values for value in one[:-1]], [None]]
        counts = [count for one in alone for count in one.owned(domain).counts.tolist()]
        assert shown.owned(domain).counts.tolist() == counts
    assert shown.column(domain, column).to_pylist() == [value for one in values for value in one]
    assert shown.rows(domain) == len(shown.column(domain, column))
    resources = [row for one in alone for row in one.index(Domain.RESOURCE).tolist()]
    assert shown.index(Domain.RESOURCE).tolist() == resources
    assert shown.index(Domain.TRACE).tolist() == [
        place for place, one in enumerate(alone) for _ in range(one.chunk.spans)
    ]
    assert shown.statistics("duration") is None


def test_many_traces_are_put_together_some_at_a_time() -> None:
    scan = scan_of(1000)
    scan.traces = replace(scan.traces, span_count=np.array([SPANS_MAX, 2, SPANS_MAX], np.int32))

    parts = batches(scan, np.arange(3))

    assert [part.tolist() for part in parts] == [[0], [1, 2]]

"""One trace of a chunk has the rows that it would have in a chunk of its own."""

from __future__ import annotations

import pytest
from support.naive_tables import naive_tables
from support.otlp import event, link, request, span
from support.query import StandingClock

from tracestore.model.results import QueryStats
from tracestore.query.control import QueryControl
from tracestore.query.parts import Domain
from tracestore.query.scan import SourceScan
from tracestore.query.tables_source import TablesSource
from tracestore.query.trace_scan import TraceScan

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


@pytest.mark.parametrize("trace", range(3))
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
def test_a_trace_has_its_rows(trace: int, domain: Domain, column: str) -> None:
    together, apart = scan_of(1000), scan_of(1)
    alone = apart.chunk(apart.chunks[trace])

    one = TraceScan(together.chunk(together.chunks[0]), trace)

    assert one.rows(domain) == alone.rows(domain)
    assert one.column(domain, column).to_pylist() == alone.column(domain, column).to_pylist()
    assert one.index(Domain.TRACE).tolist() == alone.index(Domain.TRACE).tolist()
    assert one.index(Domain.RESOURCE).tolist() == alone.index(Domain.RESOURCE).tolist()
    assert one.statistics("duration") is None

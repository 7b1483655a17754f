"""Traces in several sources: known, found and put together many at a time."""

from __future__ import annotations

import numpy as np
import pytest
from support.naive_tables import naive_tables
from support.otlp import EPOCH_NS, request, span, trace_id
from support.query import control

from tracestore.errors import CorruptionError
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.model.times import MILLISECOND_NS, TimeRange
from tracestore.query import fragments
from tracestore.query.fragments import full_id, locate, read_whole, split_traces
from tracestore.query.scan import SourceScan
from tracestore.query.tables_source import TablesSource


def scan(source: int, *traces: int) -> SourceScan:
    """Make a source with one span of each trace, started at the millisecond of its number."""
    spans = [span(trace=t, id=source, start_ms=t + source, duration_ms=1) for t in traces]
    tables = naive_tables([request(spans=spans)])
    return SourceScan(TablesSource(tables, f"s{source}"), QueryStats(), control())


def ids(*traces: int) -> fragments.Ids:
    return np.array([trace_id(t) for t in sorted(traces)], "S16")


SCANS = [scan(1, 1, 2, 256), scan(2, 256, 4), scan(3, 5, 2)]


def test_traces_of_several_sources_are_known_with_their_times() -> None:
    found = split_traces(SCANS)
    order = np.argsort(found.ids)

    assert [full_id(found.ids[row]) for row in order] == [trace_id(2), trace_id(256)]
    starts_ms = (found.start_ns[order] - np.uint64(EPOCH_NS)) // np.uint64(MILLISECOND_NS)
    assert starts_ms.tolist() == [3, 257]
    assert found.contain(SCANS[0].traces.keys).tolist() == [False, True, True]
    at = EPOCH_NS + 5 * MILLISECOND_NS
    assert len(found.inside(TimeRange(start_ns=at, end_ns=at + 1))) == 1


def test_no_source_splits_nothing() -> None:
    assert len(split_traces([])) == 0
    assert len(split_traces(SCANS[:1])) == 0


@pytest.mark.parametrize("wanted", [(2,), (1, 2, 3, 4, 5, 256), (3, 1000)])
def test_traces_are_located_in_every_source(wanted: tuple[int, ...]) -> None:
    found = {
        (part.scan.source.id, full_id(part.scan.traces.ids[row]), sorted(wanted)[place])
        for part in locate(SCANS, ids(*wanted))
        for place, row in zip(part.positions.tolist(), part.rows.tolist(), strict=True)
    }

    held = {"s1": (1, 2, 256), "s2": (256, 4), "s3": (5, 2)}
    assert found == {
        (source, trace_id(t), t) for source, traces in held.items() for t in traces if t in wanted
    }


def test_wholes_come_in_batches_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fragments, "JOINED_SPANS_MAX", 2)
    known = ids(2, 256)

    wholes = list(read_whole(locate(SCANS, known), known, np.arange(2)))

    assert [whole.rows(Table.SPANS) for whole in wholes] == [2, 2]


class _Forgetful(TablesSource):
    """Lists traces but does not give them out."""

    def find_traces(self, trace_ids: object, stats: QueryStats) -> list[SpanTables]:
        return []


def test_a_listed_trace_without_spans_is_damage() -> None:
    tables = naive_tables([request(spans=[span(trace=2, id=9)])])
    broken = SourceScan(_Forgetful(tables, "broken"), QueryStats(), control())
    known = ids(2)
    parts = locate([SCANS[0], broken], known)

    with pytest.raises(CorruptionError, match=r"some spans are missing: broken"):
        list(read_whole(parts, known, np.arange(1)))

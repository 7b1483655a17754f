"""Traces of a source in order, and those that are in several sources."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.naive_tables import naive_tables
from support.otlp import request, span, trace_id
from support.query import control

from tracestore.model.results import QueryStats
from tracestore.query import candidates
from tracestore.query.candidates import NewestFirst, split_traces
from tracestore.query.scan import SourceScan
from tracestore.query.spansets import matched_traces
from tracestore.query.tables_source import TablesSource


@given(starts=st.lists(st.integers(0, 5), max_size=40), sorted_min=st.integers(1, 8))
def test_rows_come_newest_first_ties_by_row(starts: list[int], sorted_min: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "SORTED_MIN", sorted_min)
        order = NewestFirst(np.arange(len(starts)), np.array(starts, np.uint64))
        found = [order.get(place) for place in range(len(starts) + 1)]

    assert found == [*sorted(range(len(starts)), key=lambda row: -starts[row]), None]


@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=8), data=st.data())
def test_traces_with_a_marked_span_are_found(counts: list[int], data: st.DataObject) -> None:
    total = sum(counts)
    marked = data.draw(st.sets(st.integers(0, total - 1), max_size=5))
    mask = np.isin(np.arange(total), list(marked))
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    owner = np.repeat(np.arange(len(counts)), counts)

    found = matched_traces(mask, first, np.array(counts, np.int32))

    assert found.tolist() == sorted({int(owner[row]) for row in marked})


def test_traces_of_several_sources_are_known() -> None:
    def scan(*traces: int) -> SourceScan:
        spans = [span(trace=t, id=1, start_ms=t) for t in traces]
        source = TablesSource(naive_tables([request(spans=spans)]), str(traces))
        return SourceScan(source, QueryStats(), control())

    found = split_traces([scan(1, 2, 3), scan(3, 4), scan(5, 2)])

    assert sorted(found_id for _, found_id in found) == [trace_id(2), trace_id(3)]

"""Traces of a source in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracestore.query import candidates
from tracestore.query.candidates import NewestFirst
from tracestore.query.groups import matched_traces


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
    owner = np.repeat(np.arange(len(counts)), counts)

    found = matched_traces(mask, np.array(counts, np.int32))

    assert found.tolist() == sorted({int(owner[row]) for row in marked})

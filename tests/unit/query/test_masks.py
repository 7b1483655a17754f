"""Masks as bits: written, read back from any place, counted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracestore.query.masks import count_before, pack, unpack

MASKS = st.lists(st.booleans(), max_size=200).map(lambda rows: np.array(rows, np.bool_))


@given(mask=MASKS, data=st.data())
def test_bits_are_read_from_any_place(mask: np.ndarray, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(mask)))
    rows = data.draw(st.integers(0, len(mask) - begin))

    assert unpack(pack(mask), begin, rows).tolist() == mask[begin : begin + rows].tolist()


@given(mask=MASKS, data=st.data())
def test_marked_rows_before_places_are_counted(mask: np.ndarray, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(mask)), max_size=9))

    found = count_before(mask, np.array(places, np.int64))

    assert found.tolist() == [int(mask[:place].sum()) for place in places]

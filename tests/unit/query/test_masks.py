"""Masks as bits: written, read back from any place."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracestore.query.masks import pack, unpack

MASKS = st.lists(st.booleans(), max_size=200).map(lambda rows: np.array(rows, np.bool_))


@given(mask=MASKS, data=st.data())
def test_bits_are_read_from_any_place(mask: np.ndarray, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(mask)))
    rows = data.draw(st.integers(0, len(mask) - begin))

    assert unpack(pack(mask), begin, rows).tolist() == mask[begin : begin + rows].tolist()

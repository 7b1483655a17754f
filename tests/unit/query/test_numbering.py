"""Values are numbered so that equal values, and only those, have equal numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tracestore.model.tables import ARROW_TYPE, AttributeType
from tracestore.query.columns import attribute
from tracestore.query.numbering import number_by_first, number_values
from tracestore.query.parts import Ids, Operand

FLOATS = [0.0, -0.0, 1.0, 1e300, math.nan, math.inf]
VALUES: dict[AttributeType, st.SearchStrategy[Any]] = {
    AttributeType.STRING: st.sampled_from(["", "a", "b", "nil"]),
    AttributeType.INT: st.sampled_from([0, 1, 2, -(2**63), 2**63 - 1]),
    AttributeType.FLOAT: st.sampled_from(FLOATS),
    AttributeType.BOOL: st.booleans(),
    AttributeType.STRING_LIST: st.lists(st.sampled_from("ab"), min_size=1, max_size=3),
    AttributeType.INT_LIST: st.lists(st.sampled_from([0, 1, 2**62]), min_size=1, max_size=3),
    AttributeType.FLOAT_LIST: st.lists(st.sampled_from(FLOATS), min_size=1, max_size=3),
}
typed = st.one_of(st.none(), *(st.tuples(st.just(kind), values) for kind, values in VALUES.items()))


def key_of(value: tuple[AttributeType, Any] | None) -> Any:
    """Write a value out, type and content; an array of one element is that element."""
    if value is None:
        return None
    kind, content = value
    if isinstance(content, list):
        elements = [repr(e + 0.0) if isinstance(e, float) else repr(e) for e in content]
        return elements[0] if len(content) == 1 else (kind, *elements)
    return repr(content + 0.0) if isinstance(content, float) else repr(content)


@given(st.lists(typed, min_size=1, max_size=30))
def test_equal_values_have_equal_numbers(sent: list[tuple[AttributeType, Any] | None]) -> None:
    columns = [
        (kind, pa.array([v[1] if v and v[0] == kind else None for v in sent], plain(kind)))
        for kind in VALUES
    ]

    codes = number_values(attribute(columns, None, "k"), len(sent)).tolist()

    keys = [key_of(value) for value in sent]
    assert [codes.index(code) for code in codes] == [keys.index(key) for key in keys]
    assert all((code == 0) == (key is None) for code, key in zip(codes, keys, strict=True))


def plain(kind: AttributeType) -> pa.DataType:
    return pa.string() if kind == AttributeType.STRING else ARROW_TYPE[kind]


def test_ids_are_numbered_as_texts() -> None:
    raw = np.array([[0] * 7 + [n] for n in (3, 1, 3)], np.uint8)

    codes = number_values(Operand((Ids(raw, stripped=False),), True), 3)

    assert codes[0] == codes[2] != codes[1]


@given(st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2**60)), max_size=20))
def test_keys_are_numbered_in_the_order_in_which_they_occur(keys: list[int]) -> None:
    numbers, first = number_by_first(np.array(keys, np.int64))

    distinct = list(dict.fromkeys(keys))
    assert numbers.tolist() == [distinct.index(key) for key in keys]
    assert first.tolist() == [keys.index(key) for key in distinct]


def test_long_arrays_beside_many_short_ones_are_numbered_in_time() -> None:
    """Each element is looked at once, not each array at each place."""
    sent = [[1, 2]] * 50_000 + [list(range(50_000)), list(range(50_000))]
    column = pa.array(sent, ARROW_TYPE[AttributeType.INT_LIST])

    codes = number_values(attribute([(AttributeType.INT_LIST, column)], None, "k"), len(sent))

    assert len(set(codes.tolist())) == 2

"""Filters have no false negative: whatever value lies in a row, ``may_contain`` says so."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tracestore.codec.filter_builder import FilterBuilder
from tracestore.codec.filters import BlockFilters
from tracestore.model.tables import ARROW_TYPE, AttributeScope, AttributeType, Table, name_columns
from tracestore.settings.tree import BlockSettings

VALUES: dict[AttributeType, st.SearchStrategy[Any]] = {
    AttributeType.STRING: st.text(),
    AttributeType.INT: st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5),
    AttributeType.FLOAT: st.floats() | st.integers(-(2**60), 2**60).map(float),
    AttributeType.BOOL: st.booleans(),
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[AttributeType, list[list[Any]], int]:
    kind = draw(st.sampled_from(sorted(VALUES)))
    groups = draw(st.lists(st.lists(st.none() | VALUES[kind], max_size=12), max_size=4))
    return kind, groups, draw(st.integers(0, 8))


@given(columns())
def test_every_value_of_a_column_may_be_contained(
    column: tuple[AttributeType, list[list[Any]], int],
) -> None:
    kind, groups, listed_max = column
    builder = FilterBuilder(BlockSettings(distinct_values_max=listed_max))
    attribute = name_columns(AttributeScope.SPAN, [("key", kind)])[0]
    builder.declare(Table.SPANS, pa.schema([attribute.field()]))
    for group in groups:
        array = pa.array(group, pa.string() if kind == AttributeType.STRING else ARROW_TYPE[kind])
        if kind == AttributeType.STRING:
            array = array.dictionary_encode()
            codes = array.indices.fill_null(-1).to_numpy()
            builder.add_texts(Table.SPANS, attribute.name, array, codes)
        else:
            builder.add(Table.SPANS, attribute.name, array)

    filters = BlockFilters.decode(builder.build().encode())

    found = filters.column(AttributeScope.SPAN, "key", kind)
    assert found is not None
    present = [value for group in groups for value in group if value is not None]
    assert found.rows == len(present)
    assert filters.types_of(AttributeScope.SPAN, "key") == ({kind} if present else set())
    for value in present:
        is_nan = isinstance(value, float) and math.isnan(value)
        assert is_nan or found.may_contain(value)
        if kind == AttributeType.INT:
            assert found.may_contain(float(value))
        elif kind == AttributeType.FLOAT and math.isfinite(value) and value.is_integer():
            assert found.may_contain(int(value))
    if found.values is not None:
        assert sum(count for _, count in found.values) == len(present)
        assert {str(v) for v, _ in found.values} == {
            str(v + 0.0 if kind == AttributeType.FLOAT else v) for v in present
        }

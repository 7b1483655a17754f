import numpy as np
import pyarrow as pa
import pytest

from tracestore.codec.filter_builder import LISTED_BYTES_MAX, FilterBuilder
from tracestore.codec.filters import BlockFilters, ColumnFilter
from tracestore.errors import CorruptionError
from tracestore.model.tables import (
    ARROW_TYPE,
    OVERFLOW,
    TRACE_ID,
    AttributeScope,
    AttributeType,
    Table,
    name_columns,
)
from tracestore.settings.tree import BlockSettings

SPAN = AttributeScope.SPAN


def filters_of(kind: AttributeType, *groups: list[object], **settings: int) -> BlockFilters:
    """Build the filters of one span attribute ``key``, through its encoded form."""
    builder = FilterBuilder(BlockSettings(**settings))
    column = name_columns(SPAN, [("key", kind)])[0]
    builder.declare(Table.SPANS, pa.schema([column.field()]))
    for group in groups:
        if kind == AttributeType.STRING:
            texts = pa.array(group, pa.string()).dictionary_encode()
            codes = texts.indices.fill_null(-1).to_numpy()
            builder.add_texts(Table.SPANS, column.name, texts, codes)
        else:
            builder.add(Table.SPANS, column.name, pa.array(group, ARROW_TYPE[kind]))
    return BlockFilters.decode(builder.build().encode())


def filter_of(kind: AttributeType, *groups: list[object], **settings: int) -> ColumnFilter:
    found = filters_of(kind, *groups, **settings).column(SPAN, "key", kind)
    assert found is not None
    return found


def test_few_values_are_listed_most_frequent_first() -> None:
    found = filter_of(AttributeType.STRING, ["b", "a", None, "a"], ["c", "a", "b"])

    assert found.rows == 6
    assert found.values == [("a", 3), ("b", 2), ("c", 1)]
    assert found.may_contain("c")
    assert not found.may_contain("d")
    assert not found.may_contain(1)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (AttributeType.STRING, [f"value {n}" for n in range(600)]),
        (AttributeType.INT, [n * 10**6 for n in range(600)]),
        (AttributeType.INT, list(range(600))),
        (AttributeType.FLOAT, [n / 3 for n in range(600)]),
    ],
)
def test_many_values_are_hashed(kind: AttributeType, values: list[object]) -> None:
    found = filter_of(kind, values[:200], values[150:])

    assert found.values is None
    assert found.rows == 650
    assert all(found.may_contain(value) for value in values)
    assert found.bloom is not None
    assert len(found.bloom) == pytest.approx(600 * 10 / 8, abs=32)
    absent = ["x" + str(v) if kind == AttributeType.STRING else v + 0.25 for v in values]
    assert sum(found.may_contain(value) for value in absent) < 30


def test_texts_that_are_long_together_are_hashed() -> None:
    texts = [str(n) * (LISTED_BYTES_MAX // 8) for n in range(9)]

    found = filter_of(AttributeType.STRING, *([text] for text in texts))

    assert found.values is None
    assert all(found.may_contain(text) for text in texts)
    assert not found.may_contain("short")


def test_values_of_resources_and_scopes_count_once_per_span() -> None:
    builder = FilterBuilder(BlockSettings())
    kinds = [AttributeType.STRING, AttributeType.INT, AttributeType.BOOL]
    columns = name_columns(AttributeScope.RESOURCE, [(kind.value, kind) for kind in kinds])
    builder.declare(Table.RESOURCES, pa.schema([column.field() for column in columns]))
    for resources in ([0, 1, 1, 3], [3, 3, 3]):
        builder.add(Table.SPANS, "resource", pa.array(resources, pa.int32()))
    texts = pa.array(["a", "b", None, "a", "unused"]).dictionary_encode()
    codes = texts.indices.fill_null(-1).to_numpy()
    builder.add_texts(Table.RESOURCES, columns[0].name, texts, codes)
    builder.add(Table.RESOURCES, columns[1].name, pa.array([7, 8, None, 8, 9]))
    builder.add(Table.RESOURCES, columns[2].name, pa.array([False, None, True, True, None]))
    builder.add(Table.SPANS, "scope", pa.array([0, 0, 1], pa.int32()))
    names = pa.array(["x", "y"]).dictionary_encode()
    builder.add_texts(Table.SCOPES, "name", names, names.indices.to_numpy())

    filters = BlockFilters.decode(builder.build().encode())

    found = [filters.column(AttributeScope.RESOURCE, kind.value, kind) for kind in kinds]
    assert [one.rows for one in found if one] == [4, 4, 3]
    assert [one.values for one in found if one] == [
        [("a", 5), ("b", 2), ("unused", 0)],
        [(8, 6), (7, 1), (9, 0)],
        [(True, 4), (False, 1)],
    ]
    scopes = filters.intrinsic(Table.SCOPES, "name")
    assert scopes is not None
    assert scopes.values == [("x", 2), ("y", 1)]


def test_numbers_have_bounds() -> None:
    found = filter_of(AttributeType.INT, [5, None, -(2**63)], [2**63 - 1])

    assert (found.minimum, found.maximum) == (-(2**63), 2**63 - 1)
    assert found.values == [(-(2**63), 1), (5, 1), (2**63 - 1, 1)]


def test_an_int_equals_a_float() -> None:
    ints = filter_of(AttributeType.INT, [3, 7])
    floats = filter_of(AttributeType.FLOAT, [3.0, 7.5])

    assert ints.may_contain(3.0)
    assert not ints.may_contain(3.5)
    assert floats.may_contain(3)
    assert not floats.may_contain(7)


def test_large_numbers_that_compare_equal_only_after_rounding_are_no_proof() -> None:
    assert filter_of(AttributeType.INT, [2**53 + 1]).may_contain(2.0**53)
    assert filter_of(AttributeType.FLOAT, [2.0**53]).may_contain(2**53 + 1)


def test_zeros_are_equal_and_nan_equals_nothing() -> None:
    found = filter_of(AttributeType.FLOAT, [-0.0, float("nan"), float("nan")])
    many = filter_of(AttributeType.FLOAT, [float(n) for n in range(1, 600)], [-0.0])

    assert found.rows == 3
    assert (found.minimum, found.maximum) == (0.0, 0.0)
    assert found.may_contain(0.0)
    assert found.may_contain(-0.0)
    assert not found.may_contain(float("nan"))
    assert str(found.values) == "[(nan, 2), (0.0, 1)]"
    assert many.may_contain(0)
    assert many.may_contain(-0.0)


def test_only_nan_has_no_bounds() -> None:
    found = filter_of(AttributeType.FLOAT, [float("nan")])

    assert (found.minimum, found.maximum) == (None, None)
    assert not found.may_contain(1.0)


def test_bools_are_listed_and_are_no_numbers() -> None:
    found = filter_of(AttributeType.BOOL, [True, None, True])

    assert found.values == [(True, 2)]
    assert found.may_contain(True)
    assert not found.may_contain(False)
    assert not found.may_contain(1)
    assert not filter_of(AttributeType.INT, [1]).may_contain(True)


def test_lists_are_counted_but_prove_nothing_unless_there_is_no_row() -> None:
    found = filter_of(AttributeType.INT_LIST, [[1], None, []])

    assert (found.rows, found.values) == (2, None)
    assert found.may_contain("anything")
    assert not filter_of(AttributeType.INT_LIST, [None]).may_contain(1)


def test_many_values_without_a_type_are_only_counted() -> None:
    builder = FilterBuilder(BlockSettings())
    column = name_columns(SPAN, [("key", AttributeType.ANY)])[0]
    builder.declare(Table.SPANS, pa.schema([column.field()]))
    texts = pa.array([*(f'{{"intValue":"{n}"}}' for n in range(600)), None]).dictionary_encode()
    codes = texts.indices.fill_null(-1).to_numpy()
    builder.add_texts(Table.SPANS, column.name, texts, codes)

    found = BlockFilters.decode(builder.build().encode()).column(SPAN, "key", AttributeType.ANY)

    assert found is not None
    assert (found.rows, found.values, found.bloom) == (600, None, None)


def test_a_key_without_rows_or_column_does_not_occur() -> None:
    filters = filters_of(AttributeType.INT, [None])

    assert filters.types_of(SPAN, "key") == set()
    assert filters.types_of(SPAN, "other") == set()
    assert filters.column(SPAN, "other", AttributeType.INT) is None
    assert filters.column(SPAN, "key", AttributeType.STRING) is None
    assert not filters.keys(SPAN)


def test_keys_in_the_overflow_column_are_known_by_type() -> None:
    builder = FilterBuilder(BlockSettings())
    entries = [
        [
            {"key": "rare", "type": "int", "value": "1"},
            {"key": "rare", "type": "int", "value": "2"},
        ],
        None,
        [{"key": "rare", "type": "string", "value": "x"}, {"key": "e", "type": "empty"}],
    ]
    builder.add(Table.SPANS, "span.*", pa.array(entries, OVERFLOW))

    filters = BlockFilters.decode(builder.build().encode())

    assert filters.overflow(SPAN) == {"rare": {"int": 2, "string": 1}, "e": {"empty": 1}}
    assert filters.types_of(SPAN, "rare") == {"int", "string"}
    assert filters.types_of(AttributeScope.EVENT, "rare") == set()
    assert filters.keys(SPAN) == ["e", "rare"]


def test_trace_ids_are_proven_absent() -> None:
    builder = FilterBuilder(BlockSettings())
    ids = [number.to_bytes(16, "big") for number in range(2000)]
    builder.add(Table.TRACES, "trace_id", pa.array(ids[:1000], TRACE_ID))

    filters = BlockFilters.decode(builder.build().encode())

    assert all(filters.may_contain_trace(one) for one in ids[:1000])
    assert sum(filters.may_contain_trace(one) for one in ids[1000:]) < 40


def test_intrinsics_are_known_by_table_and_column() -> None:
    builder = FilterBuilder(BlockSettings())
    builder.add(Table.SPANS, "kind", pa.array([2, 3, 3], pa.int32()))
    builder.add(Table.SPANS, "duration", pa.array([50, 7], pa.int64()))

    filters = BlockFilters.decode(builder.build().encode())

    kind = filters.intrinsic(Table.SPANS, "kind")
    assert kind is not None
    assert kind.values == [(3, 2), (2, 1)]
    duration = filters.intrinsic(Table.SPANS, "duration")
    assert duration is not None
    assert (duration.minimum, duration.maximum, duration.values) == (7, 50, None)
    assert duration.may_contain(20)
    assert not duration.may_contain(51)
    assert filters.intrinsic(Table.SPANS, "flags") is None


def test_a_flipped_byte_is_corruption_or_changes_nothing() -> None:
    filters = filters_of(AttributeType.STRING, [f"value {n}" for n in range(600)])
    content = filters.encode()
    rng = np.random.default_rng(3)
    refused = set()
    for offset in rng.integers(0, len(content), 200).tolist():
        damaged = bytearray(content)
        damaged[offset] ^= 1 << int(rng.integers(8))
        try:
            found = BlockFilters.decode(bytes(damaged), key="blocks/t/b/filters")
        except CorruptionError as error:
            refused.add(error.key)
        else:
            assert found.keys(SPAN) == ["key"]
    assert refused == {"blocks/t/b/filters"}


@pytest.mark.parametrize("length", [0, 3, 100])
def test_a_torn_object_is_corruption(length: int) -> None:
    content = filters_of(AttributeType.INT, [1]).encode()

    with pytest.raises(CorruptionError):
        BlockFilters.decode(content[:length])


def test_another_parquet_file_is_corruption() -> None:
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(pa.table({"a": [1]}), sink)

    with pytest.raises(CorruptionError):
        BlockFilters.decode(sink.getvalue().to_pybytes())

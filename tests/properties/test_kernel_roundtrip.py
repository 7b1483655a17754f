"""Requests through the kernel and back, against the naive decoder and opentelemetry-proto."""

import io
import struct
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.flat_spans import flat_spans
from support.naive_tables import naive_tables
from support.otlp import any_value, request, span
from support.recordings import ONLINE_BOUTIQUE, TRAIN_TICKET, read_recording
from support.strategies import request_bytes
from support.table_rows import table_rows

from tracestore.kernel import build_tables, encode
from tracestore.model.tables import SpanTables, Table, attribute_columns

thorough = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
columns_max = st.sampled_from([0, 1, 3, 512])


def through_parquet(table: pa.Table) -> pa.Table:
    """Write and read a table, in row groups of two rows."""
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=2)
    return pq.ParquetFile(file).read()


def with_plain_texts(table: pa.Table) -> pa.Table:
    """Turn dictionaries into strings, as a reader may choose to."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            plain = table[field.name].cast(pa.string())
            table = table.set_column(place, field.with_type(pa.string()), plain)
    return table


def sliced(table: pa.Table) -> pa.Table:
    """Make every column start in the middle of its buffers."""
    return pa.concat_tables([table.slice(0, 3), table]).combine_chunks().slice(min(3, len(table)))


def in_chunks(table: pa.Table) -> pa.Table:
    """Cut a table into chunks of a row, with a dictionary each."""
    rows = [pa.Table.from_pylist([], table.schema)]
    rows += [through_parquet(table.slice(row, 1)) for row in range(len(table))]
    return pa.concat_tables(rows)


@thorough
@given(st.lists(request_bytes, min_size=1, max_size=3), columns_max)
def test_encode_inverts_build_tables(requests: list[bytes], attribute_columns_max: int) -> None:
    tables = build_tables(requests, attribute_columns_max=attribute_columns_max)
    assert flat_spans([encode(tables)]) == flat_spans(requests)


@thorough
@given(st.lists(request_bytes, min_size=1, max_size=3), columns_max)
def test_tables_are_those_of_the_naive_decoder(requests: list[bytes], columns_max: int) -> None:
    found = build_tables(requests, attribute_columns_max=columns_max)
    expected = naive_tables(requests, attribute_columns_max=columns_max)
    for table in Table:
        found.table(table).validate(full=True)
        schema = found.table(table).schema
        assert schema.equals(expected.table(table).schema, check_metadata=True)
    for pointer in ("resource", "scope"):
        assert found.spans[pointer].equals(expected.spans[pointer])
    assert table_rows(found) == table_rows(expected)


@pytest.mark.parametrize("layout", [through_parquet, with_plain_texts, sliced, in_chunks])
@settings(thorough, max_examples=15)
@given(request_bytes, columns_max)
def test_encode_takes_any_layout(
    layout: Callable[[pa.Table], pa.Table], data: bytes, attribute_columns_max: int
) -> None:
    tables = build_tables([data], attribute_columns_max=attribute_columns_max)
    changed = SpanTables(**{table.value: layout(tables.table(table)) for table in Table})
    assert encode(changed) == encode(tables)


@given(st.integers(0, 2**51 - 1), st.booleans())
def test_payload_and_sign_of_a_nan_survive(payload: int, negative: bool) -> None:
    bits = struct.pack("<Q", negative << 63 | 0x7FF8 << 48 | payload)
    value = struct.unpack("<d", bits)[0]
    data = request(spans=[span(trace=1, id=1, attributes={"x": value, "list": [1.0, value]})])
    assert encode(build_tables([data])).count(bits) == 2


def test_rare_keys_share_the_overflow_column() -> None:
    spans = [span(trace=1, id=i + 1, attributes={"common": i}) for i in range(600)]
    spans[7].attributes.add(key="twice", value=any_value("x"))
    spans[8].attributes.add(key="twice", value=any_value("y"))
    spans[300].attributes.add(key="thrice", value=any_value("z"))
    spans[301].attributes.add(key="thrice", value=any_value("z"))
    spans[302].attributes.add(key="thrice", value=any_value("z"))
    data = request(spans=spans)
    tables = build_tables([data])
    assert [column.key for column in attribute_columns(tables.spans.schema)] == ["common", "thrice"]
    assert flat_spans([encode(tables)]) == flat_spans([data])


def test_no_spans_encode_to_nothing() -> None:
    assert encode(build_tables([])) == b""


@pytest.mark.parametrize("recording", [ONLINE_BOUTIQUE, TRAIN_TICKET])
def test_recordings_are_read_as_the_naive_decoder_reads_them(recording: str) -> None:
    requests = list(read_recording(recording, requests_max=6))
    tables = build_tables(requests)
    assert table_rows(tables) == table_rows(naive_tables(requests))
    assert flat_spans([encode(tables)]) == flat_spans(requests)

import pytest
from support.naive_tables import naive_tables
from support.otlp import request, span
from support.table_rows import table_rows
from support.written_blocks import diverse_requests, plain_columns, plain_trace, write_block

from tracestore.kernel import build_tables, encode
from tracestore.model.results import QueryStats
from tracestore.model.tables import FIXED_SCHEMA, SpanTables, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block import cut
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.lookup import find_trace
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.objects.memory import MemoryObjectStore


def reader_of(tables: SpanTables, **settings: int) -> BlockReader:
    store = MemoryObjectStore()
    meta = write_block(store, tables, settings=BlockSettings(**settings))
    return BlockReader(store, meta, BlockCache(1 << 24))


@pytest.mark.parametrize("row_group_spans", [1, 9, 65536])
@pytest.mark.parametrize("columns_max", [0, 4, 512])
def test_every_trace_is_found_whole(row_group_spans: int, columns_max: int) -> None:
    tables = naive_tables(diverse_requests(traces=16), attribute_columns_max=columns_max)
    reader = reader_of(tables, row_group_spans=row_group_spans)
    for trace_id in tables.traces.column("trace_id").to_pylist():
        found = find_trace(reader, trace_id, QueryStats())

        assert found is not None
        assert len(found.traces) == 1
        assert plain_trace(found, trace_id) == plain_trace(tables, trace_id)


@pytest.mark.parametrize("columns_max", [0, 4, 512])
def test_a_trace_found_is_encoded_as_it_was_sent(columns_max: int) -> None:
    requests = diverse_requests()
    reader = reader_of(build_tables(requests, attribute_columns_max=columns_max), row_group_spans=9)
    for sent in requests:
        expected = naive_tables([sent])

        found = find_trace(reader, expected.traces.column("trace_id")[0].as_py(), QueryStats())

        assert found is not None
        assert table_rows(naive_tables([encode(found)])) == table_rows(expected)


def test_what_is_not_of_the_trace_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut, "DICTIONARY_MAX", 0)
    tables = naive_tables(diverse_requests())
    reader = reader_of(tables)
    trace_id = tables.traces.column("trace_id")[3].as_py()

    found = find_trace(reader, trace_id, QueryStats())

    assert found is not None
    assert len(found.resources) == len(found.scopes) == 1
    for table in Table:
        fixed = FIXED_SCHEMA[table].names
        columns = plain_columns(found.table(table))
        assert list(columns)[: len(fixed)] == fixed
        assert all(any(v is not None for v in columns[n]) for n in columns if n not in fixed)
    names = found.spans.column("name").chunk(0)
    assert sorted(names.dictionary.to_pylist()) == sorted(set(names.to_pylist()))


def test_a_trace_that_is_not_there_costs_the_filter_only() -> None:
    tables = naive_tables([request(spans=[span(trace=5, id=1)])])
    reader = reader_of(tables)
    stats = QueryStats()

    assert find_trace(reader, (77).to_bytes(16, "big"), stats) is None
    assert stats.inspected_bytes == reader.meta.object_bytes["filters"]


@pytest.mark.parametrize("row_group_spans", [1, 65536])
def test_a_false_hit_of_the_filter_finds_nothing(row_group_spans: int) -> None:
    """Every filter has false hits: with one bit a value they are the rule."""
    spans = [span(trace=2 * number, id=number) for number in range(1, 200)]
    tables = naive_tables([request(spans=spans)])
    reader = reader_of(tables, row_group_spans=row_group_spans, filter_bits_per_value=1)
    hits = 0
    for number in range(1, 500, 2):
        trace_id = number.to_bytes(16, "big")
        hits += reader.filters(QueryStats()).may_contain_trace(trace_id)
        assert find_trace(reader, trace_id, QueryStats()) is None
    assert hits > 20


def test_a_giant_trace_is_found_whole() -> None:
    spans = [span(trace=1, id=1)]
    spans += [span(trace=2, id=number, parent=number - 1 or None) for number in range(1, 600)]
    spans += [span(trace=3, id=1)]
    tables = naive_tables([request(spans=spans)])
    reader = reader_of(tables, row_group_spans=10)
    for number, size in ((1, 1), (2, 599), (3, 1)):
        found = find_trace(reader, number.to_bytes(16, "big"), QueryStats())

        assert found is not None
        assert len(found.spans) == size

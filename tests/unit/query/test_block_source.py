import pytest
from support.naive_tables import naive_tables
from support.written_blocks import diverse_requests, plain_columns, write_block

from tracestore.model.results import QueryStats
from tracestore.model.tables import AttributeScope, AttributeType, SpanTables, Table
from tracestore.query.block_source import BlockSource
from tracestore.query.source import SpanSource
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.memory import MemoryObjectStore


@pytest.fixture(scope="module")
def tables() -> SpanTables:
    return naive_tables(diverse_requests())


@pytest.fixture(scope="module")
def source(tables: SpanTables) -> BlockSource:
    store = MemoryObjectStore()
    meta = write_block(store, tables, settings=BlockSettings(row_group_spans=8))
    return BlockSource(store, meta, BlockCache(1 << 24))


def test_chunks_are_whole_traces_and_together_all_rows(
    source: SpanSource, tables: SpanTables
) -> None:
    chunks = source.chunks()

    assert len(chunks) > 2
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    next_span = next_trace = 0
    for chunk in chunks:
        assert (chunk.first_span, chunk.first_trace) == (next_span, next_trace)
        first = tables.traces.column("first_span")[chunk.first_trace].as_py()
        assert first == chunk.first_span
        next_span, next_trace = next_span + chunk.spans, next_trace + chunk.traces
    assert (next_span, next_trace) == (len(tables.spans), len(tables.traces))


def test_a_chunk_is_a_slice_of_each_table(source: SpanSource, tables: SpanTables) -> None:
    spans, traces = plain_columns(tables.spans), plain_columns(tables.traces)
    events = plain_columns(tables.events)["span"]
    for chunk in source.chunks():
        last_span, last_trace = chunk.first_span + chunk.spans, chunk.first_trace + chunk.traces
        stats = QueryStats()
        found = source.read(Table.SPANS, ["span.user", "duration"], chunk, stats)
        assert [array.to_pylist() for array in found] == [
            spans[name][chunk.first_span : last_span] for name in ("span.user", "duration")
        ]
        (found,) = source.read(Table.TRACES, ["first_span"], chunk, stats)
        assert found.to_pylist() == traces["first_span"][chunk.first_trace : last_trace]
        (found,) = source.read(Table.EVENTS, ["span"], chunk, stats)
        owners = [owner for owner in events if chunk.first_span <= owner < last_span]
        assert found.to_pylist() == owners
        assert stats.inspected_bytes > 0


def test_resources_are_read_whole(source: SpanSource, tables: SpanTables) -> None:
    (found,) = source.read(Table.RESOURCES, ["resource.service.name"], None, QueryStats())

    assert found.to_pylist() == tables.resources["resource.service.name"].to_pylist()


def test_it_knows_what_the_meta_says(source: BlockSource, tables: SpanTables) -> None:
    times = plain_columns(tables.traces)
    assert (source.start_ns, source.end_ns) == (min(times["start_time"]), max(times["end_time"]))
    assert source.id == source.meta.id
    assert not source.is_live
    assert source.stored_bytes == sum(source.meta.object_bytes.values())
    assert {table: source.rows(table) for table in Table} == {
        table: len(tables.table(table)) for table in Table
    }
    assert all(source.schema(table).equals(tables.table(table).schema) for table in Table)


def test_bounds_and_filters_allow_to_prune(source: SpanSource, tables: SpanTables) -> None:
    for chunk in source.chunks():
        durations = source.read(Table.SPANS, ["duration"], chunk, QueryStats())[0]
        bounds = source.statistics(chunk, "duration")
        assert bounds is not None
        assert (bounds.minimum, bounds.maximum) == (
            min(durations.to_pylist()),
            max(durations.to_pylist()),
        )
        assert source.statistics(chunk, "name") is None
    filters = source.filters(QueryStats())
    assert filters is not None
    service = filters.column(AttributeScope.RESOURCE, "service.name", AttributeType.STRING)
    assert service is not None
    assert service.values is not None
    assert {name for name, _ in service.values} == {f"service-{n}" for n in range(3)}
    assert filters.types_of(AttributeScope.SPAN, "code") == {"int", "string"}
    assert filters.types_of(AttributeScope.SPAN, "absent") == set()


def test_a_trace_is_found_by_id(source: SpanSource, tables: SpanTables) -> None:
    trace_id = tables.traces.column("trace_id")[0].as_py()

    found = source.find_trace(trace_id, QueryStats())

    assert found is not None
    assert len(found.spans) == tables.traces.column("span_count")[0].as_py()
    assert source.find_trace(bytes(16), QueryStats()) is None

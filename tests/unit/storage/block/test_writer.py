from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.naive_tables import naive_tables
from support.otlp import event, link, request, span
from support.written_blocks import TENANT, diverse_requests, plain_columns, write_block

from tracestore.errors import UnavailableError
from tracestore.kernel import build_tables
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import BlockId
from tracestore.model.tables import SpanTables, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.row_groups import OWNED, plan_row_groups
from tracestore.storage.block.table_reader import SpanTablesReader
from tracestore.storage.block.verify import verify_block
from tracestore.storage.objects.layout import block_key, meta_key
from tracestore.storage.objects.memory import MemoryObjectStore


def read_back(store: MemoryObjectStore, meta: BlockMeta, table: Table) -> pa.Table:
    key = block_key(TENANT, BlockId(meta.id), f"{table}.parquet")
    return pq.read_table(pa.BufferReader(store.get(key)))


def sized_traces(*sizes: int) -> SpanTables:
    """Make traces of these many spans, in order of trace ID; each span has an event."""
    spans = [
        span(trace=trace, id=trace * 100 + number, events=[event("e")])
        for trace, size in enumerate(sizes, start=1)
        for number in range(1, size + 1)
    ]
    return naive_tables([request(spans=spans)])


@pytest.mark.parametrize("row_group_spans", [3, 65536])
@pytest.mark.parametrize("columns_max", [0, 3, 512])
def test_every_table_comes_back_as_it_was(row_group_spans: int, columns_max: int) -> None:
    store = MemoryObjectStore()
    tables = naive_tables(diverse_requests(), attribute_columns_max=columns_max)

    meta = write_block(store, tables, settings=BlockSettings(row_group_spans=row_group_spans))

    for table in Table:
        found = read_back(store, meta, table)
        expected = tables.table(table).schema
        assert found.schema.equals(expected)
        assert [field.metadata for field in found.schema] == [f.metadata for f in expected]
        assert plain_columns(found) == plain_columns(tables.table(table))


@pytest.mark.parametrize("compression", ["zstd", "lz4", "snappy", "none"])
def test_each_codec_can_be_chosen(compression: str) -> None:
    store = MemoryObjectStore()
    tables = naive_tables(diverse_requests())

    meta = write_block(store, tables, settings=BlockSettings(compression=compression))

    assert plain_columns(read_back(store, meta, Table.SPANS)) == plain_columns(tables.spans)


def test_the_meta_describes_the_block_and_is_stored_last() -> None:
    class Recording(MemoryObjectStore):
        keys: list[str] = []  # noqa: RUF012 - one store in this test

        def put(self, key: str, content: bytes | memoryview) -> str:
            self.keys.append(key)
            return super().put(key, content)

    store = Recording()
    tables = naive_tables(diverse_requests())

    meta = write_block(store, tables)

    key = meta_key(TENANT, BlockId(meta.id))
    assert store.keys[-1] == key
    assert BlockMeta.from_json(store.get(key), key=key) == meta
    assert meta.spans == len(tables.spans)
    assert meta.events == len(tables.events) > 0
    assert meta.links == len(tables.links) > 0
    assert meta.traces == 12
    assert meta.start_ns == min(plain_columns(tables.traces)["start_time"])
    assert meta.end_ns == max(plain_columns(tables.traces)["end_time"])
    sizes = {name: store.head(block_key(TENANT, meta.id, name)).bytes for name in meta.object_bytes}
    assert meta.object_bytes == sizes
    assert set(sizes) == {*(f"{table}.parquet" for table in Table), "filters"}


def test_times_past_the_signed_range_are_later_than_all_others() -> None:
    spans = [
        span(trace=1, id=1, start_ms=0),
        span(trace=2, id=2, start_ms=0),
    ]
    spans[1].start_time_unix_nano = 2**64 - 10
    spans[1].end_time_unix_nano = 2**64 - 1

    meta = write_block(MemoryObjectStore(), naive_tables([request(spans=spans)]))

    assert meta.start_ns == spans[0].start_time_unix_nano
    assert meta.end_ns == 2**64 - 1


@pytest.mark.parametrize(
    ("sizes", "target", "groups"),
    [
        ((1, 1, 1), 65536, [3]),
        ((2, 2, 2), 4, [4, 2]),
        ((2, 3, 2), 4, [2, 3, 2]),
        ((1, 11, 1, 1), 4, [1, 4, 4, 3, 2]),
        ((11,), 4, [4, 4, 3]),
        ((4, 4), 4, [4, 4]),
        ((3, 1, 1), 1, [1, 1, 1, 1, 1]),
        ((8, 1), 4, [4, 4, 1]),
    ],
)
def test_row_groups_are_whole_traces_or_parts_of_one(
    sizes: tuple[int, ...], target: int, groups: list[int]
) -> None:
    settings = BlockSettings(row_group_spans=target)
    bounds = plan_row_groups(SpanTablesReader(sized_traces(*sizes)), settings)

    cuts = bounds[Table.SPANS].tolist()
    assert [stop - start for start, stop in pairwise(cuts)] == groups
    assert bounds[Table.EVENTS].tolist() == cuts
    ends = list(accumulate(sizes))
    listed = [sum(end <= cut for end in ends) for cut in cuts]
    assert bounds[Table.TRACES].tolist() == listed, "a trace is listed where it ends"


def text_of(number: int, size: int) -> str:
    return f"{number:06}".ljust(size, "x")


@pytest.mark.parametrize(
    ("what", "spans"),
    [
        ("nothing more", [{}] * 400),
        ("long texts", [{"attributes": {"long": text_of(n, 3000)}} for n in range(100)]),
        ("one text again and again", [{"attributes": {"long": text_of(0, 30_000)}}] * 100),
        ("long bytes", [{"attributes": {"long": bytes(3000)}} for n in range(100)]),
        ("long lists", [{"attributes": {"long": ["x" * 50] * 60}} for n in range(100)]),
        ("many events", [{"events": [event("e")] * 50}] * 100),
        (
            "long events",
            [{"events": [event("e", attributes={"a": text_of(n, 3000)})]} for n in range(100)],
        ),
        ("many links", [{"links": [link(1, 1)] * 50}] * 100),
        ("many columns", [{"attributes": {f"k{k}": k for k in range(200)}}] * 100),
    ],
)
@pytest.mark.parametrize("is_one_trace", [False, True])
def test_row_groups_are_bounded_in_memory(
    what: str, spans: list[dict[str, Any]], is_one_trace: bool
) -> None:
    made = [
        span(trace=1 if is_one_trace else n, id=n, **arguments)
        for n, arguments in enumerate(spans, start=1)
    ]
    bytes_max = 100_000
    store = MemoryObjectStore()
    tables = build_tables([request(spans=made)])
    meta = write_block(store, tables, settings=BlockSettings(row_group_bytes_max=bytes_max))

    reader = BlockReader(store, meta, BlockCache(0))
    sizes = []
    for part in range(len(reader.footer(Table.SPANS).part_rows) - 1):
        read = [reader.part(table, part) for table in (Table.SPANS, *OWNED)]
        sizes.append(sum(table.nbytes for table in read))
    assert max(sizes) < 2.2 * bytes_max
    assert len(sizes) == 1 or sum(sizes) / len(sizes) > 0.2 * bytes_max, "no more than needed"
    assert verify_block(store, meta).problems == ()


def test_row_groups_of_all_aligned_tables_belong_to_the_same_traces() -> None:
    store = MemoryObjectStore()
    meta = write_block(
        store, naive_tables(diverse_requests()), settings=BlockSettings(row_group_spans=5)
    )
    files = {
        table: pq.ParquetFile(
            pa.BufferReader(store.get(block_key(TENANT, meta.id, f"{table}.parquet")))
        )
        for table in Table
    }
    groups = files[Table.SPANS].num_row_groups
    assert groups > 3
    parts = [*BlockReader(store, meta, BlockCache(0)).footer(Table.SPANS).parts]
    assert len(parts) < groups == parts[-1].stop, "a trace has several"
    for part in parts:
        rows = {table: files[table].read_row_groups(list(part)) for table in list(Table)[:4]}
        spans, traces = rows[Table.SPANS], rows[Table.TRACES]
        first = traces.column("first_span")[0].as_py()
        assert sum(traces.column("span_count").to_pylist()) == len(spans)
        assert spans.column("trace_id")[0] == traces.column("trace_id")[0]
        for table in (Table.EVENTS, Table.LINKS):
            owners = rows[table].column("span").to_pylist()
            assert all(first <= owner < first + len(spans) for owner in owners)
    assert files[Table.RESOURCES].num_row_groups == 1


def test_only_the_entries_in_use_are_written() -> None:
    texts = pa.array([f"value {n}" for n in range(1000)]).dictionary_encode()
    tables = sized_traces(1000)
    spans = tables.spans.set_column(
        tables.spans.schema.get_field_index("name"), tables.spans.schema.field("name"), texts
    )
    few = SpanTables(
        spans=spans.slice(0, 1),
        events=tables.events.slice(0, 1),
        links=tables.links,
        traces=tables.traces,
        resources=tables.resources,
        scopes=tables.scopes,
    )
    store = MemoryObjectStore()

    meta = write_block(store, few)

    assert read_back(store, meta, Table.SPANS).column("name").to_pylist() == ["value 0"]
    assert b"value 999" not in store.get(block_key(TENANT, meta.id, "spans.parquet"))


def test_an_empty_block_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="empty"):
        write_block(MemoryObjectStore(), naive_tables([]))


def test_a_spool_directory_changes_nothing_and_is_left_empty(tmp_path: Path) -> None:
    tables = naive_tables(diverse_requests())
    stores = MemoryObjectStore(), MemoryObjectStore()

    metas = [
        write_block(stores[0], tables),
        write_block(stores[1], tables, spool_dir=str(tmp_path)),
    ]

    assert metas[0].object_bytes == metas[1].object_bytes
    assert list(tmp_path.iterdir()) == []
    for table in Table:
        assert read_back(stores[0], metas[0], table) == read_back(stores[1], metas[1], table)


def test_a_spool_directory_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    store = MemoryObjectStore()

    with pytest.raises(UnavailableError, match="gone"):
        write_block(store, sized_traces(1), spool_dir=str(tmp_path / "gone"))

    assert list(store.list("")) == []

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from support.naive_tables import naive_tables
from support.otlp import request, span
from support.written_blocks import TENANT, diverse_requests, plain_columns, write_block

from tracestore.errors import CorruptionError, NotFoundError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.results import QueryStats
from tracestore.model.tables import TEXT, SpanTables, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block import encodings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.lookup import find_trace
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import block_key
from tracestore.storage.objects.local import LocalObjectStore
from tracestore.storage.objects.memory import MemoryObjectStore

SETTINGS = BlockSettings(row_group_spans=7)
MakeStore = Callable[[Path], ObjectStore]


def in_memory(_: Path) -> ObjectStore:
    return MemoryObjectStore()


@pytest.fixture(params=[in_memory, LocalObjectStore], ids=["ranges", "mapped"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    made: ObjectStore = request.param(tmp_path)
    return made


@pytest.fixture(scope="module")
def tables() -> SpanTables:
    return naive_tables(diverse_requests())


@pytest.fixture(scope="module")
def written(tables: SpanTables) -> tuple[BlockMeta, dict[str, bytes]]:
    """Write a block once: its meta, and its objects by key."""
    store = MemoryObjectStore()
    meta = write_block(store, tables, settings=SETTINGS)
    return meta, {info.key: store.get(info.key) for info in store.list("")}


@pytest.fixture
def meta(store: ObjectStore, written: tuple[BlockMeta, dict[str, bytes]]) -> BlockMeta:
    """Put that block into the store."""
    for key, content in written[1].items():
        store.put(key, content)
    return written[0]


def reader_of(store: ObjectStore, meta: BlockMeta, cache_bytes: int = 1 << 24) -> BlockReader:
    return BlockReader(store, meta, BlockCache(cache_bytes))


@pytest.mark.parametrize("cache_bytes", [0, 3000, 1 << 24])
def test_row_groups_put_together_are_the_tables(
    store: ObjectStore, tables: SpanTables, cache_bytes: int, meta: BlockMeta
) -> None:
    reader = reader_of(store, meta, cache_bytes)
    for table in Table:
        footer = reader.footer(table)
        names = footer.schema.names
        groups = [
            reader.columns(table, names, group, QueryStats()) for group in range(footer.row_groups)
        ]
        whole = reader.columns(table, names, None, QueryStats())

        assert footer.schema.equals(tables.table(table).schema)
        assert plain_columns(pa.concat_tables(groups)) == plain_columns(tables.table(table))
        assert plain_columns(whole) == plain_columns(tables.table(table))
        for found in (*groups, whole):
            assert all(column.num_chunks == 1 for column in found.columns)
        texts = [name for name in names if tables.table(table).schema.field(name).type == TEXT]
        assert all(whole.column(name).type == TEXT for name in texts)


def test_columns_are_chosen_by_their_exact_name(store: ObjectStore) -> None:
    attributes = {"a": 1, "a.b": 2, "a.b.c": 3, "*.list": 4, "*.list.element.key": 5}
    pairs = [*attributes.items(), ("a.b.c.list", [1]), ("twice", "x"), ("twice", "y")]
    spans = [span(trace=1, id=1, attributes=pairs)]
    tables = naive_tables([request(spans=spans)])
    reader = reader_of(store, write_block(store, tables))

    assert "span.*" in tables.spans.schema.names
    for name in tables.spans.schema.names:
        found = reader.columns(Table.SPANS, [name], 0, QueryStats())
        assert found.schema.names == [name]
        assert plain_columns(found) == plain_columns(tables.spans.select([name]))


def test_texts_too_long_for_a_dictionary_are_still_one(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encodings, "DICTIONARY_BYTES_MAX", 5000)
    spans = [
        span(trace=1, id=n, name=f"name {n // 2}" * 20, attributes={"n": n % 7})
        for n in range(1, 2000)
    ]
    tables = naive_tables([request(spans=spans)])
    reader = reader_of(store, write_block(store, tables))

    names = reader.columns(Table.SPANS, ["name"], 0, QueryStats()).column(0)

    assert names.num_chunks == 1
    assert names.type == TEXT
    assert names.to_pylist() == tables.spans.column("name").to_pylist()
    assert len(names.chunk(0).dictionary) == 1000


def test_only_the_asked_bytes_are_counted_cached_or_not(
    store: ObjectStore, tables: SpanTables, meta: BlockMeta
) -> None:
    reader = reader_of(store, meta)
    one, again, everything = QueryStats(), QueryStats(), QueryStats()

    reader.columns(Table.SPANS, ["span_id"], 0, one)
    reader.columns(Table.SPANS, ["span_id"], 0, again)
    reader.columns(Table.SPANS, tables.spans.schema.names, 0, everything)

    ids_bytes = 8 * reader.footer(Table.SPANS).first_row[1]
    assert ids_bytes <= one.inspected_bytes <= ids_bytes + 100
    assert again == one
    assert one.inspected_bytes < everything.inspected_bytes < meta.object_bytes["spans.parquet"]


def test_a_second_read_comes_from_the_cache(
    store: ObjectStore, tables: SpanTables, meta: BlockMeta
) -> None:
    reader = reader_of(store, meta)
    first = reader.columns(Table.SPANS, ["name", "duration"], 0, QueryStats())
    for name in meta.object_bytes:
        store.delete(block_key(TENANT, meta.id, name))

    assert reader.columns(Table.SPANS, ["duration", "name"], 0, QueryStats()) == first.select(
        ["duration", "name"]
    )


def test_the_cache_stays_within_its_bound(
    store: ObjectStore, tables: SpanTables, meta: BlockMeta
) -> None:
    cache = BlockCache(20_000)
    reader = BlockReader(store, meta, cache)
    for group in range(reader.footer(Table.SPANS).row_groups):
        reader.columns(Table.SPANS, tables.spans.schema.names, group, QueryStats())
        assert 0 < cache.bytes <= 20_000


def test_threads_read_the_same(store: ObjectStore, tables: SpanTables, meta: BlockMeta) -> None:
    reader = reader_of(store, meta, 5000)
    expected = plain_columns(tables.spans)

    def read(_: int) -> dict[str, list[object]]:
        return plain_columns(
            reader.columns(Table.SPANS, tables.spans.schema.names, None, QueryStats())
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(read, range(12)))


def test_bounds_are_those_of_the_row_group(
    store: ObjectStore, tables: SpanTables, meta: BlockMeta
) -> None:
    reader = reader_of(store, meta)
    footer = reader.footer(Table.SPANS)
    columns = ["start_time", "duration", "span.http.status_code"]
    for group in range(footer.row_groups):
        rows = plain_columns(reader.columns(Table.SPANS, columns, group, QueryStats()))
        for name in columns:
            bounds = footer.bounds(group, name)
            present = [value for value in rows[name] if value is not None]
            assert bounds is not None
            assert (bounds.minimum, bounds.maximum) == (min(present), max(present))
            assert bounds.null_count == len(rows[name]) - len(present)
    assert footer.bounds(0, "span_id") is None


def touch_everything(reader: BlockReader, trace_id: bytes) -> None:
    """Read all that a query might."""
    for table in Table:
        names = reader.footer(table).schema.names
        reader.columns(table, names, None, QueryStats())
    assert find_trace(reader, trace_id, QueryStats()) is not None


@pytest.mark.parametrize("name", [*(f"{table}.parquet" for table in Table), "filters"])
def test_a_missing_object_is_named(
    store: ObjectStore, tables: SpanTables, name: str, meta: BlockMeta
) -> None:
    key = block_key(TENANT, meta.id, name)
    store.delete(key)

    with pytest.raises(NotFoundError, match=key):
        touch_everything(reader_of(store, meta), tables.traces.column("trace_id")[0].as_py())


@pytest.mark.parametrize("name", [*(f"{table}.parquet" for table in Table), "filters"])
@pytest.mark.parametrize("damage", ["cut", "emptied", "zeroed", "grown"])
def test_a_damaged_object_is_corruption(
    store: ObjectStore, tables: SpanTables, name: str, damage: str, meta: BlockMeta
) -> None:
    key = block_key(TENANT, meta.id, name)
    content = store.get(key)
    damaged = {
        "cut": content[: len(content) // 2],
        "emptied": b"",
        "zeroed": bytes(len(content)),
        "grown": content + b"x",
    }
    store.put(key, damaged[damage])
    if damage == "grown" and store.local_path(key) is None and name != "filters":
        return  # what lies beyond the size in the meta is never read there

    with pytest.raises(CorruptionError, match=key):
        touch_everything(reader_of(store, meta), tables.traces.column("trace_id")[0].as_py())


def test_a_flipped_bit_is_never_data(tables: SpanTables) -> None:
    store = MemoryObjectStore()
    meta = write_block(store, tables)
    key = block_key(TENANT, meta.id, "spans.parquet")
    content = store.get(key)
    expected = plain_columns(tables.spans)
    refused = set()
    for offset in range(4, len(content), 41):
        damaged = bytearray(content)
        damaged[offset] ^= 1 << offset % 8
        store.put(key, bytes(damaged))
        try:
            found = reader_of(store, meta).columns(
                Table.SPANS, tables.spans.schema.names, None, QueryStats()
            )
        except CorruptionError as error:
            refused.add(error.key)
        else:
            assert plain_columns(found) == expected
    assert refused == {key}


def test_a_table_of_another_block_is_corruption(store: ObjectStore, tables: SpanTables) -> None:
    meta = write_block(store, tables)
    key = block_key(TENANT, meta.id, "events.parquet")
    content = store.get(block_key(TENANT, meta.id, "links.parquet"))
    store.put(key, content)
    meta.object_bytes["events.parquet"] = len(content)

    with pytest.raises(CorruptionError, match=key):
        reader_of(store, meta).footer(Table.EVENTS)

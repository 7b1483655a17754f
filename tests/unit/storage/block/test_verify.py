"""What ``verify_block`` finds: nothing in sound blocks, and every kind of damage."""

from __future__ import annotations

import random
from dataclasses import replace

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.otlp import request, span
from support.written_blocks import diverse_requests, write_block

from tracestore.kernel import build_tables
from tracestore.model.block_meta import BlockMeta
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.footer import read_tail
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.verify import verify_block
from tracestore.storage.objects.layout import block_key, meta_key
from tracestore.storage.objects.memory import MemoryObjectStore

SMALL_GROUPS = BlockSettings(row_group_spans=9)


def texts(store: MemoryObjectStore, meta: BlockMeta) -> list[str]:
    return [problem.text for problem in verify_block(store, meta).problems]


def sound_tables() -> SpanTables:
    return build_tables(diverse_requests())


def set_numbers(tables: SpanTables, table: Table, name: str, row: int, value: int) -> SpanTables:
    """Replace one number of a column."""
    old = tables.table(table)
    place = old.schema.get_field_index(name)
    field = old.schema.field(place)
    column = old.column(place)
    is_time = pa.types.is_timestamp(field.type)
    values = column.cast(pa.int64()).to_pylist() if is_time else column.to_pylist()
    values[row] = value
    new = pa.array(values, pa.int64() if is_time else field.type).cast(field.type)
    return replace(tables, **{table.value: old.set_column(place, field, new)})


@pytest.mark.parametrize("settings", [BlockSettings(), SMALL_GROUPS], ids=["one", "many"])
def test_a_sound_block_has_no_problems(settings: BlockSettings) -> None:
    store = MemoryObjectStore()
    meta = write_block(store, sound_tables(), settings=settings)
    verified = verify_block(store, meta)
    assert verified.problems == ()


def test_odd_traces_are_sound() -> None:
    spans = [
        span(trace=1, id=1, name="first root"),
        span(trace=1, id=2, name="second root", start_ms=5),
        span(trace=2, id=1, parent=9, name="orphan"),
        span(trace=3, id=1, name="runs back", duration_ms=-5),
        span(trace=4, id=1, kind="client", name="shared"),
        span(trace=4, id=1, kind="server", parent=1, name="shared"),
        span(trace=5, id=1, parent=2),
        span(trace=5, id=2, parent=1),
    ]
    tables = build_tables([request(resource={}, spans=spans)])
    store = MemoryObjectStore()
    assert texts(store, write_block(store, tables)) == []


@pytest.mark.parametrize(
    ("table", "column", "row", "value", "said"),
    [
        (Table.SPANS, "nested_left", 1, 77, "nested_left is wrong"),
        (Table.SPANS, "nested_parent", 1, 0, "nested_parent is wrong"),
        (Table.SPANS, "child_count", 0, 9, "child_count is wrong"),
        (Table.SPANS, "trace", 3, 0, "spans of other traces"),
        (Table.TRACES, "error_count", 0, 99, "error_count is wrong"),
        (Table.TRACES, "start_time", 1, 5, "start_time is wrong"),
        (Table.TRACES, "end_time", 1, 2**62, "end_time is wrong"),
        (Table.TRACES, "root_span", 1, 0, "root_span is of another trace"),
        (Table.TRACES, "span_count", 1, 1, "traces do not share out the spans"),
    ],
)
def test_a_wrong_number_is_found(
    table: Table, column: str, row: int, value: int, said: str
) -> None:
    store = MemoryObjectStore()
    damaged = set_numbers(sound_tables(), table, column, row, value)
    found = texts(store, write_block(store, damaged))
    assert any(said in text for text in found), found


@pytest.mark.parametrize(("column", "value"), [("resource", 999), ("scope", -1)])
def test_a_span_that_points_nowhere_is_found(column: str, value: int) -> None:
    store = MemoryObjectStore()
    tables = sound_tables()
    meta = write_block(store, tables)
    key = block_key(meta.tenant, meta.id, "spans.parquet")
    spans = set_numbers(tables, Table.SPANS, column, 2, value).spans
    sink = pa.BufferOutputStream()
    pq.write_table(spans, sink, row_group_size=len(spans), write_page_checksum=True)
    content = sink.getvalue().to_pybytes()
    store.put(key, content)
    tail = read_tail(pa.BufferReader(content), key)
    wrong = replace(
        meta,
        object_bytes=meta.object_bytes | {"spans.parquet": len(content)},
        checksums=meta.checksums | {"spans.parquet": google_crc32c.value(tail)},
    )
    store.put(meta_key(meta.tenant, meta.id), wrong.to_json())
    assert any(f"{column} outside of the" in text for text in texts(store, wrong))


def test_events_in_no_order_are_found() -> None:
    tables = sound_tables()
    owners = tables.events["span"].to_pylist()
    owners[0], owners[-1] = owners[-1], owners[0]
    place = tables.events.schema.get_field_index("span")
    field = tables.events.schema.field(place)
    swapped = tables.events.set_column(place, field, pa.array(owners, pa.int64()))
    store = MemoryObjectStore()
    found = texts(store, write_block(store, replace(tables, events=swapped)))
    assert any("in no order" in text for text in found), found


def test_spans_that_are_swapped_or_repeated_are_found() -> None:
    tables = sound_tables()
    counts = tables.traces["span_count"].to_numpy()
    begin = int(np.argmax(counts >= 3) and counts[: np.argmax(counts >= 3)].sum())
    order = list(range(len(tables.spans)))
    order[begin + 1], order[begin + 2] = order[begin + 2], order[begin + 1]
    for rows in (order, [*order[: begin + 1], begin, *order[begin + 2 :]]):
        store = MemoryObjectStore()
        spans = tables.spans.take(pa.array(rows))
        found = texts(store, write_block(store, replace(tables, spans=spans)))
        assert any("not in order, or repeated" in text for text in found), found


def everything(store: MemoryObjectStore, meta: BlockMeta) -> list[pa.Array]:
    reader = BlockReader(store, meta, BlockCache(1 << 20))
    return [
        array
        for table in Table
        for group in range(reader.footer(table).row_groups)
        for array in reader.arrays(table, reader.footer(table).schema.names, group, QueryStats())
    ]


def test_damaged_bytes_are_found_unless_they_say_nothing() -> None:
    """A page has a checksum and its header has none: a bit there may be one that nobody reads."""
    store = MemoryObjectStore()
    meta = write_block(store, sound_tables(), settings=SMALL_GROUPS)
    sound, unread = everything(store, meta), 0
    rng = random.Random(3)
    for name, size in meta.object_bytes.items():
        key = block_key(meta.tenant, meta.id, name)
        content = store.get(key)
        for place in sorted(rng.sample(range(4, size), 12)):
            damaged = bytearray(content)
            damaged[place] ^= 0x10
            store.put(key, bytes(damaged))
            found = verify_block(store, meta).problems
            if found:
                assert found[0].key == key, (name, place)
            else:
                unread += 1
                assert everything(store, meta) == sound, (name, place)
        store.put(key, content)
    assert unread < 10
    assert texts(store, meta) == []


def test_objects_that_are_missing_short_or_too_many_are_found() -> None:
    store = MemoryObjectStore()
    meta = write_block(store, sound_tables())
    links = block_key(meta.tenant, meta.id, "links.parquet")
    store.put(links, store.get(links)[:-1])
    store.delete(block_key(meta.tenant, meta.id, "scopes.parquet"))
    store.put(block_key(meta.tenant, meta.id, "spare"), b"x")
    store.delete(meta_key(meta.tenant, meta.id))
    found = {p.key.rpartition("/")[2]: p.text for p in reversed(verify_block(store, meta).problems)}
    assert "instead of" in found["links.parquet"]
    assert "missing" in found["scopes.parquet"]
    assert found["meta.json"] == "the object is missing"
    assert found["spare"] == "is no object of a block"


def test_a_meta_that_says_something_else_is_found() -> None:
    store = MemoryObjectStore()
    meta = write_block(store, sound_tables())
    assert texts(store, replace(meta, level=3)) == [
        "says something else of the block than the index"
    ]
    wrong = replace(meta, start_ns=meta.start_ns - 1)
    store.put(meta_key(meta.tenant, meta.id), wrong.to_json())
    assert "times are not those of the traces" in texts(store, wrong)[0]
    short = replace(meta, spans=meta.spans - 1)
    assert any("rows instead of" in text for text in texts(store, short))

"""A trace that fills row groups of its own is read in pieces, and comes out whole."""

from __future__ import annotations

import random

import pytest
from support.otlp import event, link, request, span
from support.written_blocks import write_block

from tracestore.clock import SystemClock
from tracestore.errors import CorruptionError
from tracestore.kernel import build_tables, encode
from tracestore.model.block_meta import BlockMeta
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.compaction import inputs, large
from tracestore.storage.compaction.merge import merge_blocks
from tracestore.storage.objects.layout import block_key
from tracestore.storage.objects.memory import MemoryObjectStore

SETTINGS = BlockSettings(row_group_spans=5)


def part_of_trace(first: int, count: int) -> bytes:
    """Spans with events, links, attributes that differ; the first two are in every part."""
    return request(
        resource={"service.name": f"service-{first % 2}"},
        scope="library",
        spans=[
            span(
                trace=7,
                id=number,
                parent=1 if number > 1 else None,
                start_ms=number,
                attributes={"n": number, f"rare.{number}": "x", "text": f"t{number % 5}"},
                events=[event("e", at_ms=number, attributes={"i": i}) for i in range(number % 3)],
                links=[link(number, 1, attributes={"why": "batch"})] * (number % 4 == 0),
            )
            for number in [1, 2, *range(first, first + count)]
        ],
    )


def write(store: MemoryObjectStore) -> tuple[list[BlockMeta], list[bytes]]:
    """Write three blocks, each with a part of the trace; one has another trace too."""
    other = request(resource={}, scope=None, spans=[span(trace=9, id=3)])
    requests = [part_of_trace(100, 300), part_of_trace(500, 700), part_of_trace(2000, 20)]
    metas = []
    for number, one in enumerate(requests):
        tables = build_tables([one, other] if number == 1 else [one])
        block = f"0190b6f0-0000-7000-8000-00000000000{number}"
        metas.append(write_block(store, tables, settings=SETTINGS, block=block))
    return metas, [requests[0], requests[1], other, requests[2]]


def merge(store: MemoryObjectStore, metas: list[BlockMeta]) -> BlockMeta:
    (meta,) = merge_blocks(
        store,
        metas,
        settings=SETTINGS,
        clock=SystemClock(),
        rng=random.Random(1),
        spans_max=10_000,
    ).metas
    return meta


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "PIECE_SPANS", 100)
    monkeypatch.setattr(large, "PIECE_CELLS", 1)  # then a piece is of 256 spans


def test_a_large_trace_comes_out_whole() -> None:
    store = MemoryObjectStore()
    metas, requests = write(store)
    reader = BlockReader(store, merge(store, metas), BlockCache(1 << 20))
    found = SpanTables(
        **{
            table.value: reader.columns(
                table, reader.footer(table).schema.names, None, QueryStats()
            )
            for table in Table
        }
    )
    expected = build_tables(requests)
    assert encode(found) == encode(expected)
    numbers = ["trace", "nested_left", "nested_right", "nested_parent", "child_count"]
    assert found.spans.select(numbers) == expected.spans.select(numbers)
    assert found.traces.to_pylist() == expected.traces.to_pylist()


@pytest.mark.parametrize("name", ["spans.parquet", "events.parquet", "links.parquet"])
def test_damage_names_the_object(name: str) -> None:
    store = MemoryObjectStore()
    metas, _ = write(store)
    key = block_key(metas[1].tenant, metas[1].id, name)
    content = bytearray(store.get(key))
    for at in range(40, len(content) // 2, 97):
        content[at] ^= 0xFF
    store.put(key, bytes(content))
    with pytest.raises(CorruptionError, match=key):
        merge(store, metas)

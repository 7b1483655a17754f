"""Merging blocks: what comes out is as if all spans had been flushed together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from support.merging import IN_ROUNDS, KeepWhere, merge
from support.otlp import request, span
from support.query import run_search
from support.search_cases import place_spans, request_for
from support.written_blocks import write_block

from tracestore.errors import CorruptionError
from tracestore.kernel import build_tables
from tracestore.model.block_meta import BlockMeta
from tracestore.model.tables import SpanTables, Table
from tracestore.query.block_source import BlockSource
from tracestore.query.source import SpanSource
from tracestore.query.tables_source import TablesSource
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.verify import verify_block
from tracestore.storage.compaction.assemble import Mask
from tracestore.storage.objects.layout import block_key
from tracestore.storage.objects.memory import MemoryObjectStore

SETTINGS = BlockSettings(row_group_spans=5, attribute_columns_max=4)
QUERIES = (
    "{ }",
    "{ status = error } | count() > 1",
    "{ .a != nil } >> { }",
    "{ event:name != nil } | select(span.b, link:traceID)",
    "{ nestedSetParent < 0 } | by(resource.a)",
)


def write(store: MemoryObjectStore, requests: Sequence[bytes]) -> list[BlockMeta]:
    metas = []
    for number, one in enumerate(requests):
        tables = build_tables([one], attribute_columns_max=4)
        if tables.spans.num_rows:
            block = f"0190b6f0-0000-7000-8000-00000000000{number}"
            metas.append(write_block(store, tables, settings=SETTINGS, block=block))
    return metas


def answers(sources: Sequence[SpanSource]) -> list[str]:
    return [repr(run_search(sources, query).traces) for query in QUERIES]


def sources_of(store: MemoryObjectStore, metas: Sequence[BlockMeta]) -> list[SpanSource]:
    return [BlockSource(store, meta, BlockCache(1 << 20)) for meta in metas]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("row_group_spans", "spans_max", "input_bytes_max"),
    [(5, 7, 1 << 20), (5, 10_000, IN_ROUNDS), (2, 10_000, 1 << 20), (65536, 10_000, 1 << 20)],
)
def test_answers_are_the_same_before_and_after(
    seed: int, row_group_spans: int, spans_max: int, input_bytes_max: int
) -> None:
    settings = BlockSettings(row_group_spans=row_group_spans, attribute_columns_max=4)
    store = MemoryObjectStore()
    placed = place_spans(seed, 4)
    metas = write(store, [request_for(placed, source) for source in range(4)])
    if not metas:
        return
    before = answers(sources_of(store, metas))
    result = merge(store, metas, settings, spans_max=spans_max, input_bytes_max=input_bytes_max)
    assert [verify_block(store, meta).problems for meta in result.metas] == [()] * len(result.metas)
    outputs = sources_of(store, result.metas)
    assert answers(outputs) == before
    assert result.spans_in == sum(meta.spans for meta in metas)
    assert result.spans_out == result.spans_in - result.spans_duplicate
    assert result.traces_out == sum(meta.traces for meta in result.metas)
    assert {meta.level for meta in result.metas} == {1}
    if spans_max > 7:
        assert len(result.metas) == 1
        whole = build_tables(
            [request_for(placed, source) for source in range(4)], attribute_columns_max=4
        )
        assert before == answers([TablesSource(whole, "whole")])


def test_what_is_not_kept_is_left_out() -> None:
    store = MemoryObjectStore()
    spans = [
        span(trace=trace, id=n, parent=n - 1)
        for trace, size in enumerate((3, 8, 2, 12, 4, 1), start=1)
        for n in range(1, size + 1)
    ]
    halves = (spans[::2], spans[1::2] + spans[:10:3])
    metas = write(store, [request(resource={}, spans=half) for half in halves])
    everything = merge(store, metas, SETTINGS, spans_max=10_000)
    none = merge(store, metas, SETTINGS, keep=KeepWhere(lambda t: np.zeros(len(t.traces), bool)))
    assert none.metas == ()
    assert none.traces_dropped == everything.traces_out
    before = run_search(sources_of(store, everything.metas), "{ }").traces
    wanted = sorted(trace.trace_id for trace in before)[::2]

    def is_wanted(tables: SpanTables) -> Mask:
        return np.array([one in wanted for one in tables.traces["trace_id"].to_pylist()])

    keep = KeepWhere(is_wanted)
    half = merge(store, metas, SETTINGS, keep=keep)
    assert 0 < len(keep.large) < everything.traces_out, "some are larger than a row group"
    assert half.traces_out == -(-everything.traces_out // 2)
    assert half.spans_duplicate == everything.spans_duplicate
    shown = {trace.trace_id for trace in run_search(sources_of(store, half.metas), "{ }").traces}
    assert shown == set(wanted)
    assert half.metas[0].spans == sum(
        source.rows(Table.SPANS) for source in sources_of(store, half.metas)
    )
    by_id = {t.trace_id: t for t in before}
    for trace in run_search(sources_of(store, half.metas), "{ }").traces:
        assert repr(trace) == repr(by_id[trace.trace_id])


def test_segments_of_the_log_are_carried_on() -> None:
    store = MemoryObjectStore()
    placed = place_spans(1, 1)
    (meta,) = write(store, [request_for(placed, 0)])
    from dataclasses import replace

    named = replace(meta, wal_segments=("w/1-5", "w/7-9"))
    result = merge(store, [named], SETTINGS, spans_max=10_000)
    assert result.metas[0].wal_segments == ("w/1-5", "w/7-9")


def test_damage_is_named_and_nothing_comes_of_it() -> None:
    store = MemoryObjectStore()
    placed = place_spans(3, 3)
    metas = write(store, [request_for(placed, source) for source in range(3)])
    key = block_key(metas[1].tenant, metas[1].id, "spans.parquet")
    content = bytearray(store.get(key))
    content[len(content) // 4] ^= 0xFF
    store.put(key, bytes(content))
    before = {info.key for info in store.list("")}
    with pytest.raises(CorruptionError) as caught:
        merge(store, metas, SETTINGS, spans_max=10_000)
    assert caught.value.key == key
    assert {info.key for info in store.list("")} == before

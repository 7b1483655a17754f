"""Blocks that are merged, against the naive decoder given all their requests at once."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.naive_tables import naive_tables
from support.same_tables import assert_same_tables
from support.strategies import request_bytes

from tracestore.clock import SystemClock
from tracestore.kernel import build_tables, encode
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, new_block_id
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.table_reader import SpanTablesReader
from tracestore.storage.block.writer import BlockIdentity, BlockWriter
from tracestore.storage.compaction import merge as merging
from tracestore.storage.compaction.merge import MergeResult, merge_blocks
from tracestore.storage.objects.memory import MemoryObjectStore

thorough = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
block_settings = st.builds(
    BlockSettings,
    row_group_spans=st.sampled_from([1, 2, 5, 65536]),
    attribute_columns_max=st.sampled_from([0, 1, 3, 512]),
)


def write_blocks(
    store: MemoryObjectStore, requests: Sequence[bytes], how: BlockSettings
) -> list[BlockMeta]:
    """Write each request as a block of its own, with ascending IDs."""
    rng, metas = random.Random(1), []
    for number, one in enumerate(requests):
        tables = build_tables([one], attribute_columns_max=how.attribute_columns_max)
        if tables.spans.num_rows:
            identity = BlockIdentity(id=new_block_id(10**9 * number, rng), tenant=SINGLE_TENANT)
            writer = BlockWriter(store, how, SystemClock())
            metas.append(writer.write(SpanTablesReader(tables), identity))
    return metas


def merge(
    store: MemoryObjectStore, metas: Sequence[BlockMeta], how: BlockSettings, spans_max: int
) -> MergeResult:
    return merge_blocks(
        store, metas, settings=how, clock=SystemClock(), rng=random.Random(2), spans_max=spans_max
    )


def read(store: MemoryObjectStore, meta: BlockMeta) -> SpanTables:
    """Read a block whole."""
    reader, stats = BlockReader(store, meta, BlockCache(1 << 24)), QueryStats()
    return SpanTables(
        **{
            table.value: reader.columns(table, reader.footer(table).schema.names, None, stats)
            for table in Table
        }
    )


def normal(tables: Sequence[SpanTables]) -> SpanTables:
    """Build tables again, so that how columns were chosen and rows numbered does not matter."""
    return build_tables([encode(one) for one in tables])


@pytest.mark.parametrize("in_rounds", [False, True])
@thorough
@pytest.mark.timeout(400)
@given(
    st.lists(request_bytes, min_size=1, max_size=5),
    block_settings,
    block_settings,
    st.sampled_from([1, 4, 10_000]),
)
def test_merged_blocks_are_what_one_flush_would_have_written(
    monkeypatch: pytest.MonkeyPatch,
    in_rounds: bool,
    requests: list[bytes],
    before: BlockSettings,
    after: BlockSettings,
    spans_max: int,
) -> None:
    store = MemoryObjectStore()
    metas = write_blocks(store, requests, before)
    if not metas:
        return
    monkeypatch.setattr(merging, "INPUT_BYTES_MAX", 1 if in_rounds else 1 << 20)
    result = merge(store, metas, after, spans_max)
    found = [read(store, meta) for meta in result.metas]
    whole = naive_tables(requests)
    assert_same_tables(normal(found), normal([whole]))
    if len(found) == 1:
        (one,) = found
        assert one.traces.equals(whole.traces.cast(one.traces.schema))
        for name in ("span_id", "nested_left", "nested_right", "nested_parent", "child_count"):
            assert one.spans[name].to_pylist() == whole.spans[name].to_pylist()
        assert len(one.resources) == len(whole.resources)
        assert len(one.scopes) == len(whole.scopes)
    assert sum(meta.spans for meta in result.metas) == result.spans_out == len(whole.spans)
    assert result.spans_duplicate == result.spans_in - result.spans_out
    assert result.traces_out == len(whole.traces)

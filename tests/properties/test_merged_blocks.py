"""Blocks that are merged, against the naive decoder given all their requests at once."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.merging import IN_ROUNDS, merge, read_block
from support.naive_tables import naive_tables
from support.same_tables import assert_same_tables
from support.strategies import request_bytes

from tracestore.clock import SystemClock
from tracestore.kernel import build_tables, encode
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, new_block_id
from tracestore.model.tables import SpanTables
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.table_reader import SpanTablesReader
from tracestore.storage.block.verify import verify_block
from tracestore.storage.block.writer import BlockIdentity, BlockWriter
from tracestore.storage.objects.memory import MemoryObjectStore

thorough = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
block_settings = st.builds(
    BlockSettings,
    row_group_spans=st.sampled_from([1, 2, 5, 65536]),
    row_group_bytes_max=st.sampled_from([300, 2000, 16 << 20]),
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


def normal(tables: Sequence[SpanTables]) -> SpanTables:
    """Build tables again, so that how columns were chosen and rows numbered does not matter."""
    return build_tables([encode(one) for one in tables])


@pytest.mark.parametrize("input_bytes_max", [1 << 20, IN_ROUNDS])
@thorough
@pytest.mark.timeout(400)
@given(
    st.lists(request_bytes, min_size=1, max_size=5),
    block_settings,
    block_settings,
    st.sampled_from([1, 4, 10_000]),
)
def test_merged_blocks_are_what_one_flush_would_have_written(
    input_bytes_max: int,
    requests: list[bytes],
    before: BlockSettings,
    after: BlockSettings,
    spans_max: int,
) -> None:
    store = MemoryObjectStore()
    metas = write_blocks(store, requests, before)
    if not metas:
        return
    result = merge(store, metas, after, spans_max=spans_max, input_bytes_max=input_bytes_max)
    found = [read_block(store, meta) for meta in result.metas]
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
    for meta in result.metas:
        assert verify_block(store, meta).problems == ()

"""A block of some traces holds what the naive decoder makes of these alone, and their weights."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.naive_tables import naive_tables
from support.same_tables import assert_same_tables
from support.strategies import request_bytes
from support.written_blocks import diverse_requests

from tracestore.clock import SystemClock
from tracestore.kernel import SpanBuilder, build_tables, encode
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, new_block_id
from tracestore.model.results import QueryStats
from tracestore.model.tables import SAMPLING_WEIGHT, SpanTables, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.kept import KeptTraces
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.verify import verify_block
from tracestore.storage.block.weights import has_weights
from tracestore.storage.block.writer import BlockIdentity, BlockWriter
from tracestore.storage.compaction.merge import MergeBounds, merge_blocks
from tracestore.storage.objects.memory import MemoryObjectStore

thorough = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def only(request: bytes, kept: frozenset[bytes]) -> bytes:
    """Leave the other traces out of a request."""
    message = ExportTraceServiceRequest.FromString(request)
    for group in message.resource_spans:
        for scope in group.scope_spans:
            spans = [span for span in scope.spans if span.trace_id in kept]
            del scope.spans[:]
            scope.spans.extend(spans)
    return message.SerializeToString()


def write(
    store: MemoryObjectStore,
    request: bytes,
    weights: dict[bytes, float],
    how: BlockSettings,
    n: int,
) -> BlockMeta:
    builder = SpanBuilder()
    builder.append(request)
    frozen = builder.freeze(attribute_columns_max=how.attribute_columns_max)
    ids = frozen.columns(Table.TRACES, ["trace_id"]).column(0).to_pylist()
    chosen = [weights.get(trace_id, 0.0) for trace_id in ids]
    reader = KeptTraces(frozen, np.array(chosen))
    identity = BlockIdentity(id=new_block_id(10**9 * n, random.Random(n)), tenant=SINGLE_TENANT)
    return BlockWriter(store, how, SystemClock()).write(reader, identity)


def read(store: MemoryObjectStore, meta: BlockMeta) -> SpanTables:
    reader, stats = BlockReader(store, meta, BlockCache(1 << 24)), QueryStats()
    return SpanTables(
        **{
            table.value: reader.columns(table, reader.footer(table).schema.names, None, stats)
            for table in Table
        }
    )


def weights_of(tables: SpanTables) -> dict[bytes, float]:
    ids = tables.traces["trace_id"].to_pylist()
    if not has_weights(tables.traces.schema):
        return dict.fromkeys(ids, 1.0)
    return dict(zip(ids, tables.traces[SAMPLING_WEIGHT.name].to_pylist(), strict=True))


def trace_ids(request: bytes) -> list[bytes]:
    message = ExportTraceServiceRequest.FromString(request)
    found = {s.trace_id for g in message.resource_spans for c in g.scope_spans for s in c.spans}
    return sorted(found)


class Diverse(bytes):
    """A request that prints as what it was made of."""

    def __repr__(self) -> str:
        return f"Diverse({len(self)} bytes)"


def diverse(seed: int) -> bytes:
    return Diverse(b"".join(diverse_requests(seed=seed)))


@thorough
@given(
    request=st.one_of(request_bytes, st.integers(0, 9).map(diverse)),
    seed=st.integers(0, 1000),
    how=st.builds(
        BlockSettings,
        row_group_spans=st.sampled_from([1, 3, 65536]),
        attribute_columns_max=st.sampled_from([0, 2, 512]),
    ),
)
def test_a_block_of_some_traces_is_as_if_only_these_had_come(
    request: bytes, seed: int, how: BlockSettings
) -> None:
    rng = random.Random(seed)
    ids = trace_ids(request)
    weights = {one: rng.choice([0.0, 1.0, 1.0, 10.0, 2.5]) for one in ids}
    kept = frozenset(one for one, weight in weights.items() if weight)
    if not kept:
        return
    store = MemoryObjectStore()
    meta = write(store, request, weights, how, 1)

    found = read(store, meta)
    expected = naive_tables([only(request, kept)])
    assert_same_tables(build_tables([encode(found)]), build_tables([encode(expected)]))
    assert weights_of(found) == {one: weights[one] for one in kept}
    assert (meta.resources, meta.scopes) == (expected.resources.num_rows, expected.scopes.num_rows)
    names = {name for table in Table for name in expected.table(table).schema.names}
    keys = {name for table in Table for name in found.table(table).schema.names}
    if how.attribute_columns_max == 512:
        assert keys - names <= {SAMPLING_WEIGHT.name, "span.*", "event.*", "link.*"} | _typed(keys)
        assert verify_block(store, meta).problems == ()


def _typed(names: set[str]) -> set[str]:
    """Columns of a second type: which type of a key has the plain name depends on all traces."""
    return {name for name in names if name.endswith(")") or " #" in name}


@thorough
@given(seed=st.integers(0, 1000), row_group=st.sampled_from([1, 4, 65536]))
def test_weights_go_through_compactions(seed: int, row_group: int) -> None:
    rng = random.Random(seed)
    request = b"".join(diverse_requests(traces=9, seed=seed))
    how = BlockSettings(row_group_spans=row_group)
    store = MemoryObjectStore()
    expected: dict[bytes, float] = {}
    metas = []
    for number in range(3):
        chosen = {
            one: rng.choice([1.0, 4.0]) if number else 1.0
            for one in trace_ids(request)
            if rng.random() < 0.6
        }
        if not chosen:
            continue
        metas.append(write(store, request, chosen, how, number + 1))
        for one, weight in chosen.items():
            expected[one] = max(weight, expected.get(one, 1.0))
    for _ in range(2):
        result = merge_blocks(
            store,
            metas,
            settings=how,
            clock=SystemClock(),
            rng=rng,
            bounds=MergeBounds(
                spans_max=12, input_bytes_max=rng.choice([1, 1 << 20]), output_bytes_max=1 << 26
            ),
        )
        metas = list(result.metas)
        found: dict[bytes, float] = {}
        for meta in metas:
            assert verify_block(store, meta).problems == ()
            found |= weights_of(read(store, meta))
        assert found == expected

"""Merges of blocks, with bounds that are easily met."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from tracestore.clock import SystemClock
from tracestore.model.block_meta import BlockMeta
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.compaction.assemble import Keep, Mask
from tracestore.storage.compaction.merge import MergeBounds, MergeResult, merge_blocks
from tracestore.storage.objects.interface import ObjectStore

IN_ROUNDS = 1
"""As ``input_bytes_max``: two blocks at a time."""


def merge(
    store: ObjectStore,
    metas: Sequence[BlockMeta],
    settings: BlockSettings,
    *,
    spans_max: int = 10_000,
    keep: Keep | None = None,
    input_bytes_max: int = 1 << 20,
) -> MergeResult:
    """Merge blocks as a compactor does."""
    return merge_blocks(
        store,
        metas,
        settings=settings,
        clock=SystemClock(),
        rng=random.Random(2),
        bounds=MergeBounds(
            spans_max=spans_max, input_bytes_max=input_bytes_max, output_bytes_max=1 << 26
        ),
        keep=keep,
    )


def read_block(store: ObjectStore, meta: BlockMeta) -> SpanTables:
    """Read a block whole."""
    reader, stats = BlockReader(store, meta, BlockCache(1 << 24)), QueryStats()
    return SpanTables(
        **{
            table.value: reader.columns(table, reader.footer(table).schema.names, None, stats)
            for table in Table
        }
    )


class KeepWhere:
    """Keeps the traces for which a function of tables says so, large or not."""

    def __init__(self, stays: Callable[[SpanTables], Mask]) -> None:
        self._stays = stays
        self.large: list[bytes] = []
        """Traces that were asked for by themselves."""

    def of_tables(self, tables: SpanTables) -> Mask:
        return self._stays(tables)

    def of_large(
        self,
        trace_id: bytes,
        end_ns: int,
        block: Callable[[], AbstractContextManager[tuple[ObjectStore, BlockMeta]]],
    ) -> bool:
        self.large.append(trace_id)
        with block() as (store, meta):
            tables = read_block(store, meta)
        assert tables.traces["trace_id"].to_pylist() == [trace_id]
        assert meta.end_ns == end_ns
        return bool(self._stays(tables)[0])

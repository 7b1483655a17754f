"""Ways to make a source of the spans of a request: tables of the oracle or kernel, a block."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from support.naive_tables import naive_tables
from support.written_blocks import write_block

from tracestore.kernel import build_tables
from tracestore.query.block_source import BlockSource
from tracestore.query.source import SpanSource
from tracestore.query.tables_source import TablesSource
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.memory import MemoryObjectStore


def oracle_tables(request: bytes, id: str, chunk: int, columns: int) -> SpanSource:
    """Make a source of the tables as the oracle makes them."""
    tables = naive_tables([request], attribute_columns_max=columns)
    return TablesSource(tables, id, spans_per_chunk=chunk)


def kernel_tables(request: bytes, id: str, chunk: int, columns: int) -> SpanSource:
    """Make a source of the tables as the kernel makes them."""
    tables = build_tables([request], attribute_columns_max=columns)
    return TablesSource(tables, id, spans_per_chunk=chunk)


def written_block(request: bytes, id: str, chunk: int, columns: int) -> SpanSource:
    """Make a block, with its filters and statistics, as a source."""
    tables = build_tables([request], attribute_columns_max=columns)
    if tables.spans.num_rows == 0:
        return TablesSource(tables, id)
    store = MemoryObjectStore()
    settings = BlockSettings(row_group_spans=chunk)
    block = f"0190b6f0-0000-7000-8000-00000000000{id}"
    meta = write_block(store, tables, settings=settings, block=block)
    return BlockSource(store, meta, BlockCache(1 << 20))


Maker = Callable[[bytes, str, int, int], SpanSource]
makers: st.SearchStrategy[Maker] = st.sampled_from([oracle_tables, kernel_tables, written_block])

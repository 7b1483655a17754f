"""The reference data set as sources: flushed, live, and in parts that overlap."""

from __future__ import annotations

from support.otlp import request_of
from support.reference_dataset import TRACES, requests
from support.written_blocks import write_block

from tracestore.kernel import SpanBuilder, build_tables
from tracestore.query.block_source import BlockSource
from tracestore.query.source import SpanSource
from tracestore.query.tables_source import TablesSource
from tracestore.services.ingester.live import LiveSource
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.memory import MemoryObjectStore


def reference_sources() -> dict[str, list[SpanSource]]:
    """Make the same spans lie in many ways."""
    every = requests()
    return {
        "one chunk": [TablesSource(build_tables(every), "reference")],
        "a chunk a trace": [
            TablesSource(build_tables(every), "reference", spans_per_chunk=1, is_live=False)
        ],
        "a source a trace": [
            TablesSource(build_tables([request]), f"s{n}") for n, request in enumerate(every)
        ],
        "a block": [_block(every, 0, 512)],
        "a block of rare keys": [_block(every, 0, 0)],
        "live": [_live(every, "live")],
        "spans in turn in two blocks and live tables": [
            _block(_some_spans({0}), 0, 512),
            _block(_some_spans({1}), 1, 512),
            _live(_some_spans({2}), "z"),
        ],
        "spans twice": [
            _block(_some_spans({0, 1}), 0, 512),
            _block(_some_spans({1, 2}), 1, 1),
            _live(_some_spans({2, 0}), "z"),
        ],
    }


def _block(payloads: list[bytes], number: int, columns: int) -> SpanSource:
    store = MemoryObjectStore()
    tables = build_tables(payloads, attribute_columns_max=columns)
    block = f"0190b6f0-0000-7000-8000-00000000000{number}"
    meta = write_block(store, tables, settings=BlockSettings(row_group_spans=8), block=block)
    return BlockSource(store, meta, BlockCache(1 << 24))


def _live(payloads: list[bytes], id: str) -> SpanSource:
    builder = SpanBuilder()
    for payload in payloads:
        builder.append(payload)
    return LiveSource(builder.freeze(), id)


def _some_spans(thirds: set[int]) -> list[bytes]:
    """Make requests with some of the spans: of three in a row one, or two."""
    payloads, number = [], 0
    for groups in TRACES.values():
        kept = []
        for group in groups:
            copy = type(group).FromString(group.SerializeToString())
            for scoped in copy.scope_spans:
                spans = list(scoped.spans)
                del scoped.spans[:]
                for span in spans:
                    number += 1
                    if number % 3 in thirds:
                        scoped.spans.append(span)
            kept.append(copy)
        payloads.append(request_of(kept))
    return payloads

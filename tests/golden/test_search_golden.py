"""The worked search cases of the TraceQL reference, run through the engine."""

from __future__ import annotations

import pytest
from support.golden import GoldenCase, ShownCase, read_cases, read_shown_cases
from support.golden_answers import answer_text, shown_lines
from support.naive_tables import naive_tables
from support.otlp import EPOCH_NS
from support.query import run_search
from support.reference_dataset import requests
from support.written_blocks import write_block

from tracestore.kernel import build_tables
from tracestore.model.times import SECOND_NS, TimeRange
from tracestore.query.block_source import BlockSource
from tracestore.query.source import SpanSource
from tracestore.query.tables_source import TablesSource
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.memory import MemoryObjectStore

TABLES = naive_tables(requests())


def block() -> BlockSource:
    """Write the data set as the kernel makes it into a block of small row groups."""
    store = MemoryObjectStore()
    settings = BlockSettings(row_group_spans=8)
    meta = write_block(store, build_tables(requests()), settings=settings)
    return BlockSource(store, meta, BlockCache(1 << 24))


SOURCES: dict[str, list[SpanSource]] = {
    "one chunk": [TablesSource(TABLES, "reference")],
    "a chunk a trace": [TablesSource(TABLES, "reference", spans_per_chunk=1, is_live=False)],
    "a source a trace": [
        TablesSource(naive_tables([r]), f"s{n}") for n, r in enumerate(requests())
    ],
    "a block": [block()],
}


@pytest.mark.parametrize("sources", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("case", read_cases("search_*.test"), ids=str)
def test_the_engine_agrees_with_the_reference(case: GoldenCase, sources: list[SpanSource]) -> None:
    window = None
    if case.window_s is not None:
        first, last = (EPOCH_NS + second * SECOND_NS for second in case.window_s)
        window = TimeRange(start_ns=first, end_ns=last + 1)

    assert answer_text(run_search(sources, case.query, window=window).traces) == case.expected


@pytest.mark.parametrize("sources", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("case", read_shown_cases(), ids=str)
def test_the_engine_shows_what_the_reference_shows(
    case: ShownCase, sources: list[SpanSource]
) -> None:
    assert shown_lines(run_search(sources, case.query).traces) == case.lines

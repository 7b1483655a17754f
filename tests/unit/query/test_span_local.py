"""What is asked of a span alone, and which traces in parts it spares from being put together."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.naive_tables import naive_tables
from support.otlp import EPOCH_NS, request, span
from support.query import control, plan, run_search
from support.written_blocks import write_block

from traceql.render import render
from tracestore.model.results import SearchResult
from tracestore.model.tables import SpanTables
from tracestore.model.times import MILLISECOND_NS, TimeRange
from tracestore.query.block_source import BlockSource
from tracestore.query.search import SearchParams, search
from tracestore.query.span_local import span_local
from tracestore.query.tables_source import TablesSource
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.local import LocalObjectStore


@pytest.mark.parametrize(
    ("query", "local"),
    [
        ("{ .a = 1 && nestedSetParent < 0 }", "{ .a = 1 }"),
        ("{ .a = 1 && nestedSetParent < 0 && duration > 1s }", "{ .a = 1 && duration > 1s }"),
        ('{ rootName = "x" }', "{ true }"),
        ("{ .a = 1 || traceDuration > 1s }", "{ true }"),
        ("{ .a = 1 || .b = 1 && span:childCount = 0 }", "{ .a = 1 || .b = 1 }"),
        ("{ !(.a = 1 && nestedSetLeft = 1) }", "{ true }"),
        ("{ (.a = 1 && nestedSetLeft = 1) = false }", "{ true }"),
        ("{ parent.a = 1 && !(.b = 1) }", "{ !(.b = 1) }"),
        ("{ parent = nil && event:name = `e` }", "{ event:name = `e` }"),
        ("{ traceDuration - duration > 1s }", "{ true }"),
    ],
)
def test_what_depends_on_the_trace_is_taken_as_true(query: str, local: str) -> None:
    (expected,) = plan(local).fetch.filters
    (given,) = plan(query).fetch.filters

    assert render(span_local(given.filter.expression)) == render(expected.filter.expression)


def parts() -> dict[str, SpanTables]:
    """One trace in three parts, one in two, one in one; each part with a key of its own."""
    placed = {
        "a": [(1, 1, 0, 0), (2, 1, 0, 0)],
        "b": [(1, 2, 1, 1000), (3, 1, 0, 1000)],
        "c": [(1, 3, 2, 2000), (2, 2, 1, 2000)],
    }
    return {
        name: naive_tables([request(resource={"service.name": name}, spans=made(name, spans))])
        for name, spans in placed.items()
    }


def made(name: str, placed: list[tuple[int, int, int, int]]) -> list[Span]:
    """Make spans of trace, ID, parent and start in ms."""
    return [
        span(trace=t, id=n, parent=p or None, start_ms=start, attributes={name: True})
        for t, n, p, start in placed
    ]


def sources() -> list[TablesSource]:
    return [TablesSource(tables, name) for name, tables in parts().items()]


def ask(query: str, *, window: TimeRange | None = None, count: bool = False) -> SearchResult:
    params = SearchParams(limit=10, spans_per_span_set=10, window=window, explain=True, count=count)
    return search(sources(), plan(query), params, control())


def found(result: SearchResult) -> list[int]:
    return sorted(int.from_bytes(trace.trace_id, "big") for trace in result.traces)


@pytest.mark.parametrize(
    ("query", "traces", "joined"),
    [
        ("{ span.none = true && nestedSetParent < 0 }", [], 0),
        ("{ span.none = true } >> { span.c = true }", [], 0),
        ("{ span.a = true } >> { span.none = true }", [], 0),
        ("{ span.b = true && traceDuration > 1s }", [1], 1),
        ("{ span.a = true } >> { span.b = true }", [1], 1),
        ("{ span.a = true } >> { span.c = true }", [1, 2], 2),
        ("{ span.a = true || traceDuration > 1h }", [1, 2], 2),
        ("{ span.b = true || span.c = true } && { span.a = true }", [1, 2], 2),
        ("{ span.c = true } | count() = 1", [1, 2], 2),
        ("{ nestedSetParent < 0 }", [1, 2, 3], 2),
        ("{ parent.none = true }", [], 0),
        ("{ parent.span.a = true }", [1, 2], 2),
        ("{ parent.span.b != false && span.c = true }", [1], 1),
        ('{ rootServiceName = "a" }', [1, 2], 2),
        ('{ rootServiceName = "a" && span.b = true }', [1], 1),
        ('{ rootServiceName = "" }', [], 2),
        ('{ rootServiceName != "b" }', [1, 2], 2),
    ],
)
@pytest.mark.parametrize("count", [False, True])
def test_only_traces_that_may_match_are_put_together(
    query: str, traces: list[int], joined: int, count: bool
) -> None:
    result = ask(query, count=count)

    assert found(result) == traces
    assert result.explanation is not None
    # for a count, those of the page are read once more
    assert result.explanation.joined_traces == joined * (1 + (count and bool(traces)))


@pytest.mark.parametrize(
    ("query", "traces", "joined"),
    [
        ('{ rootServiceName = "none" }', [], 0),
        ('{ rootName = "none" && duration >= 0s }', [], 0),
        ('{ nestedSetParent < 0 && resource.service.name = "c" }', [], 2),
        ('{ rootServiceName = "a" && resource.service.name = "b" }', [1], 1),
        ("{ nestedSetParent < 0 && duration > 10h }", [], 0),
    ],
)
def test_filters_of_blocks_tell_which_parts_may_match(
    query: str, traces: list[int], joined: int, tmp_path: Path
) -> None:
    store, cache = LocalObjectStore(tmp_path), BlockCache(1 << 24)
    metas = [
        write_block(store, tables, block=f"0190b6f0-0000-7000-8000-00000000000{name}")
        for name, tables in parts().items()
    ]
    params = SearchParams(limit=10, spans_per_span_set=10, explain=True)
    result = search(
        [BlockSource(store, meta, cache) for meta in metas], plan(query), params, control()
    )

    assert found(result) == traces
    assert result.explanation is not None
    assert result.explanation.joined_traces == joined


@pytest.mark.parametrize(("first", "second"), [*product("abc", repeat=2)])
def test_what_a_window_leaves_out_may_decide(first: str, second: str) -> None:
    """The window holds one part of the trace; the others are still asked."""
    whole = found(run_search(sources(), f"{{ span.{first} = true }} && {{ span.{second} = true }}"))
    start_ns = EPOCH_NS + 900 * MILLISECOND_NS
    window = TimeRange(start_ns=start_ns, end_ns=start_ns + 200 * MILLISECOND_NS)
    query = f"{{ span.{first} = true }} && {{ span.{second} = true }}"

    assert found(ask(query, window=window)) == whole

"""Search over several sources: order, limits, whole traces, pruning, and what stops it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.naive_tables import naive_tables
from support.otlp import EPOCH_NS, request, span
from support.query import StandingClock, control, plan, run_search
from support.written_blocks import write_block

from tracestore.errors import DeadlineError, UnavailableError
from tracestore.model.results import QueryStats, SearchResult
from tracestore.model.tables import SpanTables
from tracestore.model.times import MILLISECOND_NS, TimeRange
from tracestore.query.block_source import BlockSource
from tracestore.query.control import QueryControl
from tracestore.query.ordering import Sort
from tracestore.query.search import SearchParams, search
from tracestore.query.tables_source import TablesSource
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.local import LocalObjectStore

PARAMS = SearchParams(limit=20, spans_per_span_set=3)


def source_of(name: str, *requests: bytes, is_live: bool = True) -> TablesSource:
    return TablesSource(naive_tables(requests), name, is_live=is_live)


def traces_of(result: SearchResult) -> list[int]:
    return [int.from_bytes(trace.trace_id, "big") for trace in result.traces]


def one_span_traces(starts_ms: dict[int, int]) -> bytes:
    spans = [span(trace=t, id=t, name="s", start_ms=ms) for t, ms in starts_ms.items()]
    return request(spans=spans)


def test_the_newest_traces_come_first_ties_by_id() -> None:
    sources = [
        source_of("x", one_span_traces({1: 10, 2: 30})),
        source_of("y", one_span_traces({5: 20, 4: 20, 3: 40})),
    ]

    assert traces_of(run_search(sources, "{}")) == [3, 2, 4, 5, 1]
    assert traces_of(run_search(sources, "{}", limit=3)) == [3, 2, 4]


def test_a_source_is_left_alone_once_no_newer_trace_can_be_in_it() -> None:
    old = source_of("old", one_span_traces({1: 10, 2: 20}), is_live=False)
    new = source_of("new", one_span_traces({3: 30, 4: 40}), is_live=False)

    result = run_search([old, new], "{}", limit=2)

    assert traces_of(result) == [4, 3]
    assert result.stats.inspected_spans == 2
    assert result.stats.total_blocks == 2


def test_a_trace_in_two_sources_is_evaluated_whole_and_its_spans_count_once() -> None:
    root = span(trace=1, id=1, name="root", start_ms=0, duration_ms=1)
    child = span(trace=1, id=2, parent=1, name="child", start_ms=5, duration_ms=20)
    first = source_of("a", request(spans=[root, child]))
    second = source_of("b", request(spans=[child]))

    result = run_search([first, second], '{ name = "child" && nestedSetParent = 1 }')

    (trace,) = result.traces
    assert trace.span_sets[0].matched == 1
    assert trace.root_name == "root"
    assert trace.duration_ns == 25 * MILLISECOND_NS
    assert {name: stats.spans for name, stats in trace.service_stats.items()} == {"": 2}


def test_a_trace_matches_whole_where_no_part_of_it_does() -> None:
    root = span(trace=1, id=1, name="root", start_ms=0)
    late = span(trace=1, id=2, parent=1, name="late", start_ms=1000)
    sources = [source_of("a", request(spans=[root])), source_of("b", request(spans=[late]))]

    assert traces_of(run_search(sources, "{ traceDuration > 900ms }")) == [1]
    assert traces_of(run_search(sources, '{ rootName = "root" && name = "late" }')) == [1]


def test_a_trace_takes_the_place_of_its_earliest_span() -> None:
    early = request(spans=[span(trace=1, id=1, name="other", start_ms=0)])
    late = request(spans=[span(trace=1, id=2, name="s", start_ms=100)])
    between = one_span_traces({2: 50})

    sources = [source_of("a", early), source_of("b", late), source_of("c", between)]

    assert traces_of(run_search(sources, '{ name = "s" }')) == [2, 1]
    assert traces_of(run_search(sources, '{ name = "s" }', limit=1)) == [2]


def test_the_window_is_that_of_the_whole_trace() -> None:
    before = span(trace=1, id=1, name="before", start_ms=0, duration_ms=10)
    after = span(trace=1, id=2, name="after", start_ms=100, duration_ms=10)
    filler = [span(trace=9, id=9, start_ms=50), span(trace=9, id=8, start_ms=51)]
    sources = [
        source_of("a", request(spans=[before, filler[0]])),
        source_of("b", request(spans=[after, filler[1]])),
    ]
    start_ns = EPOCH_NS + 40 * MILLISECOND_NS
    window = TimeRange(start_ns=start_ns, end_ns=start_ns + 20 * MILLISECOND_NS)

    assert traces_of(run_search(sources, '{ name =~ "before|after" }', window=window)) == [1]
    assert traces_of(run_search(sources[:1], '{ name = "before" }', window=window)) == []


@pytest.mark.parametrize(
    ("first", "end", "found"),
    [(0, 10, []), (0, 11, [1]), (19, 30, [1]), (20, 30, [1]), (21, 30, []), (12, 13, [1])],
)
def test_a_trace_is_in_the_window_if_some_moment_of_it_is(
    first: int, end: int, found: list[int]
) -> None:
    """Times in ns; the trace lasts from 10 to 20, both included, the window ends before its end."""
    one = span(trace=1, id=1, start_ms=10e-6, duration_ms=10e-6)
    others = [span(trace=t, id=t, start_ms=ms) for t, ms in ((8, -5), (9, 5))]
    window = TimeRange(start_ns=EPOCH_NS + first, end_ns=EPOCH_NS + end)

    for sort in Sort:
        params = SearchParams(limit=9, spans_per_span_set=1, window=window, sort=sort)
        sources = [source_of("a", request(spans=[one, *others]))]
        assert traces_of(search(sources, plan("{}"), params, control())) == found


def test_first_spans_by_start_are_shown_and_all_are_counted() -> None:
    spans = [span(trace=1, id=n, name=f"n{n}", start_ms=100 - n) for n in range(1, 8)]

    (trace,) = run_search([source_of("a", request(spans=spans))], "{}", spans_per_span_set=2).traces

    assert [s.name for s in trace.span_sets[0].spans] == ["n7", "n6"]
    assert trace.span_sets[0].matched == 7


def test_attributes_that_the_query_mentions_are_shown() -> None:
    spans = [span(trace=1, id=1, kind="client", attributes={"b": [1, 2], "a": 1.0, "x": "y"})]
    source = source_of("a", request(spans=spans, resource={"a": True, "service.name": "shop"}))

    (trace,) = run_search(
        [source], '{ .a != nil && span.b = 1 && kind = client && span.c = nil && name = "" }'
    ).traces

    assert trace.span_sets[0].spans[0].attributes == (
        ("a", 1.0),
        ("b", (1, 2)),
        ("c", "nil"),
        ("kind", "client"),
        ("a", True),
    )


@pytest.fixture
def tables() -> SpanTables:
    spans = [
        span(trace=t, id=1, name=f"n{t}", duration_ms=t, attributes={"code": t, "only": "here"})
        for t in range(1, 5)
    ]
    return naive_tables([request(spans=spans, resource={"service.name": "shop"})])


@pytest.fixture
def block(tables: SpanTables, tmp_path: Path) -> BlockSource:
    store = LocalObjectStore(str(tmp_path))
    return BlockSource(store, write_block(store, tables), BlockCache(1 << 24))


@pytest.mark.parametrize(
    "query",
    [
        '{ span.nosuch = "x" }',
        '{ .only = "there" }',
        '{ name =~ "m.*" }',
        "{ span.code > 4 }",
        "{ duration > 1s && !(status = error) }",
        '{ resource.service.name = "other" || rootName = "other" }',
    ],
)
def test_a_block_that_provably_has_no_match_is_pruned(block: BlockSource, query: str) -> None:
    result = run_search([block], query)

    assert result.traces == ()
    assert result.stats.total_blocks == result.stats.pruned_blocks == 1
    assert result.stats.inspected_spans == 0


@pytest.mark.parametrize(
    "query",
    [
        "{ span.code >= 2 && span.code < 3.5 }",
        '{ .only = "here" }',
        '{ name =~ "n[12]" }',
        '{ rootServiceName = "shop" }',
        '{ !(span.nosuch = "x") && duration <= 3ms }',
        '{ statusMessage = "" }',
        "{ status = unset }",
    ],
)
def test_a_block_answers_as_its_tables_do(
    block: BlockSource, tables: SpanTables, query: str
) -> None:
    found = run_search([block], query)

    assert found.traces
    assert found.traces == run_search([TablesSource(tables, "t")], query).traces
    assert found.stats.pruned_blocks == 0
    assert found.stats.inspected_spans == 4
    assert found.stats.inspected_bytes > 0


def test_an_expired_query_stops() -> None:
    clock = StandingClock()
    clock.at_ns = 5
    expired = QueryControl(clock=clock, deadline_ns=5)

    with pytest.raises(DeadlineError, match="ran out of time"):
        search([source_of("a", one_span_traces({1: 1}))], plan("{}"), PARAMS, expired)


def test_a_cancelled_query_stops() -> None:
    stopped = control()
    stopped.cancelled.set()

    with pytest.raises(DeadlineError, match="cancelled"):
        search([source_of("a", one_span_traces({1: 1}))], plan("{}"), PARAMS, stopped)


class BrokenSource(TablesSource):
    """Cannot be read."""

    def read(self, *args: object) -> None:  # type: ignore[override]  # whatever is asked
        raise UnavailableError("block b1 cannot be read")


def test_a_source_that_cannot_be_read_fails_the_search() -> None:
    good = source_of("a", one_span_traces({1: 1}))
    broken = BrokenSource(naive_tables([one_span_traces({2: 2})]), "b1")

    with pytest.raises(UnavailableError, match="b1"):
        run_search([good, broken], "{}")


def test_no_sources_no_traces() -> None:
    result = run_search([], "{}")

    assert result.traces == ()
    assert result.stats == QueryStats()

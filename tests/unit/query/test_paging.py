"""Orders, counts and pages, over sources that share traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.naive_tables import naive_tables
from support.otlp import EPOCH_NS, request, span, trace_id
from support.query import StandingClock, control, plan

from tracestore.errors import (
    CorruptionError,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    UnavailableError,
)
from tracestore.model.results import QueryStats, SearchResult, TraceCount, TraceSummary
from tracestore.model.tables import Table
from tracestore.model.times import MILLISECOND_NS
from tracestore.query import found
from tracestore.query.control import QueryControl
from tracestore.query.ordering import SEEN_MAX, Cursor, Sort
from tracestore.query.search import SearchParams, search
from tracestore.query.source import Chunk
from tracestore.query.tables_source import TablesSource

QUERY = "{ }"
Spans = list[tuple[int, int, int, bool]]
"""Trace, start and duration in ms, whether it failed."""
spans = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 3), st.integers(-3, 3), st.booleans()), max_size=8
)


def source_of(name: str, placed: Spans, first_id: int = 1) -> TablesSource:
    made = [
        span(
            trace=trace,
            id=number,
            start_ms=start,
            duration_ms=duration,
            status="error" if failed else "ok",
        )
        for number, (trace, start, duration, failed) in enumerate(placed, first_id)
    ]
    return TablesSource(naive_tables([request(spans=made)]), name)


def page(
    sources: Sequence[TablesSource],
    sort: Sort,
    limit: int,
    cursor: str = "",
    query: str = QUERY,
    **wanted: bool,
) -> SearchResult:
    params = SearchParams(
        limit=limit,
        spans_per_span_set=100,
        sort=sort,
        query=query,
        cursor=Cursor.decode(cursor, query=query, sort=sort) if cursor else None,
        **wanted,
    )
    return search(sources, plan(query), params, asked_at(3_600_000))


def asked_at(ms: int) -> QueryControl:
    """Make the control of a query that is asked so long after the epoch of the tests."""
    clock = StandingClock()
    clock.at_ns = EPOCH_NS + ms * MILLISECOND_NS
    return QueryControl(clock=clock)


def key_of(trace: TraceSummary, sort: Sort) -> tuple[int, bytes]:
    stats = trace.service_stats.values()
    value = {
        "start": trace.start_ns,
        "duration": trace.duration_ns,
        "spans": sum(one.spans for one in stats),
        "errors": sum(one.errors for one in stats),
    }[sort.value.removeprefix("-")]
    return (-value if sort.is_descending else value, trace.trace_id)


@pytest.mark.parametrize("probes_max", [0, found.PROBES_MAX], ids=["many", "few"])
@settings(deadline=None, max_examples=40)
@given(
    each=st.lists(spans, min_size=1, max_size=3),
    sort=st.sampled_from(Sort),
    limit=st.integers(1, 4),
)
def test_pages_are_the_whole_answer_in_order(
    probes_max: int, each: list[Spans], sort: Sort, limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(found, "PROBES_MAX", probes_max)
        pages_are_the_whole_answer(each, sort, limit)


def pages_are_the_whole_answer(each: list[Spans], sort: Sort, limit: int) -> None:
    sources = [source_of(f"s{n}", placed, 1 + 100 * n) for n, placed in enumerate(each)]
    whole = page(sources, sort, 100).traces

    assert {t.trace_id for t in whole} == {trace_id(one[0]) for placed in each for one in placed}
    assert [key_of(t, sort) for t in whole] == sorted(key_of(t, sort) for t in whole)
    paged: list[TraceSummary] = []
    cursor = ""
    for _ in range(10):
        result = page(sources, sort, limit, cursor, count=True)
        assert result.total == TraceCount(traces=len(whole), exact=True)
        paged += result.traces
        cursor = result.next_cursor
        if not cursor:
            break
    assert paged == list(whole)


def test_data_that_arrives_between_pages_repeats_nothing() -> None:
    before = source_of("a", [(n, 10 * n, 1, False) for n in range(1, 7)])
    first = page([before], Sort.NEWEST, 3, count=True)

    # a newer trace; and an older span of one that was shown moves it behind the cursor
    late = source_of("b", [(9, 99, 1, False), (5, 5, 1, False)], first_id=50)
    second = page([before, late], Sort.NEWEST, 3, first.next_cursor, count=True)

    assert [t.trace_id[-1] for t in first.traces] == [6, 5, 4]
    assert [t.trace_id[-1] for t in second.traces] == [3, 2, 1]
    assert second.next_cursor == ""


@pytest.mark.parametrize("sort", [one for one in Sort if one is not Sort.NEWEST])
def test_a_trace_that_moves_to_a_page_before_comes_on_the_next(sort: Sort) -> None:
    placed = [(n, 10 * n, n, False) for n in range(1, 7)]
    first = page([source_of("a", placed)], sort, 2, count=True)
    unseen = {1, 2, 3, 4, 5, 6} - {t.trace_id[-1] for t in first.traces}
    shown = [t.trace_id[-1] for t in first.traces]
    # spans that change all keys of a trace that was shown and of one that was not
    late = [(n, 0, 200, True) for n in (max(unseen), shown[0])]

    sources = [source_of("a", placed), source_of("b", late, first_id=50)]
    cursor = first.next_cursor
    while cursor:
        result = page(sources, sort, 2, cursor, count=True)
        shown += [t.trace_id[-1] for t in result.traces]
        cursor = result.next_cursor

    assert sorted(shown) == [1, 2, 3, 4, 5, 6]


def test_a_trace_that_begins_after_the_first_page_does_not_keep_it_from_ending() -> None:
    now_ms = 1000
    asked = asked_at(now_ms)
    params = SearchParams(limit=2, spans_per_span_set=1, sort=Sort.LONGEST, query=QUERY, count=True)
    old = source_of("a", [(n, n, n, False) for n in range(1, 5)])
    new = source_of("b", [(5, now_ms + 1, 9, False), (6, now_ms, 9, False)], first_id=50)
    first = search([old], plan(QUERY), params, asked)

    cursor = Cursor.decode(first.next_cursor, query=QUERY, sort=Sort.LONGEST)
    second = search([old, new], plan(QUERY), replace(params, cursor=cursor), asked)

    assert [t.trace_id[-1] for t in second.traces] == [6, 2]


def test_a_cursor_forgets_the_first_of_very_many() -> None:
    cursor = Cursor(sort=Sort.LONGEST, key=0, trace_id=b"")
    for number in range(SEEN_MAX // 100 + 2):
        cursor = cursor.following(number, [trace_id(100 * number + n) for n in range(100)])
        read = Cursor.decode(cursor.encode(QUERY), query=QUERY, sort=Sort.LONGEST)
        assert read == cursor

    assert len(cursor.encode(QUERY)) < 7168
    assert cursor.without_shown([trace_id(0), trace_id(100 * number)]).tolist() == [True, False]
    assert not cursor.has_all_seen
    ids = np.array([trace_id(5), trace_id(1 << 100)], "S16")
    keys = np.array([number - 1, number], np.uint64)
    assert cursor.to_show(keys, ids, np.zeros(2, np.uint64)).tolist() == [False, True]


@pytest.mark.parametrize(
    ("sort", "query", "damage"),
    [(Sort.OLDEST, QUERY, ""), (Sort.NEWEST, "{ true }", ""), (Sort.NEWEST, QUERY, "!")],
)
def test_a_cursor_of_another_search_is_refused(sort: Sort, query: str, damage: str) -> None:
    made = Cursor(sort=Sort.NEWEST, key=1, trace_id=trace_id(1)).encode(QUERY)

    with pytest.raises(InvalidRequestError, match="invalid cursor"):
        Cursor.decode(damage + made, query=query, sort=sort)


def test_who_does_not_count_gets_neither_total_nor_cursor() -> None:
    result = page([source_of("a", [(1, 1, 1, False), (2, 2, 1, False)])], Sort.OLDEST, 1)

    assert (result.total, result.next_cursor, result.explanation) == (None, "", None)


class Broken(TablesSource):
    """Fails at its n-th read."""

    reads = count()
    fails_at = 0
    error: Exception = CorruptionError("bad page", key="blocks/t/broken/spans.parquet")

    def read(
        self, table: Table, columns: Sequence[str], chunk: Chunk | None, stats: QueryStats
    ) -> object:
        if next(self.reads) >= self.fails_at:
            raise self.error
        return super().read(table, columns, chunk, stats)


def broken(error: Exception, fails_at: int) -> Broken:
    made = Broken(source_of("x", [(1, 30, 1, False), (3, 40, 1, True)])._tables, "broken")
    made.error, made.fails_at, made.reads = error, fails_at, count()
    return made


DAMAGED = CorruptionError("bad page", key="blocks/t/broken/spans.parquet")
GONE = NotFoundError("no object blocks/t/broken/spans.parquet")


@pytest.mark.parametrize("fails_at", range(3))
@pytest.mark.parametrize(("error", "kind"), [(DAMAGED, CorruptionError), (GONE, UnavailableError)])
@pytest.mark.parametrize("counted", [False, True])
def test_what_cannot_be_read_fails_the_query_or_is_named(
    error: Exception, kind: type[Exception], fails_at: int, counted: bool
) -> None:
    good = source_of("good", [(1, 10, 1, False), (2, 20, 1, False)], first_id=70)

    with pytest.raises(kind, match=r"blocks/t/broken/spans\.parquet"):
        page([good, broken(error, fails_at)], Sort.NEWEST, 9, count=counted)
    part = page([good, broken(error, fails_at)], Sort.NEWEST, 9, count=counted, allow_partial=True)

    assert part.missing == ("broken",)
    assert [t.trace_id[-1] for t in part.traces] == [2, 1]
    assert part.stats.total_jobs == part.stats.completed_jobs + 1
    assert part.total == (TraceCount(traces=2, exact=False) if counted else None)


def test_a_query_that_reads_too_much_is_refused() -> None:
    bounded = QueryControl(clock=control().clock, bytes_max=100)
    params = SearchParams(limit=1, spans_per_span_set=1)

    with pytest.raises(LimitExceededError, match=r"query\.max_bytes_read"):
        search([source_of("a", [(1, 1, 1, False)] * 20)], plan(QUERY), params, bounded)


def test_an_answer_explains_itself() -> None:
    sources = [
        source_of("a", [(1, 10, 1, True), (2, 11, 1, False)]),
        source_of("b", [(1, 12, 1, False)], first_id=40),
    ]

    found = page(sources, Sort.NEWEST, 5, query="{ status = error }", explain=True).explanation

    assert found is not None
    assert (found.sources, found.evaluated, found.pruned, found.not_needed) == (2, 2, 0, 0)
    assert (found.chunks, found.chunks_read, found.joined_traces) == (2, 2, 1)
    assert found.columns["spans", "status_code"].reads == 2
    assert found.columns["spans", "status_code"].bytes > 0
    assert found.stage_ns.keys() == {"evaluate", "locate", "join", "summarise"}

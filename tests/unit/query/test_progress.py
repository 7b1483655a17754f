"""Searches that show what they know while they run."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

from hypothesis import given, settings
from hypothesis import strategies as st
from support.naive_tables import naive_tables
from support.otlp import request, span
from support.query import control, plan, run_search

from tracestore.model.results import SearchResult
from tracestore.query.search import SearchParams, search
from tracestore.query.source import SpanSource
from tracestore.query.tables_source import TablesSource


class Notes:
    """Wants to see everything, or what ``due`` says, and keeps it."""

    def __init__(self, due: Callable[[], bool] = lambda: True) -> None:
        self.seen: list[SearchResult] = []
        self.is_due = due

    def show(self, partial: SearchResult) -> None:
        self.seen.append(partial)


def source_of(name: str, starts_ms: dict[int, int]) -> TablesSource:
    spans = [span(trace=t, id=t, name="s", start_ms=ms) for t, ms in starts_ms.items()]
    return TablesSource(naive_tables([request(spans=spans)]), name)


def watch(sources: list[SpanSource], limit: int, notes: Notes) -> SearchResult:
    params = SearchParams(limit=limit, spans_per_span_set=3)
    return search(sources, plan("{}"), params, control(), notes)


def test_traces_show_as_soon_as_nothing_newer_can_come() -> None:
    sources: list[SpanSource] = [
        source_of("new", {1: 300, 2: 310}),
        source_of("middle", {3: 200, 4: 305}),
        source_of("old", {5: 100}),
    ]
    notes = Notes()

    result = watch(sources, 20, notes)

    ids = [[int.from_bytes(trace.trace_id, "big") for trace in one.traces] for one in notes.seen]
    assert ids == [[], [2], [2, 4, 1, 3]]  # the last before the oldest source was read
    assert [one.stats.completed_jobs for one in notes.seen] == [0, 1, 2]
    assert {one.stats.total_jobs for one in notes.seen} == {3}
    assert [trace.trace_id[-1] for trace in result.traces] == [2, 4, 1, 3, 5]


def test_a_job_that_is_not_needed_is_completed_by_the_end_and_not_before() -> None:
    sources: list[SpanSource] = [source_of("new", {1: 300}), source_of("old", {2: 100})]
    notes = Notes()

    result = watch(sources, 1, notes)

    assert [one.stats.completed_jobs for one in notes.seen] == [0]
    assert (result.stats.completed_jobs, result.stats.total_jobs) == (2, 2)


def test_nothing_is_made_for_somebody_who_does_not_want_it() -> None:
    notes = Notes(lambda: False)

    result = watch([source_of("a", {1: 1})], 5, notes)

    assert notes.seen == []
    assert len(result.traces) == 1


placed = st.lists(
    st.dictionaries(st.integers(1, 9), st.integers(0, 20), min_size=1, max_size=5),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(placed, st.integers(1, 8), st.lists(st.booleans(), min_size=1))
def test_what_was_shown_begins_the_answer_which_is_as_without_looking(
    placed: list[dict[int, int]], limit: int, due: list[bool]
) -> None:
    sources: list[SpanSource] = [source_of(f"s{n}", one) for n, one in enumerate(placed)]
    asked = cycle(due)
    notes = Notes(lambda: next(asked))

    result = watch(sources, limit, notes)

    assert result.traces == run_search(sources, "{}", limit=limit, spans_per_span_set=3).traces
    assert result.stats.completed_jobs == result.stats.total_jobs == len(sources)
    before = (0, 0)
    for one in notes.seen:
        assert one.traces == result.traces[: len(one.traces)]
        now = (len(one.traces), one.stats.completed_jobs)
        assert now >= before
        assert now[1] <= one.stats.total_jobs
        before = now

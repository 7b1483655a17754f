"""What a search is asked as, whichever way it was put."""

from __future__ import annotations

import pytest

from tracestore.api.params import SearchParams
from tracestore.api.wanted import text_of

MS = 1_000_000


def text(query: str, least_ms: int = 0, most_ms: int = 0, **tags: str) -> str:
    return text_of(
        SearchParams(
            query=query,
            limit=1,
            spans_per_span_set=1,
            time_range=None,
            min_duration_ns=least_ms * MS,
            max_duration_ns=most_ms * MS,
            tags=tags,
        )
    )


def test_a_query_is_asked_as_it_was_written() -> None:
    assert text("{.a=1}") == "{.a=1}"
    assert text("") == "{ }"


@pytest.mark.parametrize(
    ("query", "bounded"),
    [
        ("{ .a = 1 }", "{ .a = 1 } | {} | {}"),
        ("{} | by(.a)", "{ true } | by(.a) | {} | {}"),
        ("{ .a } | rate() by(.b) with(x=1)", "{ .a } | {} | {} | rate() by(.b) with(x=1)"),
    ],
)
def test_durations_bound_the_traces_of_a_query(query: str, bounded: str) -> None:
    filter_ = "{ (traceDuration >= 5ms) && (traceDuration <= 1s) }"

    assert text(query, 5, 1000) == bounded.replace("{} | {}", filter_)


@pytest.mark.parametrize("query", ["{ .a", "({} | rate()) * 2"])
def test_what_cannot_be_bounded_is_left_to_be_refused(query: str) -> None:
    assert text(query, 5) == query

"""Requests become parameters, and mistakes are found before anything is sent."""

from __future__ import annotations

import pytest

from traceql.errors import QueryError
from tracestore.client.request import SORTS, SearchRequest
from tracestore.errors import InvalidRequestError
from tracestore.query.ordering import Sort

NOW_NS = 1_700_000_000_000_000_000


def test_what_is_not_asked_is_not_sent() -> None:
    assert SearchRequest(query="{}").parameters(now_ns=NOW_NS) == {"q": "{}"}


def test_all_that_can_be_asked() -> None:
    request = SearchRequest(
        query="{ status = error }",
        last="1m",
        limit=5,
        spans_per_trace=0,
        sort="-duration",
        count=True,
        explain=True,
        cursor="c",
        partial=True,
    )

    assert request.parameters(now_ns=NOW_NS) == {
        "q": "{ status = error }",
        "start": "1699999940",
        "end": "1700000000",
        "limit": "5",
        "spss": "0",
        "sort": "-duration",
        "cursor": "c",
        "count": "true",
        "explain": "true",
        "partial": "allow",
    }


def test_the_orders_are_those_of_the_engine() -> None:
    """Listed twice, since who asks a server needs no engine."""
    assert tuple(Sort) == SORTS


def test_a_mistake_in_the_query_is_drawn() -> None:
    with pytest.raises(QueryError) as caught:
        SearchRequest(query="{ statsu = error }").parameters(now_ns=NOW_NS)

    line, caret = caught.value.explain().splitlines()
    assert line == "{ statsu = error }"
    assert caret.startswith("  ^^^^^^ ")
    assert caret.endswith("did you mean status?")


def test_a_query_that_makes_no_sense_is_drawn_too() -> None:
    text = '{ duration = "long" }'
    with pytest.raises(QueryError) as caught:
        SearchRequest(query=text).parameters(now_ns=NOW_NS)

    assert caught.value.explain().startswith(f"{text}\n  ^")


def test_an_unknown_order() -> None:
    with pytest.raises(InvalidRequestError, match=r"sort: expected -start, .* got 'size'"):
        SearchRequest(query="{}", sort="size").parameters(now_ns=NOW_NS)


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("{ status = error }", "{ status = error } | select(resource.service.name)"),
        ("{} | count() > 2", "{ true } | (count() > 2) | select(resource.service.name)"),
        ("{} | rate()", "{} | rate()"),
    ],
)
def test_the_service_is_selected_behind_what_was_asked(query: str, sent: str) -> None:
    assert SearchRequest(query=query).with_service().query == sent

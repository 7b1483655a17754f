"""An answer keeps to its bounds while it is made."""

from __future__ import annotations

import threading

import pytest
from support.naive_tables import naive_tables
from support.otlp import request, span
from support.query import control, plan, run_search

from tracestore.codec.search_json import render_search_json
from tracestore.errors import DeadlineError, LimitExceededError
from tracestore.query import growing
from tracestore.query.control import QueryControl
from tracestore.query.growing import answer_bytes
from tracestore.query.search import SearchParams, search
from tracestore.query.tables_source import TablesSource

SPANS = [
    span(
        trace=number // 3 + 1,
        id=number + 1,
        parent=number // 3 * 3 + 1 if number % 3 else None,
        name=f"operation {number % 5}",
        start_ms=number,
        attributes={"text": f"{number:040}", "list": ["a", "bc"], "number": number},
    )
    for number in range(300)
]
SOURCE = TablesSource(naive_tables([request(resource={"service.name": "s"}, spans=SPANS)]), "s")


@pytest.mark.parametrize("shown", [1, 2, 100])
@pytest.mark.parametrize(
    "query",
    [
        "{}",
        "{} | select(span.text, span.list, span.number, kind)",
        "{} | by(span.text)",
        "{} | by(name) | count() > 0",
    ],
)
def test_the_size_of_an_answer_is_known_about(query: str, shown: int) -> None:
    found = run_search([SOURCE], query, spans_per_span_set=shown)

    ratio = sum(map(answer_bytes, found.traces)) / len(render_search_json(found))

    assert 0.75 < ratio < 1.5


def test_an_answer_that_is_too_large_is_refused_before_it_is_made() -> None:
    bounded = QueryControl(clock=control().clock, answer_bytes_max=20_000)

    def ask(limit: int) -> int:
        params = SearchParams(limit=limit, spans_per_span_set=3)
        return len(search([SOURCE], plan("{}"), params, bounded).traces)

    assert ask(10) == 10
    with pytest.raises(LimitExceededError, match=r"query\.max_answer_bytes"):
        ask(100)


def test_a_client_that_goes_away_stops_the_making_of_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cancelled = threading.Event()
    made = []

    def summarise(found: object, scope: object, shown: int) -> object:
        made.append(original(found, scope, shown))  # type: ignore[arg-type]  # passed on
        cancelled.set()
        return made[-1]

    original = growing.summarise
    monkeypatch.setattr(growing, "summarise", summarise)
    monkeypatch.setattr(growing, "SPANS_AT_A_TIME", 10)
    going = QueryControl(clock=control().clock, cancelled=cancelled)

    with pytest.raises(DeadlineError):
        search([SOURCE], plan("{}"), SearchParams(limit=100, spans_per_span_set=1), going)
    assert [len(one) for one in made] == [10]

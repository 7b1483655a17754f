"""The simulated shop: what its visits hold."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tracestore.cli.demo import QUERIES, curl
from tracestore.cli.shop import Kind, PlannedSpan, Visit
from tracestore.cli.shop_visits import SERVICES, Shop

VISITS = 1500


def visits(seed: int, count: int = VISITS) -> list[Visit]:
    shop = Shop(random.Random(seed))
    return [shop.next_visit() for _ in range(count)]


def spans(seed: int) -> list[PlannedSpan]:
    return [span for visit in visits(seed) for span in visit.spans]


def summary(visit: Visit) -> list[tuple[object, ...]]:
    return [(s.service, s.name, s.start_s, s.end_s, s.error, s.attributes) for s in visit.spans]


def test_the_same_seed_gives_the_same_visits() -> None:
    assert [summary(v) for v in visits(7, 200)] == [summary(v) for v in visits(7, 200)]
    assert [summary(v) for v in visits(7, 200)] != [summary(v) for v in visits(8, 200)]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_traffic_has_all_that_a_shop_has(seed: int) -> None:
    all_spans = spans(seed)

    assert {span.service for span in all_spans} == set(SERVICES)
    assert len(SERVICES) >= 8
    assert {span.kind for span in all_spans} == set(Kind)
    assert any(span.error for span in all_spans)
    assert any(h.error for span in all_spans for h in span.happenings)
    assert any(h.name == "payment.retry" for span in all_spans for h in span.happenings)
    assert any(span.attributes.get("shop.payment.attempt") == 3 for span in all_spans)
    assert any(span.end_s - span.start_s > 1 for span in all_spans if span.kind is Kind.SERVER)
    assert {span.attributes.get("db.system") for span in all_spans} >= {"postgresql", "redis"}
    assert all("db.statement" in s.attributes for s in all_spans if "db.system" in s.attributes)


def test_consumers_link_to_producers_of_their_own_and_of_earlier_traces() -> None:
    own = earlier = 0
    for visit in visits(1):
        for span in visit.spans:
            assert all(link.kind is Kind.PRODUCER for link in span.links)
            own += sum(link in visit.spans for link in span.links)
            earlier += sum(link not in visit.spans for link in span.links)
    assert own > 10
    assert earlier > 10


def test_an_order_is_reserved_once() -> None:
    taken = Counter(
        link.attributes["shop.order.id"]
        for span in spans(3)
        if span.service == "inventory-worker"
        for link in span.links
    )
    assert taken
    assert set(taken.values()) == {1}


def test_children_lie_within_the_trace_and_parents_come_first() -> None:
    for visit in visits(4, 300):
        seen: set[int] = set()
        assert visit.spans[0].parent is None
        for span in visit.spans:
            assert 0 <= span.start_s <= span.end_s <= visit.duration_s
            assert span.parent is None or id(span.parent) in seen
            assert span.parent is None or span.parent.start_s <= span.start_s
            seen.add(id(span))


def test_an_error_of_the_server_is_seen_by_its_caller() -> None:
    calls = [
        (span.parent, span)
        for span in spans(5)
        if span.kind is Kind.SERVER and span.parent is not None and span.error
    ]
    assert calls
    assert all(client.error for client, _ in calls)


def answers(span: PlannedSpan) -> list[bool]:
    """Evaluate the queries that the demo prints, by hand."""
    duration_s = span.end_s - span.start_s
    status = int(span.attributes.get("http.response.status_code", 0))
    return [
        span.error is not None,
        span.service == "payment" and span.error is not None,
        span.kind is Kind.SERVER and duration_s > 1,
        span.attributes.get("db.system") == "postgresql" and duration_s > 0.1,
        str(span.attributes.get("http.route", "")).startswith("/api/") and status >= 500,
    ]


@pytest.mark.parametrize("seed", range(5))
def test_each_printed_query_finds_something_in_the_history(seed: int) -> None:
    history = [span for visit in visits(seed, 900) for span in visit.spans]
    found = [sum(column) for column in zip(*map(answers, history), strict=True)]

    assert len(found) == len(QUERIES) == 5
    assert min(found) >= 5, found


def test_a_query_is_printed_so_that_a_shell_takes_it() -> None:
    assert curl("http://localhost:1", '{ name = "x" }') == (
        "curl -sG http://localhost:1/api/search --data-urlencode 'q={ name = \"x\" }'"
    )
    assert not [query for _, query in QUERIES if "'" in query]

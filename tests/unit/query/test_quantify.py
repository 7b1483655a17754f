"""Filters on events and links: some event, some link, some pair; and which one is shown."""

from __future__ import annotations

import pytest
from support.filter_rows import expression_of, matched_names, shown_values
from support.naive_tables import naive_tables
from support.otlp import event, link, request, span
from support.query import StandingClock
from support.written_blocks import write_block

from tracestore.errors import DeadlineError
from tracestore.model.results import QueryStats
from tracestore.query import joins
from tracestore.query.bind import Binder
from tracestore.query.block_source import BlockSource
from tracestore.query.control import QueryControl
from tracestore.query.expressions import NEVER
from tracestore.query.parts import Domain
from tracestore.query.quantify import SomeRow
from tracestore.query.scan import SourceScan
from tracestore.query.tables_source import TablesSource
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.local import LocalObjectStore

SPANS = [
    span(
        trace=1,
        id=1,
        name="two events",
        start_ms=0,
        attributes={"n": 1},
        events=[
            event("a", at_ms=1, attributes={"n": 1}),
            event("b", at_ms=2, attributes={"n": 2, "only": True}),
        ],
    ),
    span(trace=1, id=2, name="none", start_ms=1, status="error", attributes={"n": 2}),
    span(
        trace=1,
        id=3,
        name="both",
        start_ms=2,
        events=[event("a", at_ms=3, attributes={"n": 3}), event("b", at_ms=4)],
        links=[link(7, 1, attributes={"n": 3}), link(8, 2, attributes={"n": 1})],
    ),
    span(trace=2, id=4, name="link", start_ms=3, links=[link(7, 3, attributes={"rel": "x"})]),
]
TABLES = naive_tables([request(spans=SPANS)])


@pytest.fixture(params=[1, 1000], ids=["a chunk a trace", "one chunk"])
def source(request: pytest.FixtureRequest) -> TablesSource:
    return TablesSource(TABLES, "s", spans_per_chunk=request.param)


@pytest.mark.parametrize("rows_per_slice", [1, 3, 1 << 18])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('event:name = "a" && event.n = 2', []),
        ('event:name = "b" && event.n = 2', ["two events"]),
        ("event.only", ["two events"]),
        ("event.n = nil", ["both"]),
        ("event.never = nil", ["two events", "both"]),
        ("event:name != nil", ["two events", "both"]),
        ('!(event:name = "a")', ["two events", "none", "both", "link"]),
        ("(event.n + 1) = nil", ["none", "both", "link"]),
        ('event:name = "b" || status = error', ["two events", "none", "both"]),
        ("event.n > span.n", ["two events"]),
        ("event.n = span.n && event:timeSinceStart = 1ms", ["two events"]),
        ("event.n = 3 && link.n = 1", ["both"]),
        ("event.n = link.n", ["both"]),
        ('event.n + link.n = 4 && link:traceID = "8"', ["both"]),
        ('event.n + link.n = 4 && link:traceID = "7"', []),
        ('!(event.n = 3) && !(link.n = 3) && name = "both"', ["both"]),
        ('!(event.n = 3 || link.n = 3) && name = "both"', ["both"]),
        ('!(event.n = link.n || event:name = "b")', ["two events", "none", "both", "link"]),
        ('link:spanID = "3" || event.n = nil && link.n = 3', ["both"]),
        ('(event.n = 1 || link.rel = "x") && link.n = nil', ["link"]),
    ],
)
def test_a_filter_asks_for_one_event_and_one_link(
    source: TablesSource,
    text: str,
    expected: list[str],
    rows_per_slice: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(joins, "ROWS_PER_SLICE", rows_per_slice)

    assert matched_names(source, text) == expected


@pytest.mark.parametrize(
    ("field", "filters", "expected"),
    [
        ("event:name", [], ["a", None, "a", None]),
        ("link:spanID", [], [None, None, f"{1:016x}", f"{3:016x}"]),
        ("event:name", ["event.n = 2"], ["b", None, "a", None]),
        ("event.n", ["event.n = nil", "event.n = 2"], [2, None, None, None]),
        ("link.n", ["event.n = link.n"], [None, None, 3, None]),
        ("link.n", ["link.n = 1 && event.n = 3"], [None, None, 1, None]),
        ("event:name", ["link.n = 1 && event.n = nil"], ["a", None, "b", None]),
        ("event:name", ["status = error", 'event:name = "b"'], ["b", None, "b", None]),
        ("event:name", ['event:name = "b" && span.n = 7'], ["a", None, "a", None]),
        ("event:name", ['event:name = "b"', 'event:name = "a"'], ["b", None, "b", None]),
        ("event:name", ["event.n = 3", 'event:name = "b"'], ["b", None, "a", None]),
        ("event:name", ["event.n + link.n = 4"], ["a", None, "a", None]),
        ("link.n", ["event.n + link.n = 4"], [None, None, 1, None]),
    ],
)
def test_an_answer_shows_the_event_that_matched_else_the_first(
    source: TablesSource, field: str, filters: list[str], expected: list[object]
) -> None:
    assert shown_values(source, field, *filters) == expected


def test_only_what_ties_events_to_links_is_asked_of_pairs(source: TablesSource) -> None:
    scan = SourceScan(source, QueryStats(), _control(None))
    filters = {
        'event.n = 1 && link.n = 2 && name = "a"': {Domain.EVENT, Domain.LINK},
        "event.n = 1 && (event.n = 2 || status = error)": {Domain.SPAN_EVENT},
        "event.n = link.n || link.n = 1": {Domain.EVENT_LINK, Domain.LINK},
    }
    for text, expected in filters.items():
        assert {part.condition.domain for part in _quantified(scan, text)} == expected


def _quantified(scan: SourceScan, text: str) -> list[SomeRow]:
    condition = Binder(scan).condition(expression_of(text))
    waiting, found = [condition], []
    while waiting:
        part = waiting.pop()
        if isinstance(part, SomeRow):
            found.append(part)
        else:
            waiting.extend(getattr(part, "parts", ()))
    return found


def _control(deadline_ns: int | None) -> QueryControl:
    return QueryControl(clock=StandingClock(), deadline_ns=deadline_ns)


def test_pairs_are_made_slice_by_slice_until_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = [event(f"e{n}", attributes={"n": n}) for n in range(100)]
    links = [link(1, n + 1, attributes={"n": -n - 1}) for n in range(100)]
    tables = naive_tables([request(spans=[span(trace=1, id=1, events=many, links=links)])])
    sizes: list[int] = []
    made = joins.JoinedScan.at
    monkeypatch.setattr(joins, "ROWS_PER_SLICE", 64)
    monkeypatch.setattr(
        joins.JoinedScan, "at", lambda self, *rows: (sizes.append(len(rows[0])), made(self, *rows))
    )

    assert matched_names(TablesSource(tables, "s"), "event.n = link.n") == []
    assert max(sizes) == 64
    assert sum(sizes) == 100 * 100

    expired = _control(0)
    scan = SourceScan(TablesSource(tables, "s"), QueryStats(), expired)
    chunk = joins.ChunkScan(scan, scan.chunks[0])
    (part,) = _quantified(scan, "event.n = link.n")
    with pytest.raises(DeadlineError):
        part.mask(chunk)


@pytest.mark.parametrize(
    "text",
    [
        'event:name = "c"',
        'event:name =~ "x.*"',
        "event.n > 3",
        "event.never = 1",
        'link.rel = "y"',
        'link.rel != "x"',
        "parent.span.n = 7",
        'any = "nowhere"',
        'any =~ ".*nowhere.*"',
    ],
)
def test_filters_of_a_block_prove_that_no_event_matches(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = LocalObjectStore(str(tmp_path_factory.mktemp("block")))
    block = BlockSource(store, write_block(store, TABLES), BlockCache(1 << 24))
    scan = SourceScan(block, QueryStats(), _control(None))

    assert Binder(scan).condition(expression_of(text)) is NEVER

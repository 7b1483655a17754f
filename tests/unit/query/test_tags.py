"""Bounds, order, windows and progress of autocomplete; what is listed is for the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from support.otlp import EPOCH_NS, request, request_of, resource_spans, scope_spans, span
from support.query import control
from support.tags import ask_names, ask_values, live_source, names_of, values_of
from support.written_blocks import write_block

from traceql import parse_field
from tracestore.errors import DeadlineError, InvalidRequestError
from tracestore.kernel import build_tables
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.model.tags import TagNames, TagScope, TagValues
from tracestore.model.times import SECOND_NS
from tracestore.query.block_source import BlockSource
from tracestore.query.source import Chunk, SpanSource
from tracestore.query.tables_source import TablesSource
from tracestore.query.tag_names import tag_names
from tracestore.query.tag_spans import Lookup
from tracestore.query.tag_values import tag_values
from tracestore.settings.tree import BlockSettings, QuerySettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.memory import MemoryObjectStore


def tables_of(values: Sequence[Any], *, key: str = "key", first: int = 1) -> SpanTables:
    """Make a span a value, each in a trace of its own."""
    spans = [
        span(trace=first + n, id=first + n, start_ms=n, attributes={key: value})
        for n, value in enumerate(values)
    ]
    return build_tables([request(spans=spans)])


class CountingSource(TablesSource):
    """Notes which chunks are read of which column."""

    def __init__(self, tables: SpanTables, id: str) -> None:
        super().__init__(tables, id, spans_per_chunk=10, is_live=False)
        self.chunks_read: list[tuple[str, int]] = []

    def read(
        self, table: Table, columns: Sequence[str], chunk: Chunk | None, stats: QueryStats
    ) -> Sequence[pa.Array]:
        self.chunks_read += [(name, chunk.index) for name in columns if chunk is not None]
        return super().read(table, columns, chunk, stats)


def test_the_most_frequent_value_is_first_whatever_source_it_is_in() -> None:
    sources = [
        TablesSource(tables_of(["b", "a", "a", "c", 1, 1]), "1"),
        TablesSource(tables_of(["b", "c", "b", True], first=20), "2"),
    ]

    found = values_of(ask_values(sources, "span.key"))

    assert found == [
        ("string", "b"),
        ("int", "1"),
        ("string", "a"),
        ("string", "c"),
        ("bool", "true"),
    ]
    assert values_of(ask_values(sources, "span.key", limit="2")) == found[:2]
    assert values_of(ask_values(sources, "span.key", limit="4")) == found[:4]


def test_values_of_resources_count_once_per_span() -> None:
    groups = [
        resource_spans(
            [scope_spans([span(trace=n, id=n * 10 + m) for m in range(1, spans + 1)])],
            resource={"service.name": name, "pod": f"{name}-{n}"},
        )
        for n, (name, spans) in enumerate([("many", 5), ("few", 1), ("few", 1), ("few", 1)], 1)
    ]
    store = MemoryObjectStore()
    meta = write_block(store, build_tables([request_of(groups)]))
    block = BlockSource(store, meta, BlockCache(1 << 20))
    live = live_source(request_of(groups), "live")

    for source in (block, live):
        found = values_of(ask_values([source], "resource.service.name"))
        assert found == [("string", "many"), ("string", "few")]


def test_a_key_of_many_values_is_cut_before_all_is_read() -> None:
    source = CountingSource(tables_of([f"value {n:05}" for n in range(1000)]), "1")
    settings = QuerySettings(max_bytes_per_tag_values_query=500)

    found = ask_values([source], "span.key", settings=settings)

    texts = list(found.texts)
    assert len(texts) == 500 // len("value 00000")
    assert len(set(texts)) == len(texts)
    assert len(source.chunks_read) < 20


def test_what_a_block_does_not_list_is_counted_once() -> None:
    store = MemoryObjectStore()
    cache = BlockCache(1 << 20)
    metas = [
        write_block(
            store,
            tables_of([n % 7 for n in range(100)], first=1 + 1000 * number),
            settings=BlockSettings(distinct_values_max=3, row_group_spans=10),
            block=f"0190b6f0-0000-7000-8000-00000000000{number}",
        )
        for number in range(3)
    ]
    sources = [BlockSource(store, meta, BlockCache(0)) for meta in metas]

    first = ask_values(sources, "span.key", cache=cache)
    second = ask_values(sources, "span.key", cache=cache)

    assert values_of(first) == values_of(second) == [("int", str(n)) for n in range(7)]
    assert first.stats.inspected_bytes > sum(meta.object_bytes["filters"] for meta in metas)
    assert second.stats == first.stats


def test_what_is_known_of_blocks_is_known_of_these_alone() -> None:
    store, cache = MemoryObjectStore(), BlockCache(1 << 20)
    metas = [
        write_block(
            store,
            tables_of([f"of {number}", "a"], first=1 + 1000 * number),
            block=f"0190b6f0-0000-7000-8000-00000000000{number}",
        )
        for number in range(3)
    ]
    blocks = [BlockSource(store, meta, BlockCache(0)) for meta in metas]
    live = TablesSource(tables_of(["of 0", "live"], first=9000), "live")

    def ask(*sources: SpanSource) -> list[str]:
        found = ask_values(sources, "span.key", cache=cache)
        assert found.stats.completed_jobs == len(sources)
        return list(found.texts)

    for _ in range(2):
        assert ask(*blocks[:2]) == ["a", "of 0", "of 1"]
        assert ask(*blocks) == ["a", "of 0", "of 1", "of 2"]
        assert ask(live, *blocks[:2]) == ["a", "of 0", "live", "of 1"]
    assert ask_values(blocks[:2], "name", cache=cache).texts == ("",)


def test_names_are_cut_at_the_bound() -> None:
    spans = [span(trace=1, id=1, attributes={f"key {n}": 1 for n in range(10)})]
    source = live_source(request(spans=spans), "live")
    settings = QuerySettings(max_bytes_per_tag_values_query=12)

    assert names_of(ask_names([source], "span", settings=settings)) == {"span": ["key 0", "key 1"]}
    assert names_of(ask_names([source], "span", q="{ name = `` }", settings=settings)) == {
        "span": ["key 0", "key 1"]
    }


def test_limits_of_names_count_by_scope_and_leave_intrinsics_alone() -> None:
    body = request(
        resource={"a": 1, "b": 1}, spans=[span(trace=1, id=1, attributes={"d": 1, "c": 1})]
    )

    found = names_of(ask_names([live_source(body, "live")], limit="1"))

    assert {scope: found[scope] for scope in ("resource", "span")} == {
        "resource": ["a"],
        "span": ["c"],
    }
    assert len(found["intrinsic"]) == 25


def test_it_ends_when_nothing_new_comes() -> None:
    sources = [
        TablesSource(tables_of(["a", "b", "c"], first=100), "1"),
        TablesSource(tables_of(["a", "b", "z"], first=10), "2"),
    ]

    assert len(ask_values(sources, "span.key", maxStaleValues="2").texts) == 3
    assert len(ask_values(sources, "span.key", maxStaleValues="3").texts) == 4
    assert len(ask_values(sources, "span.key", maxStaleValues="0").texts) == 4


def test_names_end_when_nothing_new_comes() -> None:
    sources = [
        live_source(request(spans=[span(trace=n, id=n, attributes=dict.fromkeys(keys, 1))]), str(n))
        for n, keys in ((1, ("a", "b", "z")), (2, ("a", "b", "c")))
    ]

    assert names_of(ask_names(sources, "span", maxStaleValues="2"))["span"] == ["a", "b", "c"]
    assert names_of(ask_names(sources, "span", maxStaleValues="3"))["span"] == ["a", "b", "c", "z"]


def test_sources_outside_the_window_are_not_asked() -> None:
    second = EPOCH_NS // SECOND_NS
    sources = [
        live_source(
            request(spans=[span(trace=n, id=n, name=f"at {n}", start_ms=n * 60_000)]), str(n)
        )
        for n in (0, 1, 2)
    ]
    window = {"start": str(second + 59), "end": str(second + 61)}

    found = ask_values(sources, "name", **window)

    assert values_of(found) == [("string", "at 1")]
    assert found.stats.total_jobs == found.stats.completed_jobs == 1


def test_with_a_filter_traces_outside_the_window_do_not_count() -> None:
    second = EPOCH_NS // SECOND_NS
    spans = [span(trace=n, id=n, name=f"at {n}", start_ms=n * 60_000) for n in (1, 2, 3)]
    source = live_source(request(spans=spans), "live")
    window = {"start": str(second + 100), "end": str(second + 130)}

    assert len(ask_values([source], "name", **window).texts) == 3
    found = ask_values([source], "name", q="{ kind = internal }", **window)
    assert values_of(found) == [("string", "at 2")]


@pytest.mark.parametrize(
    ("operands", "tag", "is_refused"),
    [(100, "span.x", False), (101, "span.x", True), (50, ".x", False), (51, ".x", True)],
)
def test_too_many_alternatives_are_refused(operands: int, tag: str, is_refused: bool) -> None:
    query = "{ " + " || ".join(f"span.a = {n}" for n in range(operands)) + " }"
    message = (
        "maximum condition groups reached (limit: 100). "
        "Reduce the number of OR conditions in the query"
    )

    if not is_refused:
        assert ask_values([], tag, q=query).texts == ()
        return
    with pytest.raises(InvalidRequestError) as refusal:
        ask_values([], tag, q=query)
    assert str(refusal.value) == message


def test_too_many_alternatives_are_refused_for_names() -> None:
    query = "{ " + " || ".join(f"span.a = {n}" for n in range(101)) + " }"

    with pytest.raises(InvalidRequestError, match="limit: 100"):
        ask_names([], q=query)
    assert ask_names([], is_legacy=True, q=query).scopes == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("error", ["true"]),
        ("status.code", ["ok", "error", "unset"]),
        ("status", ["ok", "error", "unset"]),
        ("name", ["op"]),
        ("span:name", ["op"]),
        ("root.name", ["op"]),
        ("rootServiceName", ["shop"]),
        ("root.service.name", ["shop"]),
        ("service.name", ["shop"]),
        ("duration", ["an attribute"]),
        ("span.kind", ["with a dot"]),
        ("resource.x", []),
        ("x", ["of the resource"]),
    ],
)
def test_names_of_the_first_version(name: str, expected: list[str]) -> None:
    body = request(
        resource={"service.name": "shop", "x": "of the resource"},
        spans=[
            span(
                trace=1,
                id=1,
                name="op",
                attributes={
                    "duration": "an attribute",
                    "span.kind": "with a dot",
                    "service.name": "not of the resource",
                },
            )
        ],
    )

    found = ask_values([live_source(body, "live")], name, is_legacy=True)

    assert list(found.texts) == expected


class Watcher:
    """Takes every partial answer."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def is_due(self) -> bool:
        return True

    def show(self, partial: TagNames | TagValues) -> None:
        self.shown.append(partial)


def test_partial_answers_grow_with_true_numbers() -> None:
    sources = [TablesSource(tables_of([n], first=10 * n + 1), str(n)) for n in range(3)]
    values, names = Watcher(), Watcher()

    last = tag_values(sources, parse_field("span.key"), Lookup(), control(), progress=values)
    tag_names(sources, {TagScope.SPAN}, Lookup(), control(), progress=names)

    assert [len(one.texts) for one in values.shown] == [1, 2, 3]
    for shown in (values.shown, names.shown):
        jobs = [(one.stats.completed_jobs, one.stats.total_jobs) for one in shown]
        assert jobs == [(1, 3), (2, 3), (3, 3)]
    assert last == values.shown[-1]


def test_a_cancelled_question_stops() -> None:
    gone = control()
    gone.cancelled.set()
    source = CountingSource(tables_of(range(100)), "1")

    with pytest.raises(DeadlineError):
        tag_values([source], parse_field("span.key"), Lookup(), gone)
    with pytest.raises(DeadlineError):
        tag_names([source], {TagScope.SPAN}, Lookup(), gone)
    assert not source.chunks_read

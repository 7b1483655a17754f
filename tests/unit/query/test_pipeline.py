"""Pipelines beyond the golden cases: what is told, what is read, what fails, duplicated IDs."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest
from support.naive_tables import naive_tables
from support.otlp import request, span
from support.query import run_search

from tracestore.errors import InvalidRequestError
from tracestore.model.results import AttributeValue, QueryStats, TraceSummary
from tracestore.model.tables import Table
from tracestore.query.source import Chunk
from tracestore.query.tables_source import TablesSource

Told = list[tuple[tuple[str, AttributeValue], ...]]


class WatchedSource(TablesSource):
    """Remembers which columns of spans were read."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(naive_tables([payload]), "watched", spans_per_chunk=1)
        self.read_columns: set[str] = set()

    def read(
        self, table: Table, columns: Sequence[str], chunk: Chunk | None, stats: QueryStats
    ) -> Sequence[pa.Array]:
        if table is Table.SPANS:
            self.read_columns.update(columns)
        return super().read(table, columns, chunk, stats)


def source_of(*spans: object) -> TablesSource:
    return TablesSource(naive_tables([request(spans=list(spans))]), "s")


def two_traces() -> list[object]:
    """Trace 1: root a, children b and c of kinds server and client; trace 2: roots d and e."""
    return [
        span(trace=1, id=1, name="a", kind="server", duration_ms=9, attributes=[("n", 1)]),
        span(trace=1, id=2, parent=1, name="b", kind="server", attributes=[("n", 1)]),
        span(trace=1, id=3, parent=1, name="c", kind="client", attributes=[("n", 2)]),
        span(trace=2, id=4, name="d", attributes=[("n", 1.0)]),
        span(trace=2, id=5, name="e", attributes=[("n", 1)]),
    ]


def names(trace: TraceSummary) -> list[list[str]]:
    return [[shown.name for shown in one.spans] for one in trace.span_sets]


def told(trace: TraceSummary) -> Told:
    return [one.attributes for one in trace.span_sets]


def by_trace(text: str) -> dict[int, TraceSummary]:
    found = run_search([source_of(*two_traces())], text).traces
    return {int.from_bytes(trace.trace_id, "big"): trace for trace in found}


def test_groups_are_typed_and_keep_what_was_told_before() -> None:
    found = by_trace("{} | count() > 1 | by(span.n) | by(kind)")

    assert names(found[1]) == [["a", "b"], ["c"]]
    assert told(found[1]) == [
        (("count()", 3), ("by(span.n)", 1), ("by(kind)", "server")),
        (("count()", 3), ("by(span.n)", 2), ("by(kind)", "client")),
    ]
    assert [one[1] for one in told(found[2])] == [("by(span.n)", 1.0), ("by(span.n)", 1)]


def test_parts_of_a_group_stay_together() -> None:
    spans = [
        span(trace=1, id=n, name=name, start_ms=n, attributes=[("n", n)])
        for n, name in enumerate("aba", start=1)
    ]

    (trace,) = run_search([source_of(*spans)], "{} | by(name) | by(span.n)").traces

    assert [[value for _, value in one] for one in told(trace)] == [["a", 1], ["a", 3], ["b", 2]]


def test_many_spansets_of_one_trace_take_time_by_their_number() -> None:
    spans = [span(trace=1, id=1), *(span(trace=1, id=n, parent=1) for n in range(2, 3002))]

    (trace,) = run_search([source_of(*spans)], "{} | by(span:id) | count() = 1").traces

    assert len(trace.span_sets) == 3001
    assert {one.matched for one in trace.span_sets} == {1}


def test_all_aggregates_of_a_filter_are_told_in_the_order_of_the_text() -> None:
    found = by_trace("{} | 2 * max(duration) > min(span.n) + count()")

    assert told(found[1]) == [(("max(duration)", "9ms"), ("min(span.n)", 1), ("count()", 3))]


def test_a_pipeline_as_a_number_counts_to_zero() -> None:
    found = by_trace("({ kind = client } | count()) = 0")

    assert list(found) == [2]
    assert told(found[2]) == [(("({ kind = client } | count())", 0),)]


@pytest.mark.parametrize(
    "pipe",
    [
        "({ !(!(kind = client)) } | count())",
        "({ (kind = client) || (kind = client) } | count())",
        '({ (name = "b") && true } | count())',
        "({ 1 <= span.n } | { .a } | count())",
    ],
)
def test_a_pipeline_as_a_number_is_named_as_it_was_written(pipe: str) -> None:
    assert told(by_trace(f"({pipe} * 1) + {pipe} >= 0")[1])[0][0][0] == pipe


def test_structure_inside_groups_looks_at_one_group_alone() -> None:
    assert names(by_trace("{} | by(span.n) | {} >> {}")[1]) == [["b"]]
    assert names(by_trace("{} | by(name) | coalesce() | {} >> {}")[1]) == [["b", "c"]]


def test_several_spansets_on_a_side_of_a_structural_operator_fail() -> None:
    with pytest.raises(InvalidRequestError, match=r"coalesce\(\)"):
        by_trace("({} | by(span.n)) >> ({ kind = client })")

    assert names(by_trace("({} | by(span.n) | coalesce()) >> ({ kind = client })")[1]) == [["c"]]
    assert names(by_trace("({ name = `a` } | by(span.n)) >> ({ kind = client })")[1]) == [["c"]]
    assert set(by_trace("({} | by(span.n)) && ({ kind = client })")) == {1}


def test_a_metrics_query_finds_its_spans() -> None:
    assert names(by_trace("{ kind = client } | rate() by(span.n)")[1]) == [["c"]]


def test_spans_that_share_an_id_have_the_children_of_their_kind() -> None:
    shared = [
        span(trace=1, id=1, name="root", kind="server"),
        span(trace=1, id=2, parent=1, name="out", kind="client"),
        span(trace=1, id=2, parent=2, name="in", kind="server"),
        span(trace=1, id=3, parent=2, name="work", kind="internal"),
    ]

    def found(text: str) -> list[list[str]]:
        return [n for t in run_search([source_of(*shared)], text).traces for n in names(t)]

    assert found("{ kind = client } > {}") == [["in"]]
    assert found("{ kind = server } > { name = `work` }") == [["work"]]
    assert found("{ name = `out` } > { name = `work` }") == []
    assert found("{ name = `out` } >> { name = `work` }") == [["work"]]


def test_a_trace_without_both_sides_needs_no_tree() -> None:
    spans = [span(trace=1, id=1, kind="server"), span(trace=2, id=2, kind="client")]
    watched = WatchedSource(request(spans=spans))

    assert not run_search([watched], "{ kind = server } >> { kind = client }").traces
    assert watched.read_columns == {"kind"}


def test_a_filter_that_no_span_matches_spares_the_others() -> None:
    payload = request(spans=[span(trace=1, id=1, name="a", kind="server")])
    watched = WatchedSource(payload)

    assert not run_search([watched], "{ kind = client } && { name = `a` } | count() > 0").traces
    assert watched.read_columns == {"kind"}


def test_spans_without_events_are_one_group() -> None:
    source = source_of(*(span(trace=1, id=n, start_ms=n) for n in (1, 2)))

    (trace,) = run_search([source], "{} | by(event:name)").traces

    assert told(trace) == [(("by(event:name)", "nil"),)]

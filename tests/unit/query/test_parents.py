"""Fields of the parent span, found by nested sets."""

from __future__ import annotations

import pytest
from support.filter_rows import matched_names, shown_values
from support.naive_tables import naive_tables
from support.otlp import request_of, resource_spans, scope_spans, span

from tracestore.query.tables_source import TablesSource


@pytest.fixture(params=[1, 1000], ids=["a chunk a trace", "one chunk"])
def source(request: pytest.FixtureRequest) -> TablesSource:
    front = [
        span(trace=1, id=1, name="root", attributes={"n": 1, "a": "x"}),
        span(trace=1, id=2, parent=1, name="child", attributes={"n": 2}),
        span(trace=2, id=9, parent=8, name="lost", attributes={"n": 1}),
        span(trace=2, id=8, parent=7, name="lost too", attributes={"n": 1}),
    ]
    back = [span(trace=1, id=3, parent=2, name="grandchild", attributes={"n": 3})]
    groups = [
        resource_spans([scope_spans(front)], resource={"service.name": "front", "a": "r"}),
        resource_spans([scope_spans(back)], resource={"a": "b"}),
    ]
    tables = naive_tables([request_of(groups)])
    return TablesSource(tables, "s", spans_per_chunk=request.param)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("parent = nil", ["root", "lost too", "lost"]),
        ("parent != nil", ["child", "grandchild"]),
        ("parent.span.n = 1", ["child"]),
        ("parent.n < 5", ["child", "grandchild"]),
        ("!(parent.n < 2)", ["root", "grandchild", "lost too", "lost"]),
        ('parent.a = "x"', ["child"]),
        ('parent.resource.a = "r"', ["child", "grandchild"]),
        ('parent.a = "r"', ["grandchild"]),
        ("parent.span.a = nil", ["root", "grandchild", "lost too", "lost"]),
        ("parent.a != nil", ["child", "grandchild"]),
        ('parent.resource.service.name != ""', ["child", "grandchild"]),
        ("parent.resource.service.name = nil", ["root", "lost too", "lost"]),
        ("parent.n + 1 = span.n", ["child", "grandchild"]),
        ("-parent.n = -1", ["child"]),
        ("parent.never = 1", []),
    ],
)
def test_a_field_of_the_parent(source: TablesSource, text: str, expected: list[str]) -> None:
    assert sorted(matched_names(source, text)) == sorted(expected)


def test_a_span_without_a_parent_has_no_value_of_it(source: TablesSource) -> None:
    names = shown_values(source, "name")

    found = dict(zip(names, shown_values(source, "parent.n"), strict=True))

    assert found == {"root": None, "child": 1, "grandchild": 2, "lost": None, "lost too": None}

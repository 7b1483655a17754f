"""Tags as logfmt, and the TraceQL that stands for them."""

from __future__ import annotations

import pytest
from support.naive_tables import naive_tables
from support.otlp import request, span
from support.query import run_search

import traceql
from tracestore.api.legacy_search import duration_filter, legacy_query, parse_tags
from tracestore.errors import InvalidRequestError
from tracestore.query.tables_source import TablesSource


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("", {}),
        ("a=b", {"a": "b"}),
        ('  a="b c"\td=e ', {"a": "b c", "d": "e"}),
        ("a b= c=d", {"a": "", "b": "", "c": "d"}),
        (r'a="say \"x\"\n"', {"a": 'say "x"\n'}),
        ("http.url=/a?b", {"http.url": "/a?b"}),
        ("a=1\nb=2", {"a": "1", "b": "2"}),
    ],
)
def test_tags_are_logfmt(text: str, tags: dict[str, str]) -> None:
    assert parse_tags(text) == tags


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=1 a=2", "invalid tags: tag a has been set twice"),
        ("=x", "invalid tags: unexpected '=' at pos 1"),
        ('a"b', "invalid tags: unexpected '\"' at pos 2"),
        ("é=b=c", "invalid tags: unexpected '=' at pos 5"),
        ('a="x', "invalid tags: unterminated quoted value at pos 5"),
        (r'a="\q"', "invalid tags: invalid quoted value at pos 7"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_tags(text)
    assert str(caught.value) == message


SOURCE = TablesSource(
    naive_tables(
        [
            request(
                resource={"service.name": "shop-api", "zone": "z1"},
                spans=[
                    span(trace=1, id=1, name="GET /a.b", attributes={"user": "u1"}, duration_ms=50),
                    span(trace=2, id=2, name="GET /axb", attributes={"user": 7}, duration_ms=5),
                ],
            ),
            request(
                resource={"service.name": "db"},
                spans=[
                    span(trace=1, id=3, parent=1, name="query", status="error", duration_ms=1),
                    span(trace=3, id=4, name="vacuum", status="ok", duration_ms=70),
                ],
            ),
        ]
    ),
    "s",
)


@pytest.mark.parametrize(
    ("tags", "durations_ms", "traces"),
    [
        ("", (0, 0), {1, 2, 3}),
        ("service.name=hop", (0, 0), {1, 2}),
        ("service.name=db service.name.x=", (0, 0), set()),
        ("service.name=db name=GET", (0, 0), {1}),
        ("name=a.b", (0, 0), {1}),
        ("root.name=query", (0, 0), set()),
        ("root.service.name=db", (0, 0), {3}),
        ("status.code=error user=u1 zone=z1", (0, 0), {1}),
        ("status.code=unset", (0, 0), {1, 2}),
        ("user=7", (0, 0), set()),
        ("", (50, 0), {1, 3}),
        ("", (50, 50), {1}),
        ("name=GET", (0, 5), {2}),
    ],
)
def test_conditions_are_of_the_trace(
    tags: str, durations_ms: tuple[int, int], traces: set[int]
) -> None:
    least, most = (ms * 1_000_000 for ms in durations_ms)

    found = run_search([SOURCE], legacy_query(parse_tags(tags), duration_filter(least, most)))

    assert {int.from_bytes(trace.trace_id, "big") for trace in found.traces} == traces


def test_any_key_and_value_make_a_valid_query() -> None:
    text = legacy_query({'a "b" {': '"\\ }', "name": "a.b*[\n", "é": "\x00"})

    traceql.check(traceql.parse(text), text)

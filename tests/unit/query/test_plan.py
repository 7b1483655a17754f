"""What is decided before any source is looked at."""

from __future__ import annotations

import pytest
from support.query import plan

from traceql import CheckError
from tracestore.query.plan import MetricsMathError


def test_arithmetic_over_metrics_has_no_spans_to_search() -> None:
    with pytest.raises(MetricsMathError, match="math expressions not supported"):
        plan("({} | rate()) / ({} | rate())")


def test_a_metrics_query_is_searched_for_its_spans() -> None:
    searched = plan("{ .a = 1 } | by(.b) | rate() by(.c)")

    assert searched.filter_texts == ("{ .a = 1 }",)
    assert [mention.field.text for mention in searched.shown] == [".a", ".b"]


@pytest.mark.parametrize(
    ("query", "needs"),
    [
        ("{ traceDuration > 1s }", True),
        ("{ nestedSetParent < 0 || .a = 1 }", True),
        ("{ parent.a = 1 }", True),
        ('{ trace:id = "1" && name = "x" }', False),
        ("{ .a = 1 } | { .b = 1 }", False),
        ("{ .a = 1 } || { .b = 1 }", False),
        ("{ .a = 1 } && { .b = 1 }", True),
        ("{ .a = 1 } !~ { .b = 1 }", True),
        ("{ .a = 1 } || { .b = 1 } >> { .c = 1 }", True),
        ("{ .a = 1 } | by(nestedSetParent) | coalesce() | select(rootName)", False),
        ("{ .a = 1 } | count() > 1", True),
        ("{ .a = 1 } | rate()", False),
    ],
)
def test_what_needs_whole_traces_is_known(query: str, needs: bool) -> None:
    assert plan(query).needs_whole_trace is needs


@pytest.mark.parametrize(
    ("query", "required"),
    [
        ("{ .a } >> { .b }", ((0,), (1,))),
        ("{ .a } !>> { .b }", ((1,),)),
        ("({ .a } | count() > 1) >> ({ .b })", ((0,), (1,))),
        ("({ .a } | by(.x)) >> ({ .b })", ()),
    ],
)
def test_what_every_trace_must_match_is_known(
    query: str, required: tuple[tuple[int, ...], ...]
) -> None:
    assert plan(query).required == required


def test_a_pattern_that_cannot_be_evaluated_is_refused() -> None:
    with pytest.raises(CheckError):
        plan("{ .a } | { .b =~ `a{2000}` }")

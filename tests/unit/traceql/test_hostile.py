"""Hostile texts are read or refused without recursion: whatever the text, the stack is bounded."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable

import pytest

import traceql
from traceql.nodes import DEPTH_MAX

READ = {
    "parentheses of a field": "{ " + "(" * 1000 + ".a = 1" + ")" * 1000 + " }",
    "parentheses of a spanset": "(" * 1000 + "{}" + ")" * 1000,
    "a long list": "{ " + " || ".join(f".a={n}" for n in range(5000)) + " }",
    "a chain in parentheses": "{ " + "(" * 2000 + ".a" + "||.b)" * 2000 + " }",
    "signs of a constant": "{ " + "-" * 5000 + "1 = .a }",
    "many stages": " | ".join(["{}"] * 5000),
    "a regex of groups": '{ .a =~ "' + "(a|b)" * 3000 + '" }',
    "a regex of alternatives": '{ .a =~ "' + "a|" * 20_000 + '" }',
}
REFUSED = {
    "parentheses of a field": "{ " + "(" * 10_000 + ".a = 1" + ")" * 10_000 + " }",
    "parentheses of a constant": "{ .a = " + "(" * 10_000 + "1" + ")" * 10_000 + " }",
    "parentheses of a spanset": "(" * 10_000 + "{}" + ")" * 10_000,
    "parentheses of a pipeline": "(" * 10_000 + "{}|{}" + ")" * 10_000,
    "parentheses of an aggregate": "(" * 10_000 + "count()" + ")" * 10_000 + " > 1",
    "parentheses of a metric": "(" * 10_000 + "{} | rate()" + ")" * 10_000 + " > 1",
    "parentheses of a number": "({} | rate()) + " + "(" * 10_000 + "1" + ")" * 10_000,
    "open parentheses": "{ " + "(" * 100_000,
    "prefixes": "{ " + "!" * 50_000 + ".a }",
    "powers": "{ " + " ^ ".join([".a"] * 10_000) + " = 1 }",
    "a chain that alternates": "{ " + " || ".join([".a && .b"] * 5000) + " }",
    "spansets": " && ".join(["{}"] * 5000),
    "math": " + ".join(["({}|rate())"] * 3000),
    "scalars": "count()" + " + count()" * 5000 + " > 1",
    "an open quote": '{ ."' + "x" * 100_000,
    "an open comment": "{ /*" + "x" * 100_000,
    "digits": "{ .a = " + "1" * 100_000 + " }",
    "a deep regex": '{ .a =~ "' + "(" * 20_000 + ")" * 20_000 + '" }',
}


def _use(text: str) -> None:
    query = traceql.parse(text)
    traceql.check(query, text)
    planned = traceql.plan(query)
    assert hash(query) == hash(traceql.parse(traceql.render(query)))
    assert planned.filters


def _with_stack(frames: int, action: Callable[[], None]) -> None:
    """Run with room for so many frames above the current one."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + frames)
    try:
        action()
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("text", READ.values(), ids=READ.keys())
def test_long_texts_of_flat_meaning_are_read(text: str) -> None:
    _with_stack(200, lambda: _use(text))


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_deep_texts_are_refused(text: str) -> None:
    def refuse() -> None:
        with pytest.raises(traceql.QueryError) as caught:
            _use(text)
        assert len(caught.value.explain()) < 1000

    _with_stack(200, refuse)


DEEP = DEPTH_MAX - 10


@pytest.mark.parametrize(
    "text",
    [
        "{ " + "!" * DEEP + ".a }",
        "{ .a" + " + .a" * DEEP + " = 1 }",
        "{ .a" + " ^ .a" * DEEP + " = 1 }",
        "{ .a" + " && .b || .c" * (DEEP // 2) + " }",
        "{}" + " > {}" * DEEP,
        "{ .a" + " = nil" * DEEP + " }",
        "{} | count()" + " + count()" * DEEP + " > 1",
    ],
)
def test_the_deepest_trees_fit_an_ordinary_stack(text: str) -> None:
    _with_stack(DEPTH_MAX * 4, lambda: _use(text))

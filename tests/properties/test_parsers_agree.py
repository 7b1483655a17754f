"""The grammar reads searches as a parser does that was written by hand from the reference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.naive_parser import parse_search
from support.naive_texts import text_of
from support.search_queries import filter_queries, queries
from support.traceql_golden import GOLDEN, read_cases

import traceql
from traceql import nodes


def of_grammar(text: str) -> nodes.Pipeline:
    body = traceql.parse(text).body
    assert isinstance(body, nodes.Pipeline)
    return body


@given(st.one_of(filter_queries(), queries()))
def test_generated_searches_are_read_alike(text: str) -> None:
    assert of_grammar(text) == parse_search(text)


symbols = st.sampled_from(
    [*("&&", "||", "=", "!=", "<", "<=", ">", ">=", "=~", "!~"), *("+", "-", "*", "/", "%", "^")]
)
prefixes = st.sampled_from(["", "", "", "-", "!", "- -", "!!", "-!", "nil = ", "("])
operands = st.sampled_from([".a", "span.b", "1", "2.5", '"x"', "true", "1s", "kind", "duration"])


@st.composite
def flat_expressions(draw: st.DrawFn) -> str:
    """Draw operators side by side, with few parentheses: only precedence tells what is meant."""
    text, open_ = "{ ", 0
    for _ in range(draw(st.integers(1, 7))):
        prefix = draw(prefixes)
        open_ += prefix == "("
        text += f"{prefix}{draw(operands)} "
        if draw(st.integers(0, 9)) == 0:
            text += draw(st.sampled_from(["= nil ", "!= nil "]))
        if open_ and draw(st.booleans()):
            text, open_ = f"{text}) ", open_ - 1
        text += f"{draw(symbols)} "
    return f"{text}{draw(operands)}{')' * open_} }}"


@given(flat_expressions())
def test_precedence_is_that_of_the_reference(text: str) -> None:
    assert of_grammar(text) == parse_search(text)


relations = st.sampled_from(
    ["&&", "||", ">", "<", ">>", "<<", "~", "!>", "!<<", "!~", "&>", "&>>", "&~"]
)


@given(st.lists(st.tuples(st.sampled_from("abc"), relations), min_size=1, max_size=8))
def test_spansets_side_by_side_are_read_alike(parts: list[tuple[str, str]]) -> None:
    text = " ".join(f"{{ .{name} }} {symbol}" for name, symbol in parts) + " {}"

    assert of_grammar(text) == parse_search(text)


def searches() -> list[str]:
    lines = (GOLDEN / "queries.txt").read_text(encoding="utf-8").splitlines()
    texts = [line for line in lines if line and not line.startswith("#")]
    for name in ("accepted", "accepted_beyond", "trees"):
        for _, text in read_cases(f"traceql_{name}.test"):
            texts.append(text.partition("\n")[0].partition(" ! ")[0])
    found = []
    for text in dict.fromkeys(texts):
        try:
            body = traceql.parse(text).body
        except traceql.ParseError:
            continue  # the editor's mistake, which the test of its grammar names
        if isinstance(body, nodes.Pipeline):
            found.append(text)
    return found


@pytest.mark.parametrize("text", searches())
def test_searches_of_people_are_read_alike(text: str) -> None:
    assert of_grammar(text) == parse_search(text)


@given(st.one_of(filter_queries(), queries()))
def test_canonical_texts_are_those_of_the_reference(text: str) -> None:
    pipeline = traceql.parse(f"{text} | ({text} | count()) > 0").body
    assert isinstance(pipeline, nodes.Pipeline)
    (scalar,) = (one for one in pipeline.stages[-1:] if isinstance(one, nodes.ScalarFilter))

    assert traceql.render(scalar.left) == text_of(scalar.left)

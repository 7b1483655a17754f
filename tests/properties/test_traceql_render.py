"""Canonical text reads back as the same tree, rewritten or not, and no text breaks the parser."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.query_trees import field_expressions, queries

import traceql
from traceql import nodes


@given(queries())
def test_canonical_text_reads_back_as_the_same_tree(query: nodes.Query) -> None:
    assert traceql.parse(traceql.render(query)) == query


@given(field_expressions())
def test_rewriting_twice_changes_nothing_more(expression: nodes.FieldExpression) -> None:
    once = traceql.rewrite(nodes.Filter(expression))

    assert traceql.rewrite(once) == once


TOKENS = """
{ } ( ) | , && || ! - + * / % ^ = != < <= > >= =~ !~ >> << ~ !> !< !>> !<< &> &< &>> &<< &~
.a span.b parent.c resource."d" event:name name duration status kind parent any span:id 1 0.5 1s "s"
true nil ok server minInt count() avg( max( by( coalesce() select( rate() count_over_time()
max_over_time( quantile_over_time( compare( topk( bottomk( with( x /* */ //
"""


@given(st.lists(st.sampled_from(TOKENS.split()), max_size=14))
def test_any_text_is_planned_or_refused_with_a_place(tokens: list[str]) -> None:
    text = " ".join(tokens)
    refusal = None
    try:
        query = traceql.parse(text)
        traceql.check(query, text)
    except traceql.QueryError as error:
        refusal = error
    if refusal is not None:
        assert 0 <= refusal.position <= len(text)
        assert refusal.explain()
        return
    assert traceql.parse(traceql.render(query)) == query
    if not isinstance(query.body, nodes.MetricsMath):
        assert traceql.plan(query).filters is not None


# An independent reader of field expressions: the recursive one of the reference (2.7), on tokens,
# writing text at once. Names only, so that nothing is folded.

LEVELS = {"&&": 2, "||": 2, "=": 3, "!=": 3, "<": 3, ">=": 3, "+": 4, "-": 4, "*": 6, "/": 6}
LEVELS |= {"%": 6, "^": 7}


def _climb(tokens: list[str], minimum: int) -> str:
    token = tokens.pop(0)
    if token == "-":
        left = f"(-{_climb(tokens, 5)})"
    elif token == "!":
        left = f"(!{_climb(tokens, 6)})"
    elif token == "nil":
        operator = tokens.pop(0)
        left = f"({_climb(tokens, 4)} {operator} nil)"
    elif token == "(":
        left = _climb(tokens, 0)
        tokens.pop(0)
    else:
        left = token
    while tokens and tokens[0] in LEVELS and LEVELS[tokens[0]] >= minimum:
        operator = tokens.pop(0)
        level = LEVELS[operator]
        if operator in {"=", "!="} and tokens[0] == "nil":
            tokens.pop(0)
            left = f"({left} {operator} nil)"
        else:
            left = f"({left} {operator} {_climb(tokens, 7 if operator == '^' else level + 1)})"
    return left


PREFIXES = ["", "-", "!", "nil =", "nil !=", "- !", "! -", "- -", "! !", "- nil =", "nil != !"]


@st.composite
def flat_expressions(draw: st.DrawFn) -> list[str]:
    """Prefixes, operands and operators in grammatical order."""
    tokens: list[str] = []
    count = draw(st.integers(1, 7))
    for index in range(count):
        if index:
            tokens.append(draw(st.sampled_from(sorted(LEVELS))))
        tokens.append(draw(st.sampled_from(PREFIXES)))
        tokens.append(draw(st.sampled_from([".a", ".b", "( .c + .d )", "( - .e ^ .f )"])))
        if draw(st.integers(0, 5)) == 0:
            tokens.append(draw(st.sampled_from(["= nil", "!= nil"])))
    return " ".join(tokens).split()


@given(flat_expressions())
def test_precedence_agrees_with_recursive_climbing(tokens: list[str]) -> None:
    rendered = traceql.render(traceql.parse(f"{{ {' '.join(tokens)} }}"))
    expected = _climb(list(tokens), 0)

    if expected.startswith("("):
        expected = expected[1:-1]
    assert rendered == f"{{ {expected} }}"

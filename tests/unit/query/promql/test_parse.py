"""What is read of PromQL, and that no text ends the process or comes back as an error of ours."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracestore.errors import InvalidRequestError
from tracestore.query.promql.nodes import Edge, Selector
from tracestore.query.promql.parse import OPERATORS_MAX, parse, parse_selector, pretty
from tracestore.query.span_series import Matcher, MatchOperator

WORDS = [
    *("a", 'b{c="d"}', "{", "}", '"', "'", "`", "(", ")", "[5m]", "[5m:1m]", "5m", "1", "0x1f"),
    *("1e400", "@", "offset", "-", "+", "^", "by", "without", "on(x)", "group_left", "sum", "rate"),
    *("topk", "vector(1)", ",", " ", "\n", "#", "é", "\\", "bool", "==", "start()", "and", "or"),
    *(
        "smoothed",
        "anchored",
        "offset -5m",
        "@ 1e300",
        "@ -1",
        "[1e400]",
        "99999999999999y",
        "\x00",
    ),
]


@given(st.lists(st.sampled_from(WORDS), max_size=9).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    words = "parse error: "
    try:
        parse(text)
    except InvalidRequestError as error:
        words = str(error)
    assert words.startswith(("parse error: ", "not supported by tracestore: "))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "parse error: no expression found in input"),
        ("rate(a)", "parse error: expected type matrix in call to function 'rate', got vector"),
        ("rate(a[5m:1m])", "not supported by tracestore: subqueries"),
        ("deriv(a[5m])", "not supported by tracestore: function deriv()"),
        ('count_values("x", a)', "not supported by tracestore: aggregation count_values()"),
        ('a{b="c" or d="e"}', "not supported by tracestore: 'or' between matchers"),
        ("a @ -5", "not supported by tracestore: @ with a time before 1970"),
        ("a @ 1e12", "not supported by tracestore: @ with a time after the year 9999"),
        ("[1e400]", "parse error"),
        ("a + fill(0) b", "fill"),
    ],
)
def test_what_is_refused_is_named(text: str, words: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parse(text)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "nest", ["(", "-", "1+", "sum(", "a or ", "abs(", "a unless ", "1 == bool "]
)
def test_nesting_is_bounded_within_what_a_small_stack_takes(nest: str) -> None:
    """A thread has 1 MiB of stack on systems with musl; the parser recurses."""
    outcomes: list[str] = []

    def read() -> None:
        for depth in (OPERATORS_MAX - 1, 20 * OPERATORS_MAX):
            try:
                parse(nest * depth + "1" + ")" * (depth if nest.endswith("(") else 0))
                outcomes.append("read")
            except InvalidRequestError as error:
                outcomes.append(str(error))

    before = threading.stack_size(1024 * 1024)
    try:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert f"more than {OPERATORS_MAX} parentheses and operators" in outcomes[1]


def test_operators_in_texts_do_not_count() -> None:
    names = "|".join(f"GET /a-{number}(x)" for number in range(300))
    found = parse(
        f'a{{b=~"{names}", c!=\'{"+" * 300}\', d="""}} # {"-" * 300}'.replace('"""', '""')
    )
    assert isinstance(found, Selector)
    assert found.matchers[1] == Matcher(label="b", op=MatchOperator.MATCH, value=names)


def test_times_of_selectors() -> None:
    assert parse('a{b!~"c"}[90s] offset -1m @ 1.5') == Selector(
        matchers=(
            Matcher(label="__name__", op=MatchOperator.EQUAL, value="a"),
            Matcher(label="b", op=MatchOperator.NOT_MATCH, value="c"),
        ),
        offset_ms=-60_000,
        at=1500,
        range_ms=90_000,
    )
    for text, edge in (("start()", Edge.START), ("end()", Edge.END)):
        found = parse(f"a @ {text}")
        assert isinstance(found, Selector)
        assert found.at is edge


@pytest.mark.parametrize("text", ["a[5m]", "a offset 5m", "a @ 5", "a + a", "1", "sum(a)"])
def test_a_match_is_a_selector_alone(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="expected a selector of series"):
        parse_selector(text)
    assert parse_selector("a{b='c'}").matchers[1].value == "c"


def test_pretty_reads_as_what_it_was() -> None:
    text = 'sum(rate(a{b="c"}[5m])) by (d) / on (d) group_left (e) f > bool 1'
    assert parse(pretty(text)) == parse(text)

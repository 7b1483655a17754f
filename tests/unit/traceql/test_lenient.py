"""What is understood of a half-typed query. Cases: TraceQL reference, 7.3; wire contract, 9.4."""

from __future__ import annotations

import pytest
from support.golden import GOLDEN

from traceql import TagFilter, parse, parse_field, parse_tag_filter
from traceql.attributes import Attribute, Intrinsic, Scope
from traceql.errors import ParseError
from traceql.render import render
from traceql.values import Int, String

CART = '{ resource.service.name = "cart" }'


def understood(text: str) -> str | None:
    found = parse_tag_filter(text)
    return None if found is None else render(found.filter)


def filter_of(text: str) -> TagFilter:
    found = parse_tag_filter(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{ resource.service.name = "cart" && name = }', CART),
        ('{resource.service.name="cart"&&name=}', CART),
        ('{ resource.service.name = "cart" && name =', CART),
        ('{ resource.service.name = "cart"', CART),
        ('{ resource.service.name = "cart" && name = "GET', CART),
        ('{ resource.service.name = "cart" && name = "GET }', CART),
        ('{ resource.service.name = "cart" && name =~ `GET', CART),
        ('{ name != && resource.service.name = "cart" }', CART),
        ('{ resource.service.name = "cart" && span."a b" >= } | count() > 2', CART),
        ('{ resource.service.name = "cart" && span.http }', CART),
        ('{ resource.service.name = "cart" && !span.flag }', CART),
        ('{ resource.service.name = "cart" } | rate() by(name)', CART),
        ("{ kind = client && (name = ) }", "{ kind = client }"),
        ('{ name =~ "POST.*" && kind = }', '{ name =~ "POST.*" }'),
        ("{ !(.a = 1) && kind = client }", "{ (!(.a = 1)) && (kind = client) }"),
        ("{ .a != nil }", "{ .a != nil }"),
        ('{ event:name = "x" && link:spanID !~ ', '{ event:name = "x" }'),
    ],
)
def test_what_is_complete_counts(text: str, expected: str) -> None:
    assert understood(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "{}",
        "{ true }",
        "{ name = }",
        "{ name",
        '{ resource.service.name = "cart" || name = }',
        '{ resource.service.name = "cart" || span.http }',
        '{ resource.service.name = "cart" && ',
        '{ (resource.service.name = "cart" && name = ',
        "{ kind = client } | count() > ",
        "{ kind = client && name = | count() }",
        "{ kind = client } >> { kind = server }",
        "{ kind = client } >> { name = }",
        "{ kind = client } && { kind = server }",
        "count() > 2",
        "({ kind = client } | rate()) / ({} | rate())",
        "{ name = nil }",
        "{ name = 5 }",
        '{ span:nothing = "x" && kind = client }',
        "{ name = 'x' }",
        "this is no TraceQL",
        "\0",
        "{ name = " + "(" * 500,
        "{ " + "!" * 5000 + ".a }",
        '{ .a = "' + "x" * (128 * 1024) + '" }',
        "{" * 1000,
    ],
)
def test_what_cannot_be_understood_is_no_filter(text: str) -> None:
    assert understood(text) is None


def test_no_half_of_a_query_is_an_error() -> None:
    queries = (GOLDEN / "queries.txt").read_text().splitlines()
    understood_halves = 0
    for query in queries:
        for length in range(0, len(query), 11):
            found = parse_tag_filter(query[:length])
            if found is not None:
                understood_halves += 1
                assert parse(render(found.filter)).body
    assert understood_halves > 50


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("{ .a = 1 }", 1),
        ("{ .a = 1 && .b = 2 }", 1),
        ("{ .a = 1 || .b = 2 || .c = 3 }", 3),
        ("{ (.a = 1 || .b = 2) && (.c = 3 || .d = 4 || .e = 5) }", 6),
        ("{ !(.a = 1 || .b = 2) && .c = 3 }", 2),
        ("{ " + " && ".join(["(.a = 1 || .b = 2)"] * 100) + " }", 1 << 32),
    ],
)
def test_alternatives_are_counted(text: str, groups: int) -> None:
    assert filter_of(text).groups == groups


def test_alternatives_that_demand_a_value_of_the_tag_are_parted_from_the_rest() -> None:
    tag = Attribute(Scope.NONE, "a")
    found = filter_of('{ .a = "x" || (kind = client && (5 = .a || .b = 2)) || span.a = "y" }')

    values, rest = found.demanded(tag)

    assert values == (String("x"), Int(5))
    assert rest is not None
    assert render(rest) == '{ ((kind = client) && (.b = 2)) || (span.a = "y") }'


def test_a_filter_that_demands_values_in_all_alternatives_has_no_rest() -> None:
    values, rest = filter_of('{ name = "a" || name = "b" || name = "a" }').demanded(Intrinsic.NAME)

    assert values == (String("a"), String("b"))
    assert rest is None


def test_a_filter_that_demands_nothing_stays_as_it_is() -> None:
    found = filter_of('{ name != "a" && .a > 1 && !(.b = 2) }')

    for tag in (Intrinsic.NAME, Attribute(Scope.NONE, "a"), Attribute(Scope.NONE, "b")):
        assert found.demanded(tag) == ((), found.filter)


def test_too_many_alternatives_are_not_parted() -> None:
    found = filter_of("{ " + " && ".join(["(.a = 1 || .b = 2)"] * 100) + " }")

    assert found.demanded(Attribute(Scope.NONE, "a")) == ((), found.filter)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (".a", Attribute(Scope.NONE, "a")),
        ('span."a b"', Attribute(Scope.SPAN, "a b")),
        ("span.http/route", Attribute(Scope.SPAN, "http/route")),
        ("parent.resource.x", Attribute(Scope.RESOURCE, "x", of_parent=True)),
        ("span:name", Intrinsic.NAME),
        (" rootName ", Intrinsic.ROOT_NAME),
    ],
)
def test_a_name_by_itself_is_read(text: str, field: Attribute | Intrinsic) -> None:
    assert parse_field(text) == field


@pytest.mark.parametrize(
    "text",
    ["", "foo", "a.b", "span.", "span.a b", ".a = 1", ".a .b", "span:foo", "{ .a }", '."a', "5"],
)
def test_anything_else_is_no_name(text: str) -> None:
    with pytest.raises(ParseError, match="line 1, col"):
        parse_field(text)

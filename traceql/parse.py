"""Text -> syntax tree. Every error of the parser generator becomes a ``ParseError`` with a place.

The tree is built while the parser runs, so that nesting costs heap and not stack. Cost: linear in
the text, about 15 µs a token; the tables of the grammar are built at the first use (about 0.1 s).

Source: TraceQL reference, "lexical rules", "grammar", "limits".
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from lark import Lark, Token, UnexpectedInput
from lark.exceptions import LarkError

from traceql import assemble
from traceql.assemble import Sort, Term
from traceql.attributes import SCOPED_INTRINSICS, UNSCOPED_INTRINSICS
from traceql.errors import ParseError, SourceRange, did_you_mean
from traceql.fold import Part, check_depth, fold_field, token_range
from traceql.literals import parse_attribute, parse_number, parse_scoped_intrinsic, parse_string
from traceql.nodes import (
    COMPARE_TOP_N,
    Aggregate,
    AggregateFunction,
    Coalesce,
    Compare,
    FieldExpression,
    Filter,
    GroupBy,
    Hint,
    Literal,
    MetricsAggregate,
    MetricsFunction,
    Query,
    Reference,
    Select,
    TopK,
)
from traceql.unexpected import explain_unexpected
from traceql.values import Bool, Duration, Float, Int, Number, String, Value, word_value

QUERY_BYTES_MAX = 128 * 1024
"""Longest text that is read, in bytes of UTF-8."""


def parse(text: str) -> Query:
    """Read a query.

    Raises:
        ParseError: the text is not TraceQL, is longer than 128 KiB, or nests too deep.
    """
    _check_text(text)
    try:
        query = _parser().parse(text)
    except ParseError as error:
        raise error.locate(text) from error
    except UnexpectedInput as error:
        raise explain_unexpected(text, error) from error
    except LarkError as error:
        raise ParseError(str(error), text=text, at=SourceRange(0, len(text))) from error
    assert isinstance(query, Query)
    return query


def _check_text(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        at = SourceRange(error.start, error.end)
        raise ParseError("the text is not valid UTF-8", text=text, at=at) from error
    if size > QUERY_BYTES_MAX:
        raise ParseError(f"the query has {size} bytes, more than the limit of {QUERY_BYTES_MAX}")
    nul = text.find("\0")
    if nul >= 0:
        raise ParseError("unexpected NUL byte", text=text, at=SourceRange(nul, nul + 1))


@functools.cache
def _parser() -> Lark:
    grammar = Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    return Lark(
        grammar,
        start="query",
        parser="lalr",
        lexer="basic",
        transformer=_Builder(),
        maybe_placeholders=False,
    )


class _Builder:
    """One method per grammar rule, run at its reduction; children come without punctuation."""

    # --- names and literals ---

    def reference(self, children: list[Token]) -> Part:
        (token,) = children
        at = token_range(token)
        if token.type == "ATTRIBUTE":
            return Part(Reference(parse_attribute(token.value), at=at), 1, at)
        if token.type == "INTRINSIC":
            return Part(Reference(UNSCOPED_INTRINSICS[token.value], at=at), 1, at)
        try:
            intrinsic = parse_scoped_intrinsic(token.value)
        except ValueError as error:
            raise _unknown_intrinsic(token, error) from error
        return Part(Reference(intrinsic, at=at), 1, at)

    def literal(self, children: list[Token]) -> Part:
        (token,) = children
        at = token_range(token)
        return Part(Literal(_value(token), at=at), 1, at)

    def number(self, children: list[Token]) -> Term:
        (token,) = children
        value = _value(token)
        assert isinstance(value, Number)
        return assemble.number_term(value, token_range(token))

    # --- field expressions ---

    def field(self, children: list[Part | Token]) -> Part:
        return fold_field(children)

    def field_parentheses(self, children: list[Any]) -> Part:
        part: Part = children[1]
        part.close()
        part.at = _between(children[0], children[-1])
        return part

    # --- spansets and pipelines ---

    def filter(self, children: list[Any]) -> Term:
        at = _between(children[0], children[-1])
        if len(children) == 2:
            return Term(Sort.SPANSET, Filter(Literal(Bool(True), at=at), at=at), 2, at)
        part: Part = children[1]
        check_depth(part.depth + 1, at)
        return Term(Sort.SPANSET, Filter(part.close(), at=at), part.depth + 1, at)

    def expression(self, children: list[Term | Token]) -> Term:
        return assemble.fold_expression(children)

    def parentheses(self, children: list[Any]) -> Term:
        left, term, right = children
        if term.sort is Sort.STAGE:
            term = assemble.assemble_pipeline([term])
        return Term(term.sort, term.content, term.depth, _between(left, right))

    def pipeline(self, children: list[Term]) -> Term:
        return assemble.assemble_pipeline(children)

    def group(self, children: list[Any]) -> Term:
        at = _between(children[0], children[-1])
        part: Part = children[2]
        return Term(Sort.STAGE, GroupBy(part.close(), at=at), part.depth + 1, at)

    def coalesce(self, children: list[Token]) -> Term:
        at = _between(children[0], children[-1])
        return Term(Sort.STAGE, Coalesce(at=at), 1, at)

    def select(self, children: list[Any]) -> Term:
        at = _between(children[0], children[-1])
        return Term(Sort.STAGE, Select(_references(children[2:-1]), at=at), 2, at)

    def aggregate(self, children: list[Any]) -> Term:
        at = _between(children[0], children[-1])
        function = AggregateFunction(children[0].value)
        if function is AggregateFunction.COUNT:
            return Term(Sort.SCALAR, Aggregate(function, at=at), 1, at)
        part: Part = children[2]
        return Term(Sort.SCALAR, Aggregate(function, part.close(), at=at), part.depth + 1, at)

    # --- metrics ---

    def by_list(self, children: list[Any]) -> tuple[Reference, ...]:
        return _references(children[2:-1])

    def metric_plain(self, children: list[Any]) -> Term:
        return self._metric(children, measured=None, quantiles=())

    def metric_measure(self, children: list[Any]) -> Term:
        return self._metric(children, measured=_reference(children[2]), quantiles=())

    def metric_quantile(self, children: list[Any]) -> Term:
        numbers = [child for child in children[3:] if isinstance(child, Term)]
        quantiles = tuple(_quantile(number) for number in numbers)
        return self._metric(children, measured=_reference(children[2]), quantiles=quantiles)

    def metric_compare(self, children: list[Any]) -> Term:
        at = _between(children[0], children[-1])
        selection: Term = children[2]
        assert isinstance(selection.content, Filter)
        numbers = [_integer(child) for child in children[3:-1]]
        top_n, start_ns, end_ns = numbers + [COMPARE_TOP_N, 0, 0][len(numbers) :]
        compare = Compare(selection.content, top_n, start_ns, end_ns, at=at)
        return assemble.function_term(compare, selection.depth + 1)

    def top(self, children: list[Any]) -> Term:
        at = _between(children[0], children[-1])
        smallest = children[0].value == "bottomk"
        return assemble.second_term(TopK(_integer(children[2]), smallest, at=at))

    def _metric(
        self, children: list[Any], *, measured: Reference | None, quantiles: tuple[float, ...]
    ) -> Term:
        by: tuple[Reference, ...] = children[-1] if isinstance(children[-1], tuple) else ()
        name: Token = children[0]
        end = by[-1].at.end if by else token_range(children[-1]).end
        metric = MetricsAggregate(
            MetricsFunction(name.value),
            measured,
            by,
            quantiles,
            at=SourceRange(token_range(name).start, end),
        )
        return assemble.function_term(metric, 2)

    # --- the whole ---

    def hint(self, children: list[Any]) -> Hint:
        name, _, part = children
        assert isinstance(part.node, Literal)
        at = SourceRange(token_range(name).start, part.at.end)
        return Hint(name.value, part.node.value, at=at)

    def hints(self, children: list[Any]) -> tuple[Hint, ...]:
        return tuple(children[2:-1])

    def query(self, children: list[Any]) -> Query:
        body = assemble.close_query(children[0])
        hints: tuple[Hint, ...] = children[-1] if len(children) > 1 else ()
        return Query(body, hints, at=children[0].at)


def _unknown_intrinsic(token: Token, error: ValueError) -> ParseError:
    """Name the nearest intrinsic of a misspelt one."""
    return ParseError(
        str(error), at=token_range(token), hint=did_you_mean(token.value, SCOPED_INTRINSICS)
    )


def _value(token: Token) -> Value:
    try:
        if token.type == "STRING":
            return String(parse_string(token.value))
        if token.type == "NUMBER":
            return parse_number(token.value)
    except ValueError as error:
        raise ParseError(str(error), at=token_range(token)) from error
    value = word_value(token.value)
    assert value is not None
    return value


def _between(left: Token, right: Token) -> SourceRange:
    return SourceRange(token_range(left).start, token_range(right).end)


def _reference(part: Part) -> Reference:
    node: FieldExpression = part.node
    assert isinstance(node, Reference)
    return node


def _references(parts: list[Part]) -> tuple[Reference, ...]:
    return tuple(_reference(part) for part in parts)


def _integer(term: Term) -> int:
    assert isinstance(term.content, Literal)
    value = term.content.value
    if not isinstance(value, Int):
        raise ParseError("expected an integer", at=term.at)
    return value.value


def _quantile(term: Term) -> float:
    assert isinstance(term.content, Literal)
    value = term.content.value
    if isinstance(value, Duration):
        raise ParseError("expected an integer or float", at=term.at)
    assert isinstance(value, Int | Float)
    return float(value.value)

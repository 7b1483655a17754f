"""Text -> syntax tree. Every error of the parser generator becomes a ``ParseError`` with a place.

The tree is built while the parser runs, so that nesting costs heap and not stack. Cost: linear in
the text, about 15 µs a token; the tables of the grammar are built at the first use (about 0.1 s).

Source: TraceQL reference, "lexical rules", "grammar", "limits".
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from lark import Lark, Token, UnexpectedInput
from lark.exceptions import LarkError

from traceql import assemble
from traceql.assemble import Sort, Term
from traceql.attributes import SCOPED_INTRINSICS, UNSCOPED_INTRINSICS, Field
from traceql.errors import ParseError, SourceRange, did_you_mean
from traceql.fold import Part, check_depth, count_parentheses, fold_field
from traceql.nodes import (
    COMPARE_TOP_N,
    Aggregate,
    AggregateFunction,
    Coalesce,
    Compare,
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
from traceql.operands import NAMES, literal_value, number_value, reference_node, token_range
from traceql.unexpected import explain_unexpected
from traceql.values import Bool, Duration, Int

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
        raise explain_unexpected(text, error, _accepted_behind) from error
    except LarkError as error:
        raise ParseError(str(error), text=text, at=SourceRange(0, len(text))) from error
    assert isinstance(query, Query)
    return query


def scan(text: str) -> Iterator[Token]:
    """Cut a text into tokens, white space and comments left out.

    Raises:
        LarkError: where no token begins, after the tokens in front of it.
    """
    tokens: Iterator[Token] = _parser().lex(text)
    return tokens


def parse_field(text: str) -> Field:
    """Read the name of one attribute or intrinsic, as ``span."a b"`` or ``event:name``.

    Raises:
        ParseError: the text is something else.
    """
    try:
        tokens = list(scan(text))
    except UnexpectedInput as error:
        raise explain_unexpected(text, error, lambda _: NAMES) from error
    if len(tokens) == 1 and tokens[0].type in NAMES:
        try:
            return reference_node(tokens[0]).field
        except ParseError as error:
            raise error.locate(text) from error
    at = SourceRange(0, len(text))
    hint = did_you_mean(text, [*UNSCOPED_INTRINSICS, *SCOPED_INTRINSICS])
    raise ParseError("expected the name of an attribute or intrinsic", text=text, at=at, hint=hint)


def _accepted_behind(text: str) -> AbstractSet[str]:
    """Tell which tokens can follow the begin of a query; none if it is wrong itself."""
    parser = _parser().parse_interactive(text)
    try:
        parser.exhaust_lexer()
    except (ParseError, LarkError):
        return frozenset()
    return frozenset(parser.accepts())


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

    # --- names ---

    def reference(self, children: list[Token]) -> Reference:
        return reference_node(children[0])

    # --- field expressions ---

    def field(self, children: list[Part | Token]) -> Part:
        return fold_field(children)

    def field_parentheses(self, children: list[Any]) -> Part:
        part: Part = children[1]
        part.close()
        part.at = _between(children[0], children[-1])
        part.parentheses = count_parentheses(part.parentheses, part.at)
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
        at = _between(left, right)
        around = count_parentheses(term.parentheses, at)
        return Term(term.sort, term.content, term.depth, at, around)

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
        return Term(Sort.STAGE, Select(tuple(children[2:-1]), at=at), 2, at)

    def aggregate(self, children: list[Any]) -> Term:
        at = _between(children[0], children[-1])
        function = AggregateFunction(children[0].value)
        if function is AggregateFunction.COUNT:
            return Term(Sort.SCALAR, Aggregate(function, at=at), 1, at)
        part: Part = children[2]
        return Term(Sort.SCALAR, Aggregate(function, part.close(), at=at), part.depth + 1, at)

    # --- metrics ---

    def by_list(self, children: list[Any]) -> tuple[Reference, ...]:
        return tuple(children[2:-1])

    def metric_plain(self, children: list[Any]) -> Term:
        return self._metric(children, measured=None, quantiles=())

    def metric_measure(self, children: list[Any]) -> Term:
        return self._metric(children, measured=children[2], quantiles=())

    def metric_quantile(self, children: list[Any]) -> Term:
        quantiles = tuple(
            _quantile(child) for child in children[3:] if getattr(child, "type", "") == "NUMBER"
        )
        return self._metric(children, measured=children[2], quantiles=quantiles)

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
        name, equals, literal = children
        if equals.value != "=":
            raise ParseError(f"unexpected {equals}, expected =", at=token_range(equals))
        return Hint(name.value, literal_value(literal), at=_between(name, literal))

    def hints(self, children: list[Any]) -> tuple[Hint, ...]:
        return tuple(children[2:-1])

    def query(self, children: list[Any]) -> Query:
        body = assemble.close_query(children[0])
        hints: tuple[Hint, ...] = children[-1] if len(children) > 1 else ()
        return Query(body, hints, at=children[0].at)


def _between(left: Token, right: Token) -> SourceRange:
    return SourceRange(token_range(left).start, token_range(right).end)


def _integer(token: Token) -> int:
    value = number_value(token)
    if not isinstance(value, Int):
        raise ParseError("expected an integer", at=token_range(token))
    return value.value


def _quantile(token: Token) -> float:
    value = number_value(token)
    if isinstance(value, Duration):
        raise ParseError("expected an integer or float", at=token_range(token))
    return float(value.value)

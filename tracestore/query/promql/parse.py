"""PromQL text -> nodes, or a refusal that names what is wrong, or what is not answered here.

The grammar and the check of types are those of the package ``promql-parser`` (GreptimeDB's, in
Rust). It ends the process on deep nesting and panics on some numbers, so nesting is bounded before
it sees a text, and a panic is taken for what it is: a text that cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import promql_parser as rust

from tracestore.errors import InvalidRequestError
from tracestore.query.promql.functions import AGGREGATIONS, FUNCTIONS, RANGE_FUNCTIONS
from tracestore.query.promql.nodes import (
    Aggregation,
    Binary,
    Call,
    Cardinality,
    Edge,
    Expression,
    Matching,
    Negation,
    Number,
    Selector,
    Text,
)
from tracestore.query.span_series import Matcher, MatchOperator

OPERATORS_MAX: Final = 250
"""Parentheses and operators of a text. The parser recurses over them, about 2 KiB of stack each,
and a thread may have 1 MiB."""

_QUOTED = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`[^`]*`|#[^\n\r]*")
_NESTING = re.compile(r"[-+*/%^(\[]|[=!<>]=?|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
_BRACES = re.compile(r"\{[^{}]*\}")
_BEFORE_1970 = re.compile(r"@\s*-")

_MATCH = {
    "MatchOp.Equal": MatchOperator.EQUAL,
    "MatchOp.NotEqual": MatchOperator.NOT_EQUAL,
    "MatchOp.Re": MatchOperator.MATCH,
    "MatchOp.NotRe": MatchOperator.NOT_MATCH,
}
_CARDINALITY = {
    "VectorMatchCardinality.OneToOne": Cardinality.ONE_TO_ONE,
    "VectorMatchCardinality.ManyToOne": Cardinality.MANY_TO_ONE,
    "VectorMatchCardinality.OneToMany": Cardinality.ONE_TO_MANY,
    "VectorMatchCardinality.ManyToMany": Cardinality.MANY_TO_MANY,
}
_MILLISECOND = timedelta(milliseconds=1)


def parse(text: str) -> Expression:
    """Read a query. Raises: InvalidRequestError."""
    return _convert(_parse(text))


def parse_selector(text: str) -> Selector:
    """Read what ``match[]`` holds: a selector without range and times.

    Raises: InvalidRequestError.
    """
    found = parse(text)
    if not isinstance(found, Selector) or found != Selector(matchers=found.matchers):
        raise InvalidRequestError(f"parse error: expected a selector of series, got {text!r}")
    return found


def pretty(text: str) -> str:
    """Write a query as Prometheus formats it. Raises: InvalidRequestError."""
    written: str = _parse(text).prettify()
    return written


def unsupported(what: str) -> InvalidRequestError:
    """Refuse what Prometheus has and is not answered from spans."""
    return InvalidRequestError(f"not supported by tracestore: {what}")


def _parse(text: str) -> Any:
    bare = _QUOTED.sub('""', text)
    if len(_NESTING.findall(_BRACES.sub("{}", bare))) > OPERATORS_MAX:
        raise unsupported(f"more than {OPERATORS_MAX} parentheses and operators in a query")
    if _BEFORE_1970.search(bare):
        raise unsupported("@ with a time before 1970")
    try:
        return rust.parse(text)
    except ValueError as error:
        raise InvalidRequestError(f"parse error: {error}") from error
    except BaseException as error:  # a panic of the parser is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise InvalidRequestError(f"parse error: {error}") from error


def _convert(node: Any) -> Expression:
    if isinstance(node, rust.ParenExpr):
        return _convert(node.expr)
    if isinstance(node, rust.NumberLiteral):
        return Number(value=node.val)
    if isinstance(node, rust.StringLiteral):
        return Text(value=node.val)
    if isinstance(node, rust.UnaryExpr):
        return Negation(operand=_convert(node.expr))
    if isinstance(node, rust.VectorSelector):
        return _selector(node, 0)
    if isinstance(node, rust.MatrixSelector):
        return _selector(node.vector_selector, node.range // _MILLISECOND)
    if isinstance(node, rust.Call):
        return _call(node)
    if isinstance(node, rust.AggregateExpr):
        return _aggregation(node)
    if isinstance(node, rust.BinaryExpr):
        return _binary(node)
    if isinstance(node, rust.SubqueryExpr):
        raise unsupported("subqueries ([range:step])")
    raise unsupported(type(node).__name__)


def _selector(node: Any, range_ms: int) -> Selector:
    if node.matchers.or_matchers:
        raise unsupported("'or' between matchers")
    named = (
        [Matcher(label="__name__", op=MatchOperator.EQUAL, value=node.name)] if node.name else []
    )
    matchers = [
        Matcher(label=one.name, op=_MATCH[str(one.op)], value=one.value)
        for one in node.matchers.matchers
    ]
    return Selector(
        matchers=(*named, *matchers),
        offset_ms=(node.offset or timedelta(0)) // _MILLISECOND,
        at=_at(node.at),
        range_ms=range_ms,
    )


def _at(at: Any) -> int | Edge | None:
    if at is None:
        return None
    if str(at.type) == "AtModifierType.Start":
        return Edge.START
    if str(at.type) == "AtModifierType.End":
        return Edge.END
    try:
        found: float = at.at.timestamp()
        return round(found * 1000)
    except OverflowError as error:
        raise unsupported("@ with a time after the year 9999") from error


def _call(node: Any) -> Call:
    name = node.func.name
    if name not in FUNCTIONS and name not in RANGE_FUNCTIONS:
        raise unsupported(f"function {name}()")
    return Call(function=name, arguments=tuple(_convert(one) for one in node.args))


def _aggregation(node: Any) -> Aggregation:
    operator = str(node.op)
    if operator not in AGGREGATIONS:
        raise unsupported(f"aggregation {operator}()")
    modifier = node.modifier
    return Aggregation(
        operator=operator,
        operand=_convert(node.expr),
        parameter=None if node.param is None else _convert(node.param),
        grouping=frozenset(modifier.labels if modifier else ()),
        is_without=modifier is not None and str(modifier.type) == "AggModifierType.Without",
    )


def _binary(node: Any) -> Binary:
    modifier = node.modifier
    matching = Matching()
    if modifier is not None:
        _check_fill(modifier.fill_values)
        given = modifier.matching
        labels: Sequence[str] = given.labels if given else ()
        matching = Matching(
            cardinality=_CARDINALITY[str(modifier.card)],
            labels=frozenset(labels),
            is_on=given is not None and str(given.type) == "LabelModifierType.Include",
            included=tuple(modifier.group_labels or ()),
        )
    return Binary(
        operator=str(node.op),
        left=_convert(node.lhs),
        right=_convert(node.rhs),
        is_bool=modifier is not None and modifier.return_bool,
        matching=matching,
    )


def _check_fill(fill: Any) -> None:
    if fill is not None and (fill.lhs is not None or fill.rhs is not None):
        raise unsupported("fill modifiers of binary operators")

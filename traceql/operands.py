"""One token -> the value or name that it stands for; what is wrong with it gets its place here."""

from __future__ import annotations

from lark import Token

from traceql.attributes import SCOPED_INTRINSICS, UNSCOPED_INTRINSICS
from traceql.errors import ParseError, SourceRange, did_you_mean
from traceql.literals import parse_attribute, parse_number, parse_scoped_intrinsic, parse_string
from traceql.nodes import Literal, Reference
from traceql.values import Number, String, Value, word_value


def token_range(token: Token) -> SourceRange:
    """Get the characters of a token."""
    assert token.start_pos is not None
    assert token.end_pos is not None
    return SourceRange(token.start_pos, token.end_pos)


def operand_node(token: Token) -> Literal | Reference:
    """Get the leaf that a name or literal makes."""
    if token.type in NAMES:
        return reference_node(token)
    return Literal(literal_value(token), at=token_range(token))


def reference_node(token: Token) -> Reference:
    """Get what a name refers to.

    Raises:
        ParseError: there is no such intrinsic.
    """
    at = token_range(token)
    if token.type == "ATTRIBUTE":
        return Reference(parse_attribute(token.value), at=at)
    if token.type == "INTRINSIC":
        return Reference(UNSCOPED_INTRINSICS[token.value], at=at)
    try:
        return Reference(parse_scoped_intrinsic(token.value), at=at)
    except ValueError as error:
        hint = did_you_mean(token.value, SCOPED_INTRINSICS)
        raise ParseError(str(error), at=at, hint=hint) from error


def literal_value(token: Token) -> Value:
    """Get the value of a literal.

    Raises:
        ParseError: it has none: a bad escape, a number out of range, …
    """
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


def number_value(token: Token) -> Number:
    """Get the value of a number."""
    value = literal_value(token)
    assert isinstance(value, Number)
    return value


NAMES = frozenset({"ATTRIBUTE", "INTRINSIC", "SCOPED_INTRINSIC"})
"""Tokens that name an attribute or intrinsic."""

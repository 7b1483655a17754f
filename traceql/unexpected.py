"""Errors of the parser generator -> ``ParseError``: what was met, expected and perhaps meant.

Source: TraceQL reference, "on the wire".
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from lark import Token, UnexpectedInput, UnexpectedToken

from traceql.advice import advise
from traceql.errors import ParseError, SourceRange

_GROUPS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"STRING", "ATTRIBUTE"}), "a value"),
    (frozenset({"STRING", "NUMBER"}), "a literal"),
    (frozenset({"ATTRIBUTE", "INTRINSIC"}), "an attribute"),
    (frozenset({"LBRACE", "COALESCE"}), "a pipeline stage"),
    (frozenset({"LBRACE", "COUNT"}), "a spanset or aggregate"),
    (frozenset({"ADDITION", "LOGICAL"}), "an operator"),
    (frozenset({"NUMBER"}), "a number"),
    (frozenset({"IDENTIFIER"}), "a hint name"),
    (frozenset({"EQUALITY"}), "="),
    (frozenset({"LBRACE"}), "{"),
    (frozenset({"LPAR"}), "("),
    (frozenset({"RBRACE"}), "}"),
    (frozenset({"RPAR"}), ")"),
    (frozenset({"_PIPE"}), "|"),
    (frozenset({"_COMMA"}), ","),
    (frozenset({"BY"}), "by"),
    (frozenset({"WITH"}), "with"),
    (frozenset({"$END"}), "the end"),
)
_COVERED: dict[str, frozenset[str]] = {
    "a value": frozenset({"LPAR", "NUMBER", "INTRINSIC"}),
    "an attribute": frozenset({"INTRINSIC"}),
    "a pipeline stage": frozenset({"LPAR", "NUMBER", "BY", "LBRACE", "COUNT"}),
    "a spanset or aggregate": frozenset({"LPAR", "NUMBER", "LBRACE"}),
    "a literal": frozenset({"NUMBER"}),
    "an operator": frozenset({"EQUALITY"}),
}
"""Tokens that need no mention of their own once the group is mentioned."""


def explain_unexpected(
    text: str, error: UnexpectedInput, accepted_behind: Callable[[str], AbstractSet[str]]
) -> ParseError:
    """Turn an error of the lexer or parser into ours.

    Args:
        accepted_behind: tells which tokens can follow a begin of the text.
    """
    if isinstance(error, UnexpectedToken):
        return _unexpected_token(text, error)
    position = error.pos_in_stream or 0
    return _unexpected_character(text, position, accepted_behind)


def _unexpected_token(text: str, error: UnexpectedToken) -> ParseError:
    token = error.token
    accepted: AbstractSet[str] = error.accepts or frozenset(error.expected)
    expected = _expected(accepted)
    if token.type == "$END":
        at = SourceRange(len(text), len(text))
        message = f"unexpected end of query{_listed(expected)}"
        return ParseError(message, text=text, at=at, expected=expected)
    assert isinstance(token, Token)
    start = token.start_pos or 0
    at = SourceRange(start, start + len(token))
    shown = token if len(token) <= 40 else f"{token[:40]}…"
    message = f"unexpected {shown}{_listed(expected)}"
    hint = advise(text, token, at, accepted)
    return ParseError(message, text=text, at=at, hint=hint, expected=expected)


def _expected(accepted: AbstractSet[str]) -> tuple[str, ...]:
    names: list[str] = []
    covered: set[str] = set()
    for tokens, name in _GROUPS:
        if tokens <= accepted and not tokens <= covered:
            names.append(name)
            covered |= tokens | _COVERED.get(name, frozenset())
    return tuple(names)


def _listed(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    if len(names) == 1:
        return f", expected {names[0]}"
    return f", expected {', '.join(names[:-1])} or {names[-1]}"


def _unexpected_character(
    text: str, position: int, accepted_behind: Callable[[str], AbstractSet[str]]
) -> ParseError:
    char = text[position]
    at = SourceRange(position, position + 1)
    if char in '"`':
        end = len(text) if char == "`" else _line_end(text, position)
        return ParseError("unterminated string", text=text, at=SourceRange(position, end))
    hints = {
        "'": "strings are written in double quotes or backticks",
        ".": "a name must follow the dot directly",
        "&": "did you mean &&?",
    }
    expected = _expected(accepted_behind(text[:position]))
    message = f"unexpected character {char!r}{_listed(expected)}"
    return ParseError(message, text=text, at=at, hint=hints.get(char, ""), expected=expected)


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end

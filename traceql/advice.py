"""What was probably meant where a token cannot stand: the nearest word, or how it is written here.

Source: TraceQL reference, "lexical rules"; mistakes of people who know other languages.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

from lark import Token

from traceql.attributes import SCOPED_INTRINSICS, UNSCOPED_INTRINSICS, Scope
from traceql.errors import SourceRange, did_you_mean
from traceql.nodes import AggregateFunction, MetricsFunction
from traceql.values import LITERAL_WORDS

_SCOPES = tuple(scope.value for scope in Scope if scope is not Scope.NONE)
_SCOPE_WORDS = (*_SCOPES, "parent")
_COLON_SCOPES = tuple(dict.fromkeys(name.partition(":")[0] for name in SCOPED_INTRINSICS))
_FIELD_WORDS = (*UNSCOPED_INTRINSICS, *LITERAL_WORDS, "nil")
_STAGE_WORDS = (
    *(function.value for function in AggregateFunction),
    *(function.value for function in MetricsFunction),
    "by",
    "coalesce",
    "select",
    "compare",
    "topk",
    "bottomk",
    "with",
)
_ELSEWHERE = {"and": "&&", "or": "||", "not": "!", "null": "nil", "none": "nil", "<>": "!="}
"""Words of other languages."""
_WORD = re.compile(r"\w+")
_UNITS = re.compile(r"(ns|us|µs|ms|[smhdwy])|(?:(nano|micro|milli)|s|m|h|d|w|y)[a-z]+")
_SMALL_UNITS = {"nano": "ns", "micro": "us", "milli": "ms"}
_NUMBER_BEFORE = re.compile(r"(?<![\w.])([0-9.]+)[ \t\r\n]+\Z")
_SHOWN_CHARS_MAX = 40


def advise(text: str, token: Token, at: SourceRange, accepted: AbstractSet[str]) -> str:
    """Say what may have been meant by a token that the grammar refuses.

    Args:
        accepted: names of the tokens that could stand there.

    Returns: advice, or an empty text.
    """
    if text[at.end - 1 : at.end + 1] == "/*" or text[at.start - 1 : at.end] == "/*":
        return "a comment ends with */"
    if token == "=" and text[at.start - 1 : at.start] == "=":
        return "equality is a single ="
    if token == ">" and text[at.start - 1 : at.start] == "<":
        return "did you mean !=?"
    if token == "|" and "LOGICAL" in accepted:
        return "did you mean ||?"
    if token.type == "ATTRIBUTE":
        return _advise_attribute(text, at, accepted)
    return _advise_word(text, token, at, accepted) if _WORD.fullmatch(token) else ""


def _advise_attribute(text: str, at: SourceRange, accepted: AbstractSet[str]) -> str:
    """Advice for ``spn.foo``, where ``spn`` is no scope, and for ``span.foo`` out of place."""
    words = _WORD.findall(text[max(0, at.start - 64) : at.start])
    is_adjacent = at.start > 0 and text[at.start - 1].isalnum()
    if text[at.start] == "." and is_adjacent and words:
        return did_you_mean(words[-1], _SCOPE_WORDS)
    return "a filter stands in braces: { … }" if "LBRACE" in accepted else ""


def _advise_word(text: str, token: Token, at: SourceRange, accepted: AbstractSet[str]) -> str:
    shown = token[:_SHOWN_CHARS_MAX]
    behind = text[at.end : at.end + 1]
    if token in _SCOPE_WORDS or (behind == ":" and token in _COLON_SCOPES):
        return _advise_scope(text, token, at)
    if behind == ":":
        return did_you_mean(token, _COLON_SCOPES)
    is_field = "INTRINSIC" in accepted
    if behind == "." and not (is_field and token in _FIELD_WORDS):
        return did_you_mean(token, _SCOPE_WORDS) or _dotted(shown)
    if meant := _ELSEWHERE.get(token.lower(), ""):
        return f"did you mean {meant}?"
    if is_field:
        return did_you_mean(token, _FIELD_WORDS) or _dotted(shown)
    number = _NUMBER_BEFORE.search(text, max(0, at.start - 64), at.start)
    unit = _UNITS.fullmatch(token)
    if number is not None and unit is not None:
        short = unit[1] or _SMALL_UNITS.get(unit[2], token[0])
        return f"a duration has no space, as in {number[1]}{short}"
    is_stage = "LBRACE" in accepted
    known = [word for word in _STAGE_WORDS if is_stage or word.upper() in accepted]
    return "" if token in known else did_you_mean(token, known)


def _advise_scope(text: str, token: Token, at: SourceRange) -> str:
    if text.startswith('."', at.end):
        return 'a quoted name ends with a " and has no escapes but \\" and \\\\'
    directly = f"write {token}. directly followed by a name"
    return f"{directly}, or {token}: by an intrinsic" if token in _COLON_SCOPES else directly


def _dotted(word: str) -> str:
    return f"an attribute begins with a dot or a scope: .{word}"

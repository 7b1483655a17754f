"""What can be wrong with a query, and where: one exception class per outcome, with a caret line.

The outcomes are those of the language reference: the text cannot be read (``ParseError``), the
query can never make sense (``CheckError``), or the query makes sense but is not answered here
(``UnsupportedError``). A caller reports all three as a mistake of the asker.

Source: TraceQL reference, "static validation", "on the wire".
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

_WORD_CHARS_MAX = 64
"""A longer word is no misspelling of anything; comparing it would only cost time."""

_LINE_CHARS_MAX = 160
"""How much of the offending line ``explain`` shows."""


class SourceRange(NamedTuple):
    """Characters ``start`` up to, not including, ``end`` of the query text."""

    start: int
    end: int


NOWHERE = SourceRange(-1, -1)
"""The range of a node that was made, not parsed."""


class QueryError(Exception):
    """A query that has no answer; the asker should change it.

    Attributes:
        message: what is wrong, lower case, without position.
        position: offset of the first offending character, -1 if there is none.
        line, column: 1-based, just behind the offending text; 0 if there is no position.
        expected: what could have stood there instead, in words; the message names it, too.
        hint: advice, as the nearest word where one was misspelt.
    """

    def __init__(
        self,
        message: str,
        *,
        text: str = "",
        at: SourceRange = NOWHERE,
        hint: str = "",
        expected: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.expected = expected
        self.text = text
        self.at = at
        self.position = at.start
        self.line, self.column = _line_and_column(text, at.end) if at.start >= 0 else (0, 0)

    def locate(self, text: str) -> QueryError:
        """Make the same error with line and column in ``text``; an error that has them stays."""
        if self.text or self.at.start < 0:
            return self
        located = type(self)(self.message, text=text, at=self.at, hint=self.hint)
        located.expected = self.expected
        return located

    def explain(self) -> str:
        """Draw the offending line, a caret below the offending text, and the advice."""
        advice = f"{self.message}; {self.hint}" if self.hint else self.message
        if not self.text or self.at.start < 0:
            return advice
        begin = self.text.rfind("\n", 0, self.at.start) + 1
        end = self.text.find("\n", self.at.start)
        line = self.text[begin : end if end >= 0 else len(self.text)]
        offset = self.at.start - begin
        cut = max(0, offset - _LINE_CHARS_MAX // 2)
        shown = line[cut : cut + _LINE_CHARS_MAX].replace("\t", " ").replace("\r", " ")
        width = max(1, min(self.at.end - self.at.start, len(shown) - (offset - cut)))
        return f"{shown}\n{' ' * (offset - cut)}{'^' * width} {advice}"


class ParseError(QueryError):
    """The text is not TraceQL."""

    def __str__(self) -> str:
        text = f"syntax error: {self.message}"
        if self.hint:
            text += f"; {self.hint}"
        if self.line == 0:
            return f"parse error : {text}"
        return f"parse error at line {self.line}, col {self.column}: {text}"


class CheckError(QueryError):
    """The text is TraceQL, but no data could make sense of it."""


class UnsupportedError(QueryError):
    """The query makes sense, but is not answered; the message ends in "not yet supported"."""

    def __init__(
        self, message: str, *, text: str = "", at: SourceRange = NOWHERE, hint: str = ""
    ) -> None:
        suffix = " not yet supported"
        message = message if message.endswith(suffix) else message + suffix
        super().__init__(message, text=text, at=at, hint=hint)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Name the known word nearest to ``word`` as advice, or give an empty text.

    Cost: one edit distance per known word; words beyond 64 characters are not compared.
    """
    if not word or len(word) > _WORD_CHARS_MAX:
        return ""
    by_folded = {candidate.lower(): candidate for candidate in known}
    nearest = difflib.get_close_matches(word.lower(), by_folded, n=1, cutoff=0.6)
    return f"did you mean {by_folded[nearest[0]]}?" if nearest else ""


def _line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Count lines and characters up to ``offset``, both from 1."""
    begin = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - begin + 1

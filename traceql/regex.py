"""Regular expressions of the language: are they RE2, and what do they really ask for.

A pattern must match the whole value and ``.`` matches newlines too: ``^(?s:pattern)$``. Many are
an equality, a prefix or a list in disguise, and an engine that is told so saves the regex. Nothing
is matched here; the engine's own compiler has the last word on validity.

Source: RE2 syntax (github.com/google/re2/wiki/Syntax); TraceQL reference, "comparison".
"""

from __future__ import annotations

import enum
import functools
import itertools
from dataclasses import dataclass

from traceql.regex_syntax import Mark, Nested, Reader, Sequence, Words, simplify

_REQUIRED_MAX = 4
"""Of a place where one of more literals than this may stand, none is required."""


class Shape(enum.StrEnum):
    """What a pattern asks of a value."""

    EVERYTHING = "everything"
    """Any text, the empty one too."""
    NOT_EMPTY = "not empty"
    EQUALS = "equals"
    """Is one of the literals."""
    PREFIX = "prefix"
    """Begins with one of the literals."""
    SUFFIX = "suffix"
    CONTAINS = "contains"
    GENERAL = "general"
    """Nothing simpler than the regex itself; no literals."""


@dataclass(frozen=True, slots=True)
class RegexShape:
    """The shape of a pattern, with the literals that the shape speaks of, in pattern order."""

    shape: Shape
    literals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredLiterals:
    """What every text that a pattern matches has: of each list one literal, in its place."""

    prefixes: tuple[str, ...] = ()
    """One of them is the begin; none: nothing is known of the begin."""
    suffixes: tuple[str, ...] = ()
    inside: tuple[tuple[str, ...], ...] = ()


def check_regex(pattern: str) -> None:
    """Refuse a pattern that RE2 would not compile.

    Raises:
        ValueError: it is not RE2, with the reason: a look-around, a back-reference, …
    Cost: linear; nesting beyond 250 groups is refused.
    """
    Reader(pattern).read()


@functools.lru_cache(maxsize=1024)
def classify_regex(pattern: str) -> RegexShape:
    """Find the simplest question that has the same answer as the pattern.

    Raises:
        ValueError: as ``check_regex``.
    """
    reader = Reader(pattern)
    pieces = simplify([_without_edges(sequence) for sequence in reader.read()])
    if pieces is None or reader.has_flags:
        return RegexShape(Shape.GENERAL)
    return _shape_of(pieces)


@functools.lru_cache(maxsize=1024)
def required_literals(pattern: str) -> RequiredLiterals:
    """Find literals without which a text cannot match: cheaper to look for than the pattern.

    Raises:
        ValueError: as ``check_regex``.
    """
    reader = Reader(pattern)
    alternatives = reader.read()
    if reader.has_flags:
        return RequiredLiterals()
    required = [_required(_without_edges(sequence)) for sequence in alternatives]
    return required[0] if len(required) == 1 else _common(required)


def _required(sequence: Sequence) -> RequiredLiterals:
    runs = _runs(sequence)
    inside = [_literals(run) for run in runs[1:-1]]
    return RequiredLiterals(
        prefixes=_literals(runs[0]),
        suffixes=_literals(runs[-1]) if len(runs) > 1 else (),
        inside=tuple(filter(None, inside)),
    )


def _common(alternatives: list[RequiredLiterals]) -> RequiredLiterals:
    """Join what alternatives require: one of their most telling literals is somewhere."""
    found: list[str] = []
    for each in alternatives:
        choices = [each.prefixes, each.suffixes, *each.inside]
        choices = [words for words in choices if words]
        if not choices:
            return RequiredLiterals()
        found += max(choices, key=lambda words: min(map(len, words)))
    return RequiredLiterals(inside=(tuple(found),) if len(found) <= _REQUIRED_MAX else ())


def _runs(sequence: Sequence) -> list[list[Words]]:
    """Part a sequence at what is no text; between such pieces a run may be empty."""
    runs: list[list[Words]] = [[]]
    for piece in sequence:
        for part in piece.pieces if isinstance(piece, Nested) else (piece,):
            if isinstance(part, Words):
                runs[-1].append(part)
            else:
                runs.append([])
    return runs


def _literals(run: list[Words]) -> tuple[str, ...]:
    """Join a run of texts to the few that it may be; none if it may be many or empty."""
    found = [""]
    for is_text, pieces in itertools.groupby(run, lambda piece: len(piece.words) == 1):
        choices = [piece.words for piece in pieces]
        if is_text:
            choices = [("".join(words[0] for words in choices),)]
        for words in choices:
            found = [begin + word for begin in found for word in words]
            if len(found) > _REQUIRED_MAX:
                return ()
    return () if "" in found else tuple(dict.fromkeys(found))


def _without_edges(sequence: Sequence) -> Sequence:
    """Drop the anchors at both ends of the pattern: it is anchored anyway."""
    begin, end = 0, len(sequence)
    while begin < end and sequence[begin] is Mark.BEGIN:
        begin += 1
    while end > begin and sequence[end - 1] is Mark.END:
        end -= 1
    return sequence[begin:end]


def _shape_of(pieces: list[Words | Mark]) -> RegexShape:
    words = next((piece.words for piece in pieces if isinstance(piece, Words)), ("",))
    words = tuple(dict.fromkeys(words))
    pattern = tuple("words" if isinstance(piece, Words) else piece for piece in pieces)
    shapes: dict[tuple[object, ...], Shape] = {
        (): Shape.EQUALS,
        ("words",): Shape.EQUALS,
        (Mark.ANY,): Shape.EVERYTHING,
        (Mark.SOME,): Shape.NOT_EMPTY,
        ("words", Mark.ANY): Shape.PREFIX,
        (Mark.ANY, "words"): Shape.SUFFIX,
        (Mark.ANY, "words", Mark.ANY): Shape.CONTAINS,
    }
    shape = shapes.get(pattern, Shape.GENERAL)
    if shape in {Shape.GENERAL, Shape.EVERYTHING, Shape.NOT_EMPTY}:
        return RegexShape(shape)
    if shape is not Shape.EQUALS and "" in words:
        return RegexShape(Shape.EVERYTHING)
    return RegexShape(shape, words)

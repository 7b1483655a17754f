"""The syntax of RE2, read into pieces: texts, any text, and what only a regex can say.

A pattern becomes alternatives of sequences of pieces; what follows from them is said in ``regex``.

Source: RE2 syntax (github.com/google/re2/wiki/Syntax).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

_LITERALS_MAX = 1000
"""A list of more literals than this stays a regex."""
_LITERAL_CHARS_MAX = 100_000
"""So does one whose literals are longer in total."""
_NESTING_MAX = 250
_REPEAT_MAX = 1000
_CLASS_WORDS_MAX = 16
"""A class of more characters than this is no list of literals."""


class Mark(enum.Enum):
    """A piece that is no text."""

    ANY = "any text"
    SOME = "any text but the empty one"
    DOT = "one character"
    BEGIN = "the begin of the text"
    END = "the end of the text"
    OTHER = "something that only a regex can say"


@dataclass(frozen=True, slots=True)
class Words:
    """One of several texts."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Nested:
    """The inside of a group, simplified."""

    pieces: tuple[Words | Mark, ...]


Piece = Words | Mark | Nested
Sequence = list[Piece]

_CLASS_LETTERS = frozenset("dDsSwWC")
_EDGES = {"A": Mark.BEGIN, "z": Mark.END, "b": Mark.OTHER, "B": Mark.OTHER}
_ESCAPED_CHAR = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_GROUP_START = re.compile(r"\?(?:P?<(\w+)>|([imsU]*(?:-[imsU]+)?)([:)]))", re.ASCII)
_REPEAT = re.compile(r"\{([0-9]+)(,([0-9]*))?\}")
_UNICODE_CLASS = re.compile(r"[pP](?:\{\^?[A-Za-z_]+\}|[A-Z])")
_HEX = re.compile(r"x(?:\{([0-9a-fA-F]{1,8})\}|([0-9a-fA-F]{2}))")
_OCTAL = re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}")
_POSIX_CLASS = re.compile(r"\[:\^?(\w+):\]")
_POSIX_NAMES = re.compile(
    "alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit"
)


class Reader:
    """One pass over a pattern, with its own stack of open groups."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._index = 0
        self._open_groups: list[tuple[list[Sequence], bool]] = []
        self._alternatives: list[Sequence] = [[]]
        self._after_repeat = False
        self._names: set[str] = set()
        self.has_flags = False
        """Whether flags like ``(?i)`` change the meaning of what follows them."""

    def read(self) -> list[Sequence]:
        """Read the whole pattern as alternatives of sequences."""
        while self._index < len(self._pattern):
            self._step(self._pattern[self._index])
        if self._open_groups:
            raise ValueError("missing )")
        return self._alternatives

    def _step(self, char: str) -> None:
        match char:
            case "(":
                self._open_group()
            case ")":
                self._close_group()
            case "|":
                self._alternatives.append([])
                self._index += 1
            case "*" | "+" | "?":
                self._repeat(char, 1)
            case "{" if found := _REPEAT.match(self._pattern, self._index):
                _check_counts(found)
                self._repeat("{", len(found[0]))
            case "\\":
                self._escape()
            case "[":
                self._add(self._class())
            case _:
                marks = {".": Mark.DOT, "^": Mark.BEGIN, "$": Mark.END}
                self._index += 1
                self._add(marks.get(char) or Words((char,)))

    def _add(self, piece: Piece) -> None:
        self._alternatives[-1].append(piece)
        self._after_repeat = False

    def _open_group(self) -> None:
        self._index += 1
        keeps_meaning = True
        if self._pattern.startswith("?", self._index):
            start = _GROUP_START.match(self._pattern, self._index)
            if start is None or start[0] == "?)":
                shown = self._pattern[self._index - 1 : self._index + 3]
                raise ValueError(f"{shown} is not available in RE2")
            name, flags, ending = start.groups()
            self._index = start.end()
            if name is not None and name in self._names:
                raise ValueError(f"group name {name} occurs twice")
            self._names.add(name)
            keeps_meaning = name is not None or flags in {"", "s"}
            if ending == ")":
                self.has_flags |= not keeps_meaning
                return
        if len(self._open_groups) >= _NESTING_MAX:
            raise ValueError(f"more than {_NESTING_MAX} nested groups")
        self._open_groups.append((self._alternatives, keeps_meaning))
        self._alternatives = [[]]

    def _close_group(self) -> None:
        if not self._open_groups:
            raise ValueError("unexpected )")
        self._index += 1
        inside = self._alternatives
        self._alternatives, keeps_meaning = self._open_groups.pop()
        pieces = simplify(inside) if keeps_meaning else None
        self._add(Mark.OTHER if pieces is None else Nested(tuple(pieces)))

    def _repeat(self, operator: str, width: int) -> None:
        sequence = self._alternatives[-1]
        shown = self._pattern[self._index : self._index + width]
        if not sequence:
            raise ValueError(f"nothing to repeat before {shown}")
        if self._after_repeat:
            raise ValueError(f"{shown} repeats a repetition")
        self._index += width
        self._index += self._pattern.startswith("?", self._index)
        sequence[-1] = _repeated(sequence[-1], operator)
        self._after_repeat = True

    def _escape(self) -> None:
        pattern, start = self._pattern, self._index + 1
        char = pattern[start : start + 1]
        if char == "Q":
            end = pattern.find("\\E", start + 1)
            end = len(pattern) if end < 0 else end
            for quoted in pattern[start + 1 : end]:
                self._add(Words((quoted,)))
            self._index = end + 2
        elif char in _EDGES:
            self._index += 2
            self._add(_EDGES[char])
        else:
            literal, self._index = _read_escape(pattern, start)
            self._add(Mark.OTHER if literal is None else Words((literal,)))

    def _class(self) -> Piece:
        """Read a class; one of a few characters is a list of them."""
        pattern = self._pattern
        index = self._index + 1
        negated = pattern.startswith("^", index)
        index += negated
        members: list[str | None] = []
        while not members or not pattern.startswith("]", index):
            low, index = _read_member(pattern, index)
            if pattern.startswith("-", index) and not pattern.startswith("-]", index):
                high, index = _read_member(pattern, index + 1)
                if low is None or high is None or high < low:
                    raise ValueError("invalid range in a character class")
                members.extend(_between(low, high))
            else:
                members.append(low)
        self._index = index + 1
        words = tuple(member for member in members if member is not None)
        is_list = len(words) == len(members) <= _CLASS_WORDS_MAX and not negated
        return Words(words) if is_list else Mark.OTHER


def _between(low: str, high: str) -> list[str | None]:
    """List the characters of a range, None for one of many."""
    points = range(ord(low), ord(high) + 1)
    if len(points) > _CLASS_WORDS_MAX or any(0xD800 <= point <= 0xDFFF for point in points):
        return [None]
    return [chr(point) for point in points]


def _check_counts(repeat: re.Match[str]) -> None:
    if max(len(repeat[1]), len(repeat[3] or "")) <= len(str(_REPEAT_MAX)):
        low = int(repeat[1])
        high = int(repeat[3]) if repeat[3] else low
        if low <= high <= _REPEAT_MAX:
            return
    raise ValueError(f"invalid repeat {repeat[0][:20]}, at most {_REPEAT_MAX}")


def _repeated(piece: Piece, operator: str) -> Piece:
    if piece is Mark.DOT and operator in {"*", "+"}:
        return Mark.ANY if operator == "*" else Mark.SOME
    if isinstance(piece, Words) and operator == "?":
        return Words((*piece.words, ""))
    return Mark.OTHER


def _read_member(pattern: str, index: int) -> tuple[str | None, int]:
    """Read one member of a class: its character, None for a class in the class; the next index."""
    if index >= len(pattern):
        raise ValueError("missing ]")
    if posix := _POSIX_CLASS.match(pattern, index):
        if not _POSIX_NAMES.fullmatch(posix[1]):
            raise ValueError(f"unknown character class {posix[0]}")
        return None, posix.end()
    if pattern[index] == "\\":
        return _read_escape(pattern, index + 1)
    return pattern[index], index + 1


def _read_escape(pattern: str, start: int) -> tuple[str | None, int]:
    """Read what follows a backslash: its character, None for a class; the next index."""
    char = pattern[start : start + 1]
    if not char:
        raise ValueError("trailing backslash")
    if unicode_class := _UNICODE_CLASS.match(pattern, start):
        return None, unicode_class.end()
    if found := _HEX.match(pattern, start):
        return _character(int(found[1] or found[2], 16), found[0]), found.end()
    if found := _OCTAL.match(pattern, start):
        return _character(int(found[0], 8), found[0]), found.end()
    if char in _CLASS_LETTERS:
        return None, start + 1
    if char in _ESCAPED_CHAR:
        return _ESCAPED_CHAR[char], start + 1
    if char.isascii() and not char.isalnum():
        return char, start + 1
    reason = ", back-references are not available in RE2" if char.isdigit() else ""
    raise ValueError(f"invalid escape \\{char}{reason}")


def _character(point: int, shown: str) -> str | None:
    if point > 0x10FFFF:
        raise ValueError(f"\\{shown} is no character")
    return None if 0xD800 <= point <= 0xDFFF else chr(point)


# --- simplifying ---------------------------------------------------------------------------------


def simplify(alternatives: list[Sequence]) -> list[Words | Mark] | None:
    """Bring alternatives to a shortest sequence of words, ANY and SOME; None if they have none."""
    simple = [_simplify_sequence(sequence) for sequence in alternatives]
    if len(simple) == 1:
        return simple[0]
    words: list[str] = []
    for pieces in simple:
        if pieces is None or len(pieces) > 1 or (pieces and not isinstance(pieces[0], Words)):
            return None
        words += pieces[0].words if pieces and isinstance(pieces[0], Words) else ("",)
    return [Words(tuple(dict.fromkeys(words)))] if len(words) <= _LITERALS_MAX else None


def _simplify_sequence(sequence: Sequence) -> list[Words | Mark] | None:
    result: list[Words | Mark] = []
    texts: list[str] = []  # single texts in a row, joined at the end of the row

    def end_row() -> bool:
        if not texts:
            return True
        row = Words(("".join(texts),))
        texts.clear()
        return _append(result, row)

    for piece in sequence:
        for part in piece.pieces if isinstance(piece, Nested) else (piece,):
            if isinstance(part, Words) and len(part.words) == 1:
                texts.append(part.words[0])
            elif not end_row() or not _append(result, part):
                return None
    return result if end_row() else None


def _append(result: list[Words | Mark], part: Words | Mark) -> bool:
    """Join a piece to the last one; tell whether the sequence is still simple."""
    last = result[-1] if result else None
    if isinstance(part, Words):
        if isinstance(last, Words):
            if not _is_small_product(last.words, part.words):
                return False
            result[-1] = Words(tuple(a + b for a in last.words for b in part.words))
        elif part.words != ("",):
            result.append(part)
        return True
    if part not in {Mark.ANY, Mark.SOME} or (last is part is Mark.SOME):
        return False
    if last in {Mark.ANY, Mark.SOME}:
        result[-1] = Mark.SOME if Mark.SOME in {last, part} else Mark.ANY
    else:
        result.append(part)
    return True


def _is_small_product(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    chars = len(left) * sum(map(len, right)) + len(right) * sum(map(len, left))
    return len(left) * len(right) <= _LITERALS_MAX and chars <= _LITERAL_CHARS_MAX

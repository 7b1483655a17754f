"""Where commands print: colours and fitting on a terminal, plain and whole in a pipe.

Nothing that was sent by strangers reaches the terminal as it is: control characters are escaped.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from tracestore.model.words import printable

ELLIPSIS = "…"
FALLBACK_COLUMNS = 100
_GAP = "  "
_NARROWEST = 6
"""No column is cut below this."""


class Ink(StrEnum):
    """Colours, as SGR codes."""

    PLAIN = ""
    BOLD = "1"
    DIM = "2"
    ERROR = "1;31"
    NAME = "36"
    NUMBER = "33"


@dataclass(frozen=True, slots=True)
class Cell:
    """A text of a table."""

    text: str
    ink: Ink = Ink.PLAIN


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    right: bool = False
    """Numbers stand right."""
    shrinks: bool = False
    """Whether it is cut when the terminal is too narrow."""
    optional: bool = False
    """Whether it is left out when that is not enough."""


class Screen:
    """A stream to print to."""

    def __init__(self, stream: TextIO, *, colour: bool, columns: int | None) -> None:
        """Take a stream.

        Args:
            columns: width to fit in; None: as wide as it gets.
        """
        self._stream = stream
        self._colour = colour
        self._columns = columns
        self._encoding = stream.encoding or "utf-8"

    @classmethod
    def of(cls, stream: TextIO, *, colour: bool) -> Screen:
        """See whether a stream is a terminal, and how wide."""
        if not stream.isatty():
            return cls(stream, colour=False, columns=None)
        columns = shutil.get_terminal_size((FALLBACK_COLUMNS, 24)).columns
        return cls(stream, colour=colour, columns=columns)

    @property
    def is_terminal(self) -> bool:
        """Whether a person is looking."""
        return self._columns is not None

    def can_show(self, text: str) -> bool:
        """Tell whether the encoding has the characters."""
        try:
            text.encode(self._encoding)
        except UnicodeEncodeError:
            return False
        return True

    def write(self, text: str) -> None:
        """Print a line."""
        if not self.can_show(text):
            text = text.encode(self._encoding, "backslashreplace").decode(self._encoding)
        self._stream.write(f"{text}\n")

    def ink(self, text: str, ink: Ink) -> str:
        """Colour a text."""
        return f"\x1b[{ink}m{text}\x1b[0m" if self._colour and ink and text else text

    def line(self, *cells: Cell) -> None:
        """Print texts after one another."""
        self.write("".join(self.ink(printable(cell.text), cell.ink) for cell in cells))

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
        """Print a table under its titles."""
        titles = [Cell(column.title, Ink.BOLD) for column in columns]
        shown = [[Cell(printable(cell.text), cell.ink) for cell in row] for row in [titles, *rows]]
        kept = self._kept(columns, shown)
        columns = [columns[index] for index in kept]
        shown = [[row[index] for index in kept] for row in shown]
        widths = self._widths(columns, shown)
        for row in shown:
            parts = (
                self._cell(cell, column, width)
                for cell, column, width in zip(row, columns, widths, strict=True)
            )
            self.write(_GAP.join(parts).rstrip())

    def _kept(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[int]:
        """Choose the columns that fit when those that shrink are narrow: the last ones go first."""
        kept = list(range(len(columns)))
        if self._columns is None:
            return kept
        narrow = [
            min(width, _NARROWEST) if column.shrinks else width
            for width, column in zip(_full_widths(rows), columns, strict=True)
        ]
        for index in reversed(kept.copy()):
            if _table_width([narrow[i] for i in kept]) <= self._columns:
                break
            if columns[index].optional:
                kept.remove(index)
        return kept

    def _widths(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[int]:
        widths = _full_widths(rows)
        if self._columns is None:
            return widths
        excess = _table_width(widths) - self._columns
        while excess > 0:
            shrinking = [i for i, c in enumerate(columns) if c.shrinks and widths[i] > _NARROWEST]
            if not shrinking:
                break
            widest = max(shrinking, key=lambda index: widths[index])
            widths[widest] -= 1
            excess -= 1
        return widths

    def _cell(self, cell: Cell, column: Column, width: int) -> str:
        text = cell.text
        if len(text) > width:
            text = text[: width - 1] + (ELLIPSIS if self.can_show(ELLIPSIS) else "~")
        space = " " * (width - len(text))
        inked = self.ink(text, cell.ink)
        return space + inked if column.right else inked + space


def _full_widths(rows: Sequence[Sequence[Cell]]) -> list[int]:
    return [max(len(cell.text) for cell in column) for column in zip(*rows, strict=True)]


def _table_width(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)

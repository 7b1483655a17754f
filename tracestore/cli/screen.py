"""Where commands print: colours and fitting on a terminal, plain and whole in a pipe.

Nothing that was sent by strangers reaches the terminal as it is: control characters are escaped.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from tracestore.client.words import printable

ELLIPSIS = "…"
FALLBACK_COLUMNS = 100
_GAP = "  "
_NARROWEST = 8
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
        shown = [[Cell(printable(cell.text), cell.ink) for cell in row] for row in rows]
        widths = self._widths(columns, shown)
        for row in [[Cell(column.title, Ink.BOLD) for column in columns], *shown]:
            parts = (
                self._cell(cell, column, width)
                for cell, column, width in zip(row, columns, widths, strict=True)
            )
            self.write(_GAP.join(parts).rstrip())

    def _widths(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[int]:
        widths = [
            max([len(column.title), *(len(row[index].text) for row in rows)])
            for index, column in enumerate(columns)
        ]
        if self._columns is None:
            return widths
        excess = sum(widths) + len(_GAP) * (len(widths) - 1) - self._columns
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

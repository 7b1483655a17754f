"""The label sets of one processor: which there are, and when each was last touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tracestore.kernel import TextTable
from tracestore.services.generator.vocabulary import Numbers

OVERFLOW = 0
"""Place of the label set that stands for those beyond the limit."""


class Instrument(Protocol):
    """What has a place per label set."""

    def resize(self, size: int) -> None:
        """Make room for label sets."""

    def keep(self, places: npt.NDArray[np.int64]) -> None:
        """Go on with some of the label sets, in this order."""


class Entities:
    """Rows of numbers of texts, a column per label, each row once. The first is the overflow."""

    def __init__(self, labels: Sequence[str], instruments: Sequence[Instrument]) -> None:
        self.labels = tuple(labels)
        self._instruments = tuple(instruments)
        self._begin(np.empty((0, len(labels)), np.int32))
        self.serial = np.zeros(1, np.int64)
        """(E,) numbers that are never given twice, ascending."""
        self._next_serial = 1
        self._touched_s = np.zeros(1)

    def _begin(self, rows: Numbers) -> None:
        self._table = TextTable()
        nothing = np.full((1, len(self.labels) + 1), -1, np.int32)
        marked = np.zeros((len(rows), len(self.labels) + 1), np.int32)
        marked[:, 1:] = rows
        self._table.intern_rows(np.concatenate([nothing, marked]))

    def __len__(self) -> int:
        """Count the label sets, the overflow not among them."""
        return len(self._table) - 1

    @property
    def rows(self) -> Numbers:
        """(E, labels) numbers of texts; those of the overflow mean nothing."""
        return self._table.rows(len(self.labels) + 1)[:, 1:]

    def places(self, rows: Numbers, now_s: float, room: int | None) -> tuple[Numbers, int]:
        """Find the place of each row, new ones included, and touch them.

        Args:
            rows: (n, labels) numbers of texts.
            room: new label sets that there is room for; None: any number.

        Returns: (n,) places; how many rows there was no room for.
        """
        marked = np.zeros((len(rows), len(self.labels) + 1), np.int32)
        marked[:, 1:] = rows
        if room is None:
            places = self._table.intern_rows(marked)
        else:
            places = self._table.intern_rows(marked, len(self._table) + room)
        refused = int((places < 0).sum())
        if refused:
            places[places < 0] = OVERFLOW
        self._grow(len(self._table))
        self._touched_s[places] = now_s
        return places, refused

    def _grow(self, size: int) -> None:
        for instrument in self._instruments:
            instrument.resize(size)
        new = size - len(self.serial)
        if new > 0:
            serials = np.arange(self._next_serial, self._next_serial + new, dtype=np.int64)
            self._next_serial += new
            self.serial = np.concatenate([self.serial, serials])
            self._touched_s = np.concatenate([self._touched_s, np.zeros(new)])

    def widen(self, labels: Sequence[str]) -> None:
        """Have more labels, which are empty so far. Args: labels: those of now, then the new."""
        rows = self.rows
        self.labels = tuple(labels)
        wide = np.zeros((len(rows), len(labels)), np.int32)
        wide[:, : rows.shape[1]] = rows
        self._begin(wide[1:])

    def prune(self, before_s: float) -> int:
        """Let the label sets go that were not touched since a time. Returns: how many."""
        stays = self._touched_s >= before_s
        stays[OVERFLOW] = True
        gone = int((~stays).sum())
        if gone:
            self._keep(np.nonzero(stays)[0], self.rows[stays])
        return gone

    def renumber(self, numbers: Numbers) -> None:
        """Put new numbers of texts for the old ones: (old,) each new one."""
        rows = self.rows
        rows[1:] = numbers[rows[1:]]
        self._begin(rows[1:])

    def _keep(self, places: npt.NDArray[np.int64], rows: Numbers) -> None:
        self._grow(len(self._table))
        self._begin(rows[1:])
        self.serial, self._touched_s = self.serial[places], self._touched_s[places]
        for instrument in self._instruments:
            instrument.keep(places)

"""Groups of series that share their label sets, and the limits on how many there may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tracestore.model.collection import Family
from tracestore.services.generator.entities import Entities
from tracestore.services.generator.instruments import Slot
from tracestore.services.generator.vocabulary import EMPTY, Numbers, Vocabulary

CARDINALITY_OVERFLOW = "__cardinality_overflow__"
"""In place of the values of a label beyond its limit."""


class SeriesInstrument(Protocol):
    """What a label set has of a family."""

    @property
    def family(self) -> Family:
        """Its name and type."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Its series."""

    @property
    def touched(self) -> npt.NDArray[np.bool_]:
        """(E,) which label sets have it."""

    def resize(self, size: int) -> None:
        """Make room for label sets."""

    def keep(self, places: npt.NDArray[np.int64]) -> None:
        """Go on with some of the label sets, in this order."""


class Group:
    """The families of a processor that have the same labels."""

    def __init__(self, labels: Sequence[str], instruments: Sequence[SeriesInstrument]) -> None:
        self.entities = Entities(labels, instruments)
        self.instruments = tuple(instruments)
        sizes = [len(one.slots) for one in instruments]
        self.offsets = tuple(int(offset) for offset in np.cumsum([0, *sizes[:-1]]))
        """Where the slots of each instrument begin."""
        self.width = sum(sizes)
        """Series of a label set."""
        self.values_seen = [_LabelValues() for _ in labels]

    def places(self, rows: Numbers, context: Context) -> Numbers:
        """Find the place of each row: (n,); that of the overflow where the limits say so."""
        if context.budget.label_values_max:
            rows = np.ascontiguousarray(rows)
            for column, seen in enumerate(self.values_seen):
                rows[:, column] = seen.limit(rows[:, column], context)
        room = context.budget.room(self)
        places, refused = self.entities.places(rows, context.now_s, room)
        context.refused += refused
        return places

    def widen(self, labels: Sequence[str]) -> None:
        """Have more labels: those of now, then the new ones."""
        self.entities.widen(labels)
        new = len(labels) - len(self.values_seen)
        self.values_seen += [_LabelValues() for _ in range(new)]

    def forget_values(self) -> None:
        """Forget the values of labels that no series has."""
        self.values_seen = [_LabelValues(column) for column in self.entities.rows[1:].T]


class _LabelValues:
    """Which values of a label were seen, up to a limit."""

    def __init__(self, numbers: Numbers | None = None) -> None:
        values = np.zeros(0, np.int32) if numbers is None else np.unique(numbers)
        values = values[values != EMPTY]
        self._is_known = np.zeros(int(values.max(initial=EMPTY)) + 1, np.bool_)
        self._is_known[values] = True
        self._count = len(values)

    def limit(self, numbers: Numbers, context: Context) -> Numbers:
        most = context.budget.label_values_max
        missing = len(context.vocabulary) - len(self._is_known)
        if missing > 0:
            self._is_known = np.concatenate([self._is_known, np.zeros(missing, np.bool_)])
        self._is_known[EMPTY] = True
        new, first = np.unique(numbers[~self._is_known[numbers]], return_index=True)
        admitted = new[np.argsort(first)][: max(0, most - self._count)]
        self._is_known[admitted] = True
        self._count += len(admitted)
        if len(admitted) == len(new):
            return numbers
        overflow = np.int32(context.vocabulary.number(CARDINALITY_OVERFLOW))
        return np.where(self._is_known[numbers], numbers, overflow)


@dataclass(slots=True)
class Budget:
    """How many series a tenant may have, over all of its groups; 0: any number."""

    series_max: int = 0
    entities_max: int = 0
    label_values_max: int = 0
    groups: Sequence[Group] = ()

    def room(self, group: Group) -> int | None:
        """Count the label sets that a group may still get; None: any number."""
        found: list[int] = []
        if self.series_max and group.width:
            active = sum(len(one.entities) * one.width for one in self.groups)
            found.append((self.series_max - active) // group.width)
        if self.entities_max:
            found.append(self.entities_max - sum(len(one.entities) for one in self.groups))
        return max(0, min(found)) if found else None


@dataclass(slots=True, kw_only=True)
class Context:
    """When spans are counted, and within what."""

    now_s: float
    """Monotonic time in seconds."""
    vocabulary: Vocabulary
    budget: Budget = field(default_factory=Budget)
    refused: int = 0
    """Observations for which the limits had no series."""

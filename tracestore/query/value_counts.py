"""How often each value of an attribute occurs, by group and interval; any number of values.

Values stay arrays: what comes of chunks is put together now and then, distinct values are found by
Arrow and numpy. Python only for the few that are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from traceql.values import ValueType
from tracestore.errors import CorruptionError
from tracestore.query.cells import CellBudget, closer, sum_cells, weigh_cells
from tracestore.query.masks import to_array
from tracestore.query.metrics_parts import Cells, ValuesPart
from tracestore.query.parts import Ids, Numbers, Scalar, Texts

Rows = npt.NDArray[np.int64]
Array = npt.NDArray[Any]
_SETTLE_MIN = 65536


_ARROW = {ValueType.STRING: pa.string(), ValueType.FLOAT: pa.float64()}
"""How values of a type are kept; all others are whole numbers."""


def value_type(name: str) -> ValueType:
    """Read the name of a type. Raises: CorruptionError."""
    try:
        return ValueType(name)
    except ValueError as error:
        message = f"a part has values of an unknown type {name!r}"
        raise CorruptionError(message, key="part of metrics") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """Rows that each stand for some spans of one group and interval."""

    size: int
    """Numbers of groups and intervals, together."""
    slot: Rows
    """(C,) group and interval of each row."""
    index: Rows | None = None
    """(C,) row of the operand that each is; None: the C-th is the C-th."""
    counts: Array | None = None
    """(C,) spans that each stands for; None: one."""

    def where(self, rows: Rows) -> Weighted:
        """Take some of the rows."""
        return Weighted(
            size=self.size,
            slot=self.slot.take(rows),
            index=None if self.index is None else self.index.take(rows),
            counts=None if self.counts is None else self.counts.take(rows),
        )

    def cells(self, numbers: Rows) -> tuple[Rows, Array]:
        """Count by a number of each row: number * size + slot, and how many spans."""
        keys = numbers * self.size + self.slot
        return weigh_cells(keys, self.counts)


@dataclass(frozen=True, slots=True)
class _Counted:
    """Distinct values, and cells: value * size + slot, and counts."""

    values: pa.Array
    cells: Rows
    counts: Array


@dataclass(frozen=True, slots=True)
class Top:
    """A value that is shown, and its cells."""

    value: Any
    type: ValueType
    total: float
    text: str
    slots: Rows
    counts: Array


@dataclass
class ValueCounts:
    """The values of one type of an attribute."""

    type: ValueType
    size: int
    budget: CellBudget
    values_max: int
    is_cut: bool = False
    """Whether there were too many values, so that the rarest were let go."""
    _parts: list[_Counted] = field(default_factory=list)
    _settled: int = 0
    _pending: int = 0

    def add(self, part: Scalar, rows: Weighted) -> None:
        """Count the values of a part over some rows; those without a value are passed over."""
        valid = part.valid
        taken = rows.index
        if not isinstance(valid, bool):
            there = np.flatnonzero(valid if taken is None else valid.take(taken))
            rows = rows.where(there)
            taken = there if taken is None else rows.index
        if valid is False or len(rows.slot) == 0:
            return
        numbers, values = _distinct(part, taken)
        cells, counts = rows.cells(numbers)
        self.add_counted(values, cells, counts)

    def add_counted(self, values: pa.Array, cells: Rows, counts: Array) -> None:
        """Take counts of values, which need not be distinct."""
        self._parts.append(_Counted(values, cells, counts))
        self._pending += len(cells)
        if self._pending > self._settled + _SETTLE_MIN:
            self._settle()

    def part(self) -> ValuesPart | None:
        """Give out what was counted; None if that is nothing."""
        if not self._parts:
            return None
        counted = self._settle()
        return ValuesPart(
            type=self.type.value,
            values=tuple(counted.values.to_pylist()),
            cells=Cells.of(counted.cells, [counted.counts]),
            is_cut=self.is_cut,
        )

    def absorb(self, part: ValuesPart) -> None:
        """Add what was counted elsewhere. Raises: CorruptionError, LimitExceededError."""
        keys, (counts,) = part.cells.arrays(1, len(part.values) * self.size)
        kind = _ARROW.get(self.type, pa.int64())
        try:
            values = pa.array(part.values, kind)
        except (pa.ArrowException, TypeError, OverflowError) as error:
            message = f"values of a part are not of type {self.type.value}: {error}"
            raise CorruptionError(message, key="part of metrics") from error
        self.is_cut |= part.is_cut
        self.add_counted(values, keys, counts)

    def _settle(self) -> _Counted:
        """Put together what was added."""
        if len(self._parts) != 1 or self._pending:
            begins = np.cumsum([0, *(len(part.values) for part in self._parts)])
            encoded = pa.chunked_array([part.values for part in self._parts]).combine_chunks()
            encoded = encoded.dictionary_encode()
            place = encoded.indices.to_numpy().astype(np.int64)
            keys = [
                place[begin + part.cells // self.size] * self.size + part.cells % self.size
                for part, begin in zip(self._parts, begins, strict=False)
            ]
            counts = np.concatenate([part.counts for part in self._parts])
            cells, _, counts = sum_cells(np.concatenate(keys), counts)
            made = self._cut(_Counted(encoded.dictionary, cells, counts))
            self.budget.change(len(made.cells) - self._settled)
            self._parts, self._settled, self._pending = [made], len(made.cells), 0
        return self._parts[0]

    def _cut(self, counted: _Counted) -> _Counted:
        """Keep the most frequent half of what is allowed, if there is more than that."""
        if not self.values_max or len(counted.values) <= self.values_max:
            return counted
        self.is_cut = True
        of_value = counted.cells // self.size
        totals = np.bincount(of_value, counted.counts, minlength=len(counted.values))
        many = max(1, self.values_max // 2)
        kept = np.sort(np.argpartition(-totals, many - 1)[:many])
        number = np.full(len(totals), -1, np.int64)
        number[kept] = np.arange(many)
        stays = np.flatnonzero(number[of_value] >= 0)
        cells = number[of_value[stays]] * self.size + counted.cells[stays] % self.size
        return _Counted(counted.values.take(pa.array(kept)), cells, counted.counts[stays])

    def top(self, count: int, first_slot: int, end_slot: int) -> list[Top]:
        """Find the most frequent values within some slots, ties by text."""
        if not self._parts:
            return []
        counted = self._settle()
        value, slot = np.divmod(counted.cells, self.size)
        inside = np.flatnonzero((slot >= first_slot) & (slot < end_slot))
        value, slot, counts = value[inside], slot[inside] - first_slot, counted.counts[inside]
        totals = np.bincount(value, counts, minlength=len(counted.values))
        there = np.flatnonzero(totals != 0)
        texts = counted.values.take(pa.array(there)).cast(pa.string())
        ranked = pa.table({"total": totals[there], "text": texts})
        chosen = pc.select_k_unstable(
            ranked, min(count, len(there)), [("total", "descending"), ("text", "ascending")]
        )
        found = []
        for place in chosen.to_pylist():
            number = int(there[place])
            own = np.flatnonzero(value == number)
            found.append(
                Top(
                    counted.values[number].as_py(),
                    self.type,
                    float(totals[number]),
                    texts[place].as_py(),
                    slot[own],
                    counts[own],
                )
            )
        return found


def _distinct(part: Scalar, rows: Rows | None) -> tuple[Rows, pa.Array]:
    """Number the values of some rows of a part: (C,) numbers, and what each stands for."""
    if isinstance(part, Ids):
        part = part.texts()
    if isinstance(part, Texts):
        codes = part.codes if rows is None else part.codes.take(rows)
        numbers, distinct = closer(codes.astype(np.int64))
        return numbers, part.dictionary.take(pa.array(distinct))
    assert isinstance(part, Numbers)
    values = part.values if rows is None else part.values.take(rows)
    if values.dtype.kind == "f":
        distinct, numbers = np.unique(values.astype(np.float64) + 0.0, return_inverse=True)
        return numbers.astype(np.int64, copy=False), pa.array(distinct)
    whole = values.astype(np.int64)
    low, high = int(whole.min()), int(whole.max())
    if high - low < 8 * len(whole):
        numbers, distinct = closer(whole - low)
        return numbers, pa.array(distinct + low)
    distinct, numbers = np.unique(whole, return_inverse=True)
    return numbers.astype(np.int64, copy=False), pa.array(distinct)


def unvalued(present: Any, parts: tuple[Scalar, ...], total: int) -> Rows:
    """Find the rows that have something which has no value of its own."""
    found = to_array(present, total).copy()
    for part in parts:
        if isinstance(part.valid, bool):
            found &= not part.valid
        else:
            found &= ~part.valid
    return np.flatnonzero(found)

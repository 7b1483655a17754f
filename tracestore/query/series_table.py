"""Many series as arrays: what second stages and arithmetic work on.

Sparse: the value of a point is that of its cell, else the ``fill`` of its series; NaN is no sample.
Every operation keeps it so, and costs what is listed, not series times points. No I/O, no state.

Source: TraceQL reference, 6.2, 6.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from traceql.values import float_text
from tracestore.model.results import AttributeValue
from tracestore.model.series import Exemplar, Floats, Grid, Labels, Series

Cells = npt.NDArray[np.int64]
NAME_LABEL = "__name__"
LabelKey = tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesTable:
    """S series over a grid of ``points`` points."""

    points: int
    labels: tuple[Labels, ...]
    fill: Floats
    """(S,)"""
    cells: Cells
    """(C,) series * points + point, ascending, distinct."""
    values: Floats
    """(C,)"""
    exemplars: tuple[tuple[int, Exemplar], ...] = ()
    """The series of each, and the exemplar."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def of_series(self) -> Cells:
        """(C,) the series of each cell."""
        return self.cells // self.points

    def with_values(self, fill: Floats, values: Floats) -> SeriesTable:
        """Make the same series with other values."""
        return replace(self, fill=fill, values=values)

    def values_at(self, series: Cells, points: Cells) -> Floats:
        """Get the values of some points."""
        wanted = series * self.points + points
        found = self.fill[series]
        if len(self.cells):
            places = np.minimum(np.searchsorted(self.cells, wanted), len(self.cells) - 1)
            found = np.where(self.cells[places] == wanted, self.values[places], found)
        return found

    @property
    def _at_exemplars(self) -> Floats:
        """Get the value of the sample beside each exemplar."""
        series = np.array([series for series, _ in self.exemplars], np.int64)
        points = np.array([exemplar.point for _, exemplar in self.exemplars], np.int64)
        return self.values_at(series, points)

    def take(self, wanted: Sequence[int] | npt.NDArray[np.integer]) -> SeriesTable:
        """Take some series, distinct, in another order."""
        places = np.asarray(wanted, np.int64)
        number = np.full(len(self), -1, np.int64)
        number[places] = np.arange(len(places))
        moved = number[self.of_series]
        kept = np.flatnonzero(moved >= 0)
        cells = moved[kept] * self.points + self.cells[kept] % self.points
        order = np.argsort(cells, kind="stable")
        return SeriesTable(
            points=self.points,
            labels=tuple(self.labels[place] for place in places.tolist()),
            fill=self.fill[places],
            cells=cells[order],
            values=self.values[kept][order],
            exemplars=tuple(
                (int(number[series]), exemplar)
                for series, exemplar in self.exemplars
                if number[series] >= 0
            ),
        )

    def settled(self) -> SeriesTable:
        """Drop series without a sample, and exemplars in an interval without one.

        A cell that says what the fill says is dropped, too.
        """
        of_series = self.of_series
        fill = self.fill[of_series]
        told = ~((self.values == fill) | (np.isnan(self.values) & np.isnan(fill)))
        table = self
        if not told.all():
            table = replace(self, cells=self.cells[told], values=self.values[told])
            of_series = of_series[told]
        listed = np.bincount(of_series, minlength=len(table))
        valued = np.bincount(of_series, ~np.isnan(table.values), minlength=len(table)) > 0
        alive = valued | (~np.isnan(table.fill) & (listed < table.points))
        missing = np.isnan(table._at_exemplars)
        if missing.any():
            pairs = zip(table.exemplars, missing.tolist(), strict=True)
            table = replace(table, exemplars=tuple(one for one, is_gone in pairs if not is_gone))
        return table if alive.all() else table.take(np.flatnonzero(alive))

    def sorted(self) -> SeriesTable:
        """Put the series in the order of answers."""
        order = sorted(range(len(self)), key=lambda series: sort_key(self.labels[series]))
        return self.take(order)

    def to_series(self, grid: Grid) -> tuple[Series, ...]:
        """Give out one series after the other; exemplars get the values of their samples."""
        ends = np.searchsorted(self.cells, np.arange(len(self) + 1) * self.points)
        exemplars: dict[int, list[Exemplar]] = {}
        for (series, exemplar), value in zip(
            self.exemplars, self._at_exemplars.tolist(), strict=True
        ):
            is_known = exemplar.value == exemplar.value
            shown = exemplar if is_known else replace(exemplar, value=value)
            exemplars.setdefault(series, []).append(shown)
        return tuple(
            Series(
                labels=labels,
                fill=float(self.fill[number]),
                points=self.cells[ends[number] : ends[number + 1]] - number * self.points,
                values=self.values[ends[number] : ends[number + 1]],
                exemplars=tuple(
                    sorted(exemplars.get(number, ()), key=lambda exemplar: exemplar.time_ns)
                ),
            )
            for number, labels in enumerate(self.labels)
        )

    @property
    def samples(self) -> int:
        """How many samples there are, at most."""
        is_filled = ~np.isnan(self.fill)
        listed = int(np.count_nonzero(~is_filled[self.of_series]))
        return int(np.count_nonzero(is_filled)) * self.points + listed


def no_series(points: int) -> SeriesTable:
    """Make a table without series."""
    none = np.empty(0)
    return SeriesTable(
        points=points, labels=(), fill=none, cells=np.empty(0, np.int64), values=none
    )


def stack(tables: Sequence[SeriesTable], points: int) -> SeriesTable:
    """Put the series of several tables below each other."""
    begins = np.cumsum([0, *(len(table) for table in tables)]).tolist()
    pairs = list(zip(tables, begins, strict=False))
    return SeriesTable(
        points=points,
        labels=tuple(labels for table in tables for labels in table.labels),
        fill=np.concatenate([np.empty(0), *(table.fill for table in tables)]),
        cells=np.concatenate(
            [np.empty(0, np.int64), *(table.cells + begin * points for table, begin in pairs)]
        ),
        values=np.concatenate([np.empty(0), *(table.values for table in tables)]),
        exemplars=tuple(
            (series + begin, exemplar)
            for table, begin in pairs
            for series, exemplar in table.exemplars
        ),
    )


_TYPE_ORDER = {"bool": "bool", "float": "double", "int": "int", "str": "string", "tuple": "array"}


def typed_text(value: AttributeValue) -> tuple[str, str]:
    """Write a value so that equal texts are equal values of one type."""
    kind = _TYPE_ORDER[type(value).__name__]
    if isinstance(value, bool):
        return kind, "true" if value else "false"
    return kind, float_text(value) if isinstance(value, float) else str(value)


def label_key(labels: Labels) -> LabelKey:
    """Make what tells label sets apart: 1, 1.0, true and "1" are four values."""
    return tuple((name, *typed_text(value)) for name, value in labels)


def sort_key(labels: Labels) -> tuple[int, LabelKey]:
    """Make what answers are sorted by: fewer labels first, then label by label.

    The type's name leads; numbers are compared as texts, as Tempo does.
    """
    return len(labels), label_key(labels)


def without_name(labels: Labels) -> Labels:
    """Leave the label out that only says which function it was."""
    return tuple(label for label in labels if label[0] != NAME_LABEL)

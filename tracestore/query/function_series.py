"""``rate``, ``count_over_time``, ``*_over_time``, histograms and quantiles: spans in, series out.

Each function keeps a few numbers per cell, which add up over chunks and sources in any order.

Source: TraceQL reference, 6.2 to 6.5, 6.13.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from traceql import nodes
from traceql.attributes import Intrinsic
from traceql.nodes import MetricsFunction
from traceql.values import ValueType
from tracestore.model.series import Exemplar, Floats, Grid, Labels
from tracestore.query.bind import Binder
from tracestore.query.buckets import BUCKETS, bounds, bucket_of, quantiles
from tracestore.query.cells import CellBudget, CellStore, closer, count_cells, reduce_cells
from tracestore.query.counted import CountedSpans
from tracestore.query.exemplars import Candidate, ExemplarPicker, Offer
from tracestore.query.labels import Labeller, SeriesNumbers
from tracestore.query.measured import measured_numbers, measured_wholes
from tracestore.query.metrics_plan import SubQuery
from tracestore.query.parts import Domain
from tracestore.query.series_table import NAME_LABEL, SeriesTable

Rows = npt.NDArray[np.int64]
Array = npt.NDArray[Any]
BUCKET_LABEL, QUANTILE_LABEL = "__bucket", "p"
_BUCKETED = frozenset({MetricsFunction.QUANTILE_OVER_TIME, MetricsFunction.HISTOGRAM_OVER_TIME})
_COUNTED = frozenset({MetricsFunction.RATE, MetricsFunction.COUNT_OVER_TIME})
_REDUCTIONS: dict[MetricsFunction, tuple[np.ufunc, ...]] = {
    MetricsFunction.MIN_OVER_TIME: (np.minimum,),
    MetricsFunction.MAX_OVER_TIME: (np.maximum,),
    MetricsFunction.SUM_OVER_TIME: (np.add,),
    MetricsFunction.AVG_OVER_TIME: (np.add, np.add),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all functions of a query share."""

    grid: Grid
    budget: CellBudget
    series_max: int
    exemplars: int
    """How many each function may show."""
    compared_values_max: int = 0
    """Values of one attribute that ``compare`` keeps; 0: all."""


class OfSource(Protocol):
    """A function that is bound to one source."""

    def add(self, spans: CountedSpans) -> None:
        """Count spans of a chunk."""


class Accumulator(Protocol):
    """What one part of a query has found so far."""

    def bind(self, binder: Binder) -> OfSource:
        """Begin with a source."""

    def table(self) -> SeriesTable:
        """Make the series of what was counted until now."""

    def note(self) -> str:
        """Say what the series lack; empty: nothing."""


class FunctionSeries:
    """``Accumulator`` of every function but ``compare``."""

    def __init__(self, query: SubQuery, frame: Frame) -> None:
        assert isinstance(query.function, nodes.MetricsAggregate)
        self.node = query.function
        self.grid = frame.grid
        self.function = self.node.function
        self.is_bucketed = self.function in _BUCKETED
        self.numbers = SeriesNumbers(frame.series_max)
        self.picker = ExemplarPicker(frame.exemplars, query.fields)
        self.cells = CellStore(_REDUCTIONS.get(self.function, (np.add,)), frame.budget)

    def bind(self, binder: Binder) -> OfSource:
        return _Bound(self, binder)

    def note(self) -> str:
        return ""

    @property
    def seconds(self) -> float:
        """How many of what is measured are one in an answer: the span's duration is in seconds."""
        return 1e9 if self.node.measured and self.node.measured.field is Intrinsic.DURATION else 1.0

    @property
    def _bucket_scale(self) -> float:
        assert self.node.measured is not None
        return 1e9 if self.node.measured.field.type is ValueType.DURATION else 1.0

    def table(self) -> SeriesTable:
        if self.function is MetricsFunction.QUANTILE_OVER_TIME:
            return self._quantiles()
        cells, columns = self.cells.settle()
        if self.function is MetricsFunction.HISTOGRAM_OVER_TIME:
            return self._histogram(cells, columns[0])
        if self.function in _COUNTED and not self.node.by:
            self.numbers.number(())
        values, fill = self._values(columns)
        labels = tuple(one or ((NAME_LABEL, self.function.value),) for one in self.numbers.labels)
        return SeriesTable(
            points=self.grid.count,
            labels=labels,
            fill=np.full(len(labels), fill),
            cells=cells,
            values=values,
            exemplars=tuple((one.series, one.exemplar) for one in self.picker.picked()),
        )

    def _values(self, columns: Sequence[Array]) -> tuple[Floats, float]:
        """Make the values of cells, and that of points without any."""
        match self.function:
            case MetricsFunction.RATE:
                return columns[0] / self.grid.step_s, 0.0
            case MetricsFunction.COUNT_OVER_TIME:
                return columns[0], 0.0
            case MetricsFunction.AVG_OVER_TIME:
                return columns[0] / columns[1] / self.seconds, np.nan
        return columns[0] / self.seconds, np.nan

    def _histogram(self, cells: Rows, counts: Floats) -> SeriesTable:
        number, keys = closer(cells // self.grid.count)
        upper = bounds(keys % BUCKETS, self._bucket_scale).tolist()
        labels = [
            (*self.numbers.labels[key // BUCKETS], (BUCKET_LABEL, bound))
            for key, bound in zip(keys.tolist(), upper, strict=True)
        ]
        place = {key: number for number, key in enumerate(keys.tolist())}
        return SeriesTable(
            points=self.grid.count,
            labels=tuple(labels),
            fill=np.zeros(len(labels)),
            cells=number * self.grid.count + cells % self.grid.count,
            values=counts,
            exemplars=tuple((place[one.series], one.exemplar) for one in self.picker.picked()),
        )

    def _quantiles(self) -> SeriesTable:
        """Make a series for each label set and quantile."""
        points, fractions = self.grid.count, self.node.quantiles
        cells, (counts,) = self.cells.settle()
        keys = cells // points
        group = keys // BUCKETS * points + cells % points
        order = np.argsort(group, kind="stable")
        upper = bounds(keys[order] % BUCKETS, self._bucket_scale)
        series = np.unique(keys // BUCKETS)
        labels: list[Labels] = []
        found: list[tuple[Rows, Floats]] = []
        for fraction in fractions:
            of_fraction = len(labels)
            labels += [
                (*self.numbers.labels[one], (QUANTILE_LABEL, float(fraction)))
                for one in series.tolist()
            ]
            at, values = quantiles(group[order], counts[order], upper, fraction)
            place = np.searchsorted(series, at // points) + of_fraction
            found.append((place * points + at % points, values))
        table = SeriesTable(
            points=points,
            labels=tuple(labels),
            fill=np.zeros(len(labels)),
            cells=np.concatenate([cells for cells, _ in found]),
            values=np.concatenate([values for _, values in found]),
        )
        return _with_quantile_exemplars(table, self.picker.picked(), series, fractions)


def _with_quantile_exemplars(
    table: SeriesTable, picked: Sequence[Candidate], series: Rows, fractions: Sequence[float]
) -> SeriesTable:
    """Give each exemplar to the smallest quantile that is not below its value, else the largest."""
    placed: list[tuple[int, Exemplar]] = []
    ascending = sorted(range(len(fractions)), key=lambda number: fractions[number])
    for one in picked:
        base = int(np.searchsorted(series, one.series // BUCKETS))
        rows = [number * len(series) + base for number in ascending]
        point, value = one.exemplar.point, one.exemplar.value
        fitting = [row for row in rows if table.value_at(row, point) >= value]
        placed.append(((fitting or rows[-1:])[0], one.exemplar))
    return SeriesTable(
        points=table.points,
        labels=table.labels,
        fill=table.fill,
        cells=table.cells,
        values=table.values,
        exemplars=tuple(placed),
    )


class _Bound:
    """``OfSource`` of ``FunctionSeries``."""

    def __init__(self, owner: FunctionSeries, binder: Binder) -> None:
        self._owner = owner
        node = owner.node
        fields = [reference.field for reference in node.by]
        keeps_one = not owner.is_bucketed
        self._labeller = Labeller(binder, fields, owner.numbers, keeps_one=keeps_one)
        self._measured = None if node.measured is None else binder.field(node.measured.field)
        self._picker = owner.picker.bind(binder)

    def add(self, spans: CountedSpans) -> None:
        group, series = self._labeller.series(spans.scan, spans.rows)
        if self._measured is None:
            keys, counts = count_cells(group * spans.grid.count + spans.points)
            self._store(keys, [counts], series)
            self._offer(spans, None, group, series, _of_sample)
            return
        operand = spans.spread(spans.scan.operand(self._measured, Domain.SPAN))
        take = measured_wholes if self._owner.is_bucketed else measured_numbers
        places, values = take(operand, len(spans))
        if len(values) == 0:
            return
        if places is not None:
            group = group.take(places)
        if self._owner.is_bucketed:
            group, distinct = closer(group * BUCKETS + bucket_of(values))
            series = series[distinct // BUCKETS] * BUCKETS + distinct % BUCKETS
        keys = group * spans.grid.count + spans.at(places)
        self._store(*self._reduced(keys, values), series)
        self._offer(spans, places, group, series, self._value(values))

    def _reduced(self, keys: Rows, values: Array) -> tuple[Rows, list[Array]]:
        if self._owner.is_bucketed:
            keys, counts = count_cells(keys)
            return keys, [counts]
        reduction = _REDUCTIONS[self._owner.function][0]
        found, numbers = reduce_cells(keys, values, reduction)
        if self._owner.function is MetricsFunction.AVG_OVER_TIME:
            return found, [numbers, count_cells(keys)[1]]
        return found, [numbers]

    def _value(self, values: Array) -> Callable[[int], float]:
        """Tell what an exemplar shows: the bucket of a histogram has no value but its count."""
        if self._owner.function is MetricsFunction.HISTOGRAM_OVER_TIME:
            return _of_sample
        scale = self._owner.seconds
        if self._owner.is_bucketed:
            scale = self._owner._bucket_scale
        return lambda place: float(values[place]) / scale

    def _store(self, keys: Rows, columns: Sequence[Array], series: Rows) -> None:
        points = self._owner.grid.count
        group, point = np.divmod(keys, points)
        self._owner.cells.add(series[group] * points + point, columns)

    def _offer(
        self,
        spans: CountedSpans,
        places: Rows | None,
        group: Rows,
        series: Rows,
        value: Callable[[int], float],
    ) -> None:
        self._picker.offer(
            Offer(spans=spans, places=places, group=group, series=series, value=value)
        )


def _of_sample(_: int) -> float:
    return float("nan")

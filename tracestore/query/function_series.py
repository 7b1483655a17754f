"""``rate``, ``count_over_time``, ``*_over_time``, histograms and quantiles: spans in, series out.

Each function keeps a few numbers per cell, which add up over chunks and sources in any order.

Source: TraceQL reference, 6.2 to 6.5, 6.13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from traceql import nodes
from traceql.attributes import Intrinsic
from traceql.nodes import MetricsFunction
from traceql.values import ValueType
from tracestore.model.series import Floats, Grid, Labels
from tracestore.query.bind import Binder
from tracestore.query.buckets import BUCKETS, bounds, quantiles
from tracestore.query.cells import (
    CellBudget,
    CellStore,
    closer,
    extreme_cells,
    split,
    sum_cells,
    weigh_cells,
)
from tracestore.query.counted import CountedSpans
from tracestore.query.exemplars import Candidate, ExemplarPicker, Offer
from tracestore.query.labels import Labeller, LocalNumbers, SeriesNumbers
from tracestore.query.measured import measured_buckets, measured_numbers
from tracestore.query.metrics_parts import Cells, ComparePart, FunctionPart, checked, other_query
from tracestore.query.metrics_plan import SubQuery
from tracestore.query.parts import Domain, Operand
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
    extrapolate: bool = False
    """Whether a span counts as many times as the spans for which it stands."""


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

    def part(self) -> FunctionPart | ComparePart:
        """Give out what was counted until now."""

    def absorb(self, part: FunctionPart | ComparePart) -> None:
        """Add what was counted elsewhere. Raises: CorruptionError, LimitExceededError."""


class FunctionSeries:
    """``Accumulator`` of every function but ``compare``."""

    def __init__(self, query: SubQuery, frame: Frame) -> None:
        assert isinstance(query.function, nodes.MetricsAggregate)
        self.node = query.function
        self.grid = frame.grid
        self.extrapolate = frame.extrapolate
        self.function = self.node.function
        self.is_bucketed = self.function in _BUCKETED
        self.numbers = SeriesNumbers(frame.series_max)
        self.picker = ExemplarPicker(frame.exemplars, query.fields)
        self.cells = CellStore(_REDUCTIONS.get(self.function, (np.add,)), frame.budget)

    def bind(self, binder: Binder) -> OfSource:
        return _Bound(self, binder)

    def note(self) -> str:
        return ""

    def part(self) -> FunctionPart:
        return FunctionPart(
            labels=tuple(self.numbers.labels),
            cells=Cells.of(*self.cells.settle()),
            candidates=self.picker.part(),
        )

    def absorb(self, part: FunctionPart | ComparePart) -> None:
        if not isinstance(part, FunctionPart):
            raise other_query()
        width = BUCKETS if self.is_bucketed else 1
        series = np.array([self.numbers.number(labels) for labels in part.labels], np.int64)
        size = len(series) * width
        keys, columns = part.cells.arrays(self.cells.width, size * self.grid.count)
        number, point = split(keys, self.grid.count)
        own, bucket = split(number, width)
        self.cells.add((series[own] * width + bucket) * self.grid.count + point, columns)
        occurring = frozenset(number.tolist()) if part.candidates else frozenset()
        checked(part.candidates, occurring, self.grid.count)
        for one in part.candidates:
            place = int(series[one.series // width]) * width + one.series % width
            self.picker.add(Candidate(place, one.part, one.exemplar, one.trace_id))

    @property
    def seconds(self) -> float:
        """How many of what is measured are one in an answer: the span's duration is in seconds."""
        return 1e9 if self.node.measured and self.node.measured.field is Intrinsic.DURATION else 1.0

    @property
    def bucket_scale(self) -> float:
        """The same for buckets, where every duration is in seconds."""
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
        key, point = split(cells, self.grid.count)
        number, keys = closer(key)
        upper = bounds(keys % BUCKETS, self.bucket_scale).tolist()
        labels = [
            (*self.numbers.labels[key // BUCKETS], (BUCKET_LABEL, bound))
            for key, bound in zip(keys.tolist(), upper, strict=True)
        ]
        place = {key: number for number, key in enumerate(keys.tolist())}
        return SeriesTable(
            points=self.grid.count,
            labels=tuple(labels),
            fill=np.zeros(len(labels)),
            cells=number * self.grid.count + point,
            values=counts,
            exemplars=tuple((place[one.series], one.exemplar) for one in self.picker.picked()),
        )

    def _quantiles(self) -> SeriesTable:
        """Make a series for each label set and quantile."""
        points, fractions = self.grid.count, self.node.quantiles
        cells, (counts,) = self.cells.settle()
        keys, point = split(cells, points)
        label_set, bucket = split(keys, BUCKETS)
        group = label_set * points + point
        order = np.argsort(group, kind="stable")
        upper = bounds(bucket[order], self.bucket_scale)
        series = closer(label_set)[1]
        labels: list[Labels] = []
        found: list[tuple[Rows, Floats]] = []
        for fraction in fractions:
            of_fraction = len(labels)
            labels += [
                (*self.numbers.labels[one], (QUANTILE_LABEL, float(fraction)))
                for one in series.tolist()
            ]
            at, values = quantiles(group[order], counts[order], upper, fraction)
            set_at, point_at = split(at, points)
            place = np.searchsorted(series, set_at) + of_fraction
            found.append((place * points + point_at, values))
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
    base = np.searchsorted(series, [one.series // BUCKETS for one in picked])
    points = np.array([one.exemplar.point for one in picked], np.int64)
    values = np.array([one.exemplar.value for one in picked])
    chosen = np.full(len(picked), -1)
    for number in sorted(range(len(fractions)), key=lambda number: fractions[number]):
        rows = number * len(series) + base
        is_open = chosen < 0
        chosen[is_open & (table.values_at(rows, points) >= values)] = number
    chosen[chosen < 0] = max(range(len(fractions)), key=lambda number: fractions[number])
    rows = (chosen * len(series) + base).tolist()
    placed = [(row, one.exemplar) for row, one in zip(rows, picked, strict=True)]
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
        local = self._labeller.local(spans.scan, spans.rows)
        weights = spans.weights() if self._owner.extrapolate else None
        if self._measured is None:
            keys, counts = weigh_cells(spans.keys(None, **local.keyed), weights)
            self._store(_Counted(spans, None, local), keys, [counts])
            return
        operand = spans.spread(spans.scan.operand(self._measured, Domain.SPAN))
        if self._owner.is_bucketed:
            self._add_buckets(spans, local, operand, weights)
        else:
            self._add_numbers(spans, local, operand, weights)

    def _add_numbers(
        self, spans: CountedSpans, local: LocalNumbers, operand: Operand, weights: Floats | None
    ) -> None:
        """Sum up, or look for extremes, which no weight changes."""
        places, values = measured_numbers(operand, len(spans))
        if len(values) == 0:
            return
        keys = spans.keys(places, **local.at(spans, places))
        columns: list[Array]
        match self._owner.function:
            case MetricsFunction.MIN_OVER_TIME | MetricsFunction.MAX_OVER_TIME as function:
                largest = function is MetricsFunction.MAX_OVER_TIME
                cells, extremes = extreme_cells(keys, values, largest=largest)
                columns = [extremes]
            case function:
                own = _at(weights, places)
                cells, counts, sums = sum_cells(keys, values if own is None else values * own)
                columns = [sums]
                if function is MetricsFunction.AVG_OVER_TIME:
                    columns.append(counts if own is None else weigh_cells(keys, own)[1])
        scale = self._owner.seconds
        self._store(_Counted(spans, places, local, values=values / scale), cells, columns)

    def _add_buckets(
        self, spans: CountedSpans, local: LocalNumbers, operand: Operand, weights: Floats | None
    ) -> None:
        """Count by bucket; what has none is left out of the counts, which are few."""
        places, values, buckets = measured_buckets(operand, len(spans))
        width = int(buckets.max(initial=0)) + 1
        if width == 1:
            return
        keys = spans.keys(places, **local.at(spans, places), buckets=buckets, width=width)
        cells, counts = weigh_cells(keys, _at(weights, places))
        bucketed = np.flatnonzero(split(cells // spans.grid.count, width)[1] != 0)
        shown = None
        if self._owner.function is MetricsFunction.QUANTILE_OVER_TIME:
            shown = values / self._owner.bucket_scale
        counted = _Counted(spans, places, local, values=shown, buckets=buckets, width=width)
        self._store(counted, cells[bucketed], [counts[bucketed]])

    def _store(self, counted: _Counted, cells: Rows, columns: Sequence[Array]) -> None:
        """Keep cells by series instead of local numbers, and offer their spans as exemplars."""
        points = self._owner.grid.count
        numbers, point = split(cells, points)
        place, occurring = closer(numbers)
        series = counted.series(occurring)
        self._owner.cells.add(series[place] * points + point, columns)
        self._picker.offer(
            Offer(
                spans=counted.spans,
                places=counted.places,
                numbers=counted.numbers,
                occurring=occurring,
                series=series,
                values=counted.values,
            )
        )


def _at(weights: Floats | None, places: Rows | None) -> Floats | None:
    """Take the weights of some spans. Args: places: None: all."""
    return weights if weights is None or places is None else weights.take(places)


@dataclass(frozen=True, slots=True)
class _Counted:
    """Which spans of a chunk were counted, and for what."""

    spans: CountedSpans
    places: Rows | None
    """(K,) which of the spans; None: all."""
    local: LocalNumbers
    values: Floats | None = None
    """(K,) what exemplars show; None: the value of their samples."""
    buckets: Rows | None = None
    """(K,) of each, below ``width``."""
    width: int = 1

    def numbers(self, places: Rows) -> Rows:
        """Get the number, label set and bucket, of some of the K."""
        own = places if self.places is None else self.places.take(places)
        found = self.local.of_spans(self.spans, own)
        return found if self.buckets is None else found * self.width + self.buckets.take(places)

    def series(self, numbers: Rows) -> Rows:
        """Look up the series of numbers that occur."""
        if self.buckets is None:
            return self.local.series(numbers)
        label_set, bucket = split(numbers, self.width)
        place, distinct = closer(label_set)
        return self.local.series(distinct)[place] * BUCKETS + bucket

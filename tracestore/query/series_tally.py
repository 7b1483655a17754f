"""What has been counted of the series of a question: sparse cells that add up in any order.

Source: ``cells.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import numpy.typing as npt

from tracestore.errors import CorruptionError, LimitExceededError
from tracestore.kernel import tally_extremes
from tracestore.model.results import QueryStats
from tracestore.query.cells import CellBudget, CellStore, closer, split
from tracestore.query.metrics_parts import Cells
from tracestore.query.series_index import SeriesIndex
from tracestore.query.span_series import SIDES, LabelSet, SeriesCells, SeriesQuestion, ShownTraces

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_KEY = "part of series of spans"


class SeriesPart(msgspec.Struct, frozen=True, kw_only=True):
    """What some of the sources have counted."""

    labels: tuple[LabelSet, ...]
    cells: Cells
    buckets: Cells
    shown: tuple[tuple[int, ShownTraces], ...]
    """By series."""
    stats: QueryStats
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """M spans or requests of a chunk, each in a series and an interval."""

    series: Rows
    points: Rows
    weights: Floats | None
    """(M,) how many each stands for; None: one."""
    failed: npt.NDArray[np.bool_]
    seconds: tuple[Floats, ...]
    """(M,) of each side; NaN: not observed."""
    trace_rows: Rows
    """(M,) row of the trace in its source."""


class SeriesTally:
    """The counts, while they grow."""

    def __init__(
        self, question: SeriesQuestion, bounds: Sequence[float], index: SeriesIndex, cells_max: int
    ) -> None:
        self.index = index
        self._question = question
        self._points = question.points
        self._sides = len(SIDES[question.family])
        self._bounds = np.array(bounds, np.float64)
        budget = CellBudget(cells_max)
        self._cells = CellStore((np.add,) * (2 + self._sides), budget)
        self._buckets = CellStore((np.add,), budget)
        self._shown: dict[int, ShownTraces] = {}

    @property
    def _width(self) -> int:
        return len(self._bounds) + 1

    def add(self, seen: Observed, trace_ids: npt.NDArray[np.bytes_]) -> None:
        """Count what was observed in a chunk. Raises: LimitExceededError.

        Args:
            trace_ids: of the source, by row.
        """
        if len(seen.series) == 0:
            return
        numbers, keys = closer(seen.series * self._points + seen.points)
        weights = seen.weights
        failed = seen.failed.astype(np.float64)
        columns = [
            np.bincount(numbers, weights, len(keys)).astype(np.float64),
            np.bincount(numbers, failed if weights is None else failed * weights, len(keys)),
        ]
        for seconds in seen.seconds:
            known = np.nan_to_num(seconds, nan=0.0)
            added = known if weights is None else known * weights
            columns.append(np.bincount(numbers, added, len(keys)))
        self._cells.add(keys, columns)
        if self._question.has_buckets:
            for side, seconds in enumerate(seen.seconds):
                self._add_buckets(seen, side, seconds)
        if self._question.exemplars:
            self._show(seen, trace_ids)

    def _add_buckets(self, seen: Observed, side: int, seconds: Floats) -> None:
        series, points, weights = seen.series, seen.points, seen.weights
        observed = ~np.isnan(seconds)
        if not observed.all():
            series, points, seconds = series[observed], points[observed], seconds[observed]
            weights = None if weights is None else weights[observed]
        bucket = np.searchsorted(self._bounds, seconds, side="left")
        numbers, distinct = closer((series * self._width + bucket) * self._points + points)
        counts = np.bincount(numbers, weights, len(distinct)).astype(np.float64)
        own, rest = split(distinct, self._width * self._points)
        keys = (own * self._sides + side) * (self._width * self._points) + rest
        self._buckets.add(keys, [counts])

    def _show(self, seen: Observed, trace_ids: npt.NDArray[np.bytes_]) -> None:
        """Keep the slowest of each series, and the slowest that failed."""
        slowness = np.fmax.reduce(np.stack(seen.seconds))
        for failed_only in (False, True):
            rows = np.flatnonzero(seen.failed) if failed_only else np.arange(len(seen.series))
            for row in _slowest_of_each(seen.series, slowness, rows):
                trace = bytes(trace_ids[seen.trace_rows[row]]).ljust(16, b"\0").hex()
                seconds = float(slowness[row])
                one = ShownTraces(slowest=trace, slowest_s=seconds)
                if failed_only:
                    one = replace(one, failed=trace, failed_s=seconds)
                self._show_one(int(seen.series[row]), one)

    def _show_one(self, series: int, one: ShownTraces) -> None:
        known = self._shown.get(series)
        if known is None:
            self._shown[series] = one
            return
        slowest = max((known.slowest_s, known.slowest), (one.slowest_s, one.slowest))
        failed = max((known.failed_s, known.failed), (one.failed_s, one.failed))
        self._shown[series] = ShownTraces(
            slowest=slowest[1], slowest_s=slowest[0], failed=failed[1], failed_s=failed[0]
        )

    # --- parts ---------------------------------------------------------------------------------

    def part(self, stats: QueryStats, missing: tuple[str, ...]) -> SeriesPart:
        """Give out what was counted."""
        return SeriesPart(
            labels=tuple(self.index.labels),
            cells=Cells.of(*self._cells.settle()),
            buckets=Cells.of(*self._buckets.settle()),
            shown=tuple(self._shown.items()),
            stats=stats,
            missing=missing,
        )

    def absorb(self, part: SeriesPart) -> None:
        """Add what was counted elsewhere. Raises: CorruptionError, LimitExceededError."""
        series = np.array([self.index.number(labels) for labels in part.labels], np.int64)
        total = len(series) * self._points
        keys, columns = part.cells.arrays(self._cells.width, total)
        number, point = split(keys, self._points)
        self._cells.add(series[number] * self._points + point, columns)
        size = self._sides * self._width * self._points
        keys, columns = part.buckets.arrays(1, len(series) * size)
        if len(keys):
            number, rest = split(keys, size)
            self._buckets.add(series[number] * size + rest, columns)
        for place, one in part.shown:
            if not 0 <= place < len(series):
                raise CorruptionError("a part shows a trace of no series", key=_KEY)
            self._show_one(int(series[place]), one)

    # --- the answer ----------------------------------------------------------------------------

    def result(self, stats: QueryStats, missing: tuple[str, ...], samples_max: int) -> SeriesCells:
        """Make the answer; series are in the order of their labels.

        Raises: LimitExceededError if it has too many values.
        """
        keys, columns = self._cells.settle()
        bucket_keys, (bucket_counts,) = self._buckets.settle()
        occurring = np.unique(keys // self._points)
        labels = self.index.labels
        order = sorted(occurring.tolist(), key=lambda number: labels[number])
        self._check(len(order), samples_max)
        place = np.zeros(len(labels), np.int64)
        place[order] = np.arange(len(order))
        cell_keys, cell_order = _moved(keys, place, self._points)
        size = self._sides * self._width * self._points
        moved_keys, moved_order = _moved(bucket_keys, place, size)
        return SeriesCells(
            family=self._question.family,
            points=self._points,
            labels=tuple(labels[number] for number in order),
            bounds=tuple(self._bounds.tolist()),
            keys=cell_keys,
            columns=tuple(column[cell_order] for column in columns),
            bucket_keys=moved_keys,
            bucket_counts=bucket_counts[moved_order],
            shown=tuple(self._shown[number] for number in order if number in self._shown),
            stats=stats,
            missing=missing,
        )

    def _check(self, series: int, samples_max: int) -> None:
        width = self._width if self._question.has_buckets else 0
        values = series * self._points * (2 + self._sides * (1 + width))
        if samples_max and values > samples_max:
            raise LimitExceededError(
                f"the metric has {series} series of {self._points} intervals, {values} values with "
                f"its buckets, more than {samples_max}: take a larger step, a shorter range, fewer "
                "labels in by(), or allow more (query.max_metrics_samples)",
                limit="max_metrics_samples",
            )


def _moved(keys: Rows, place: Rows, size: int) -> tuple[Rows, Rows]:
    """Number the series of keys anew: keys, ascending, and where each was."""
    if len(keys) == 0:
        return keys, np.empty(0, np.int64)
    number, rest = split(keys, size)
    moved = place[number] * size + rest
    order = np.argsort(moved, kind="stable")
    return moved[order], order


def _slowest_of_each(series: Rows, slowness: Floats, rows: Rows) -> list[int]:
    """Find of each series, among some rows, the slowest; of equal ones the last."""
    if len(rows) == 0:
        return []
    own, seconds = series[rows], slowness[rows]
    size = int(own.max()) + 1
    _, slowest = tally_extremes(own, seconds, size, True)
    best = np.full(size, -1, np.int64)
    is_best = seconds == slowest[own]
    best[own[is_best]] = rows[is_best]
    found: list[int] = best[best >= 0].tolist()
    return found

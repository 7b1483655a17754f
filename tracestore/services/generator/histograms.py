"""Histograms of many label sets: classic ones with fixed buckets, and Prometheus' native ones.

Source: Prometheus, model/histogram and client_golang's sparse histograms for the native kind:
exponential buckets, a factor that says how wide, and a bound on their number that is kept by
beginning anew or, if that was not long ago, by halving the resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tracestore.kernel import TextTable
from tracestore.model.collection import Family, MetricType
from tracestore.model.span_metrics import le_texts
from tracestore.services.generator.instruments import (
    Floats,
    PerLabelSet,
    Places,
    Slot,
    TraceIds,
    grown,
)

ZERO_THRESHOLD: Final = 2.0**-128
"""Observations up to this are in the bucket of zeros, as Prometheus has it by default."""
SCHEMA_MAX, SCHEMA_MIN = 8, -4


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """What is observed, side by side."""

    places: Places
    seconds: Floats
    weights: Floats | None
    """How often each counts; None: once."""
    trace_ids: TraceIds


class ClassicHistogram(PerLabelSet):
    """Counts of buckets with fixed bounds, and their latest exemplars."""

    _ARRAYS = (
        "touched",
        "is_new",
        "_counts",
        "_sums",
        "_exemplar_ids",
        "_exemplar_seconds",
        "_has_exemplar",
    )

    def __init__(self, name: str, help_text: str, bounds: Sequence[float]) -> None:
        """Args: bounds: upper bounds, ascending, in seconds, without infinity."""
        self.family = Family(name=name, type=MetricType.HISTOGRAM, help=help_text)
        buckets = (Slot(suffix="_bucket", labels=(("le", le),)) for le in le_texts(bounds))
        self.slots: Final = (
            *buckets,
            Slot(suffix="_sum", starts_at_zero=False),
            Slot(suffix="_count"),
        )
        self.touched = np.zeros(0, np.bool_)
        self.is_new = np.zeros(0, np.bool_)
        self._bounds = np.array(bounds, np.float64)
        width = len(bounds) + 1
        self._counts = np.zeros((0, width))
        self._sums = np.zeros(0)
        self._exemplar_ids = np.zeros((0, width, 2), np.uint64)
        self._exemplar_seconds = np.full((0, width), np.nan)
        self._has_exemplar = np.zeros((0, width), np.bool_)

    def observe(self, seen: Observations) -> None:
        """Count observations; of a bucket the last one is its exemplar."""
        bucket = np.searchsorted(self._bounds, seen.seconds, side="left")
        weights = 1.0 if seen.weights is None else seen.weights
        cells = seen.places.astype(np.int64) * self._counts.shape[1] + bucket
        np.add.at(self._counts.reshape(-1), cells, weights)
        np.add.at(self._sums, seen.places, seen.seconds * weights)
        self._exemplar_ids.reshape(-1, 2)[cells] = seen.trace_ids
        self._exemplar_seconds.reshape(-1)[cells] = seen.seconds
        self._has_exemplar.reshape(-1)[cells] = True
        self.is_new[seen.places] |= ~self.touched[seen.places]
        self.touched[seen.places] = True

    def values(self, places: npt.NDArray[np.int64]) -> Floats:
        """Get the values of label sets: (n, slots), buckets cumulative."""
        cumulative = np.cumsum(self._counts[places], axis=1)
        return np.concatenate([cumulative, self._sums[places][:, None], cumulative[:, -1:]], axis=1)

    def take_exemplars(
        self, *, forget: bool
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats, TraceIds]:
        """Get the exemplars since they were last forgotten: places, slots, seconds, trace IDs."""
        places, slots = np.nonzero(self._has_exemplar)
        seconds = self._exemplar_seconds[places, slots]
        trace_ids = self._exemplar_ids[places, slots]
        if forget:
            self._has_exemplar[:] = False
        return places, slots, seconds, trace_ids


@dataclass(slots=True)
class NativeRows:
    """Native histograms of some label sets, side by side."""

    schema: npt.NDArray[np.int32]
    counts: Floats
    sums: Floats
    zero_counts: Floats
    first_bucket: npt.NDArray[np.int64]
    bucket_index: npt.NDArray[np.int32]
    bucket_counts: Floats
    is_reset: npt.NDArray[np.bool_]


def schema_of(factor: float) -> int:
    """Get the schema whose buckets grow by no more than a factor: the coarsest such one."""
    for schema in range(SCHEMA_MIN, SCHEMA_MAX):
        if 2.0 ** (2.0**-schema) <= factor:
            return schema
    return SCHEMA_MAX


def bucket_indexes(seconds: Floats, schema: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Find the bucket of each observation above zero: base ** (i - 1) < v <= base ** i."""
    scale = np.exp2(schema.astype(np.float64))
    return np.ceil(np.round(np.log2(seconds) * scale, 11)).astype(np.int64)


class NativeHistogram(PerLabelSet):
    """Sparse exponential histograms."""

    _ARRAYS = (
        "touched",
        "_schema",
        "_sums",
        "_zeros",
        "_born_s",
        "_is_reset",
        "_exemplar_ids",
        "_exemplar_seconds",
        "_has_exemplar",
    )

    def __init__(
        self, name: str, help_text: str, *, factor: float, buckets_max: int, reset_s: float
    ) -> None:
        """Args:
        factor: how much wider a bucket may be than the one before, above 1.
        buckets_max: buckets of one histogram; 0: any.
        reset_s: age from which one with more begins anew.
        """
        self.family = Family(name=name, type=MetricType.HISTOGRAM, help=help_text)
        self.slots: Final = (Slot(suffix="", starts_at_zero=False),)
        self._schema0 = schema_of(factor)
        self._buckets_max = buckets_max
        self._reset_s = reset_s
        self.touched = np.zeros(0, np.bool_)
        self._schema = np.zeros(0, np.int32)
        self._sums = np.zeros(0)
        self._zeros = np.zeros(0)
        self._born_s = np.zeros(0)
        self._is_reset = np.zeros(0, np.bool_)
        self._exemplar_ids = np.zeros((0, 2), np.uint64)
        self._exemplar_seconds = np.zeros(0)
        self._has_exemplar = np.zeros(0, np.bool_)
        self._cells = TextTable()
        self._cell_counts = np.zeros(0)

    def keep(self, places: npt.NDArray[np.int64]) -> None:
        """Go on with some of the label sets, in this order."""
        new_place = np.full(max(len(self._sums), 1), -1, np.int32)
        new_place[places] = np.arange(len(places), dtype=np.int32)
        cells, counts = self._all_cells()
        cells[:, 0] = new_place[cells[:, 0]]
        stays = cells[:, 0] >= 0
        super().keep(places)
        self._set_cells(cells[stays], counts[stays])

    def observe(self, seen: Observations, now_s: float) -> None:
        """Count observations."""
        places = seen.places
        fresh = np.unique(places[~self.touched[places]])
        self.touched[fresh] = True
        self._schema[fresh] = self._schema0
        self._born_s[fresh] = now_s
        weights = np.ones(len(places)) if seen.weights is None else seen.weights
        np.add.at(self._sums, places, seen.seconds * weights)
        is_zero = seen.seconds <= ZERO_THRESHOLD
        np.add.at(self._zeros, places[is_zero], weights[is_zero])
        self._exemplar_ids[places] = seen.trace_ids
        self._exemplar_seconds[places] = seen.seconds
        self._has_exemplar[places] = True
        some = ~is_zero
        if some.any():
            indexes = bucket_indexes(seen.seconds[some], self._schema[places[some]])
            cells = np.stack([places[some], indexes.astype(np.int32)], axis=1)
            self._add_cells(cells, weights[some])
            if self._buckets_max:
                self._bound(np.unique(places[some]), now_s)

    def _add_cells(self, cells: npt.NDArray[np.int32], counts: Floats) -> None:
        numbers = self._cells.intern_rows(np.ascontiguousarray(cells))
        if len(self._cells) > len(self._cell_counts):
            self._cell_counts = grown(self._cell_counts, len(self._cells))
        np.add.at(self._cell_counts, numbers, counts)

    def _all_cells(self) -> tuple[npt.NDArray[np.int32], Floats]:
        return self._cells.rows(2), self._cell_counts[: len(self._cells)]

    def _set_cells(self, cells: npt.NDArray[np.int32], counts: Floats) -> None:
        self._cells, self._cell_counts = TextTable(), np.zeros(0)
        self._add_cells(cells, counts)

    def _bound(self, places: npt.NDArray[np.int32], now_s: float) -> None:
        """Keep the number of buckets: begin anew what is old enough, else make it coarser."""
        while True:
            cells, counts = self._all_cells()
            sizes = np.bincount(cells[:, 0], minlength=len(self._sums))
            full = places[sizes[places] > self._buckets_max]
            if len(full) == 0:
                return
            old = full[now_s - self._born_s[full] >= self._reset_s]
            for array in (self._sums, self._zeros):
                array[old] = 0
            self._schema[old] = self._schema0
            self._born_s[old] = now_s
            self._is_reset[old] = True
            stays = ~np.isin(cells[:, 0], old)
            cells, counts = cells[stays], counts[stays]
            coarser = np.setdiff1d(full, old)
            coarser = coarser[self._schema[coarser] > SCHEMA_MIN]
            self._schema[coarser] -= 1
            halved = np.isin(cells[:, 0], coarser)
            cells[halved, 1] = (cells[halved, 1] + 1) >> 1
            self._set_cells(cells, counts)
            if len(coarser) == 0 and len(old) == 0:
                return

    def rows(self, places: npt.NDArray[np.int64], *, forget: bool) -> NativeRows:
        """Get the histograms of label sets."""
        cells, counts = self._all_cells()
        order = np.lexsort((cells[:, 1], cells[:, 0]))
        cells, counts = cells[order], counts[order]
        new_place = np.full(max(len(self._sums), 1), -1, np.int64)
        new_place[places] = np.arange(len(places))
        owner = new_place[cells[:, 0]]
        cells, counts, owner = cells[owner >= 0], counts[owner >= 0], owner[owner >= 0]
        again = np.argsort(owner, kind="stable")
        sums = np.bincount(owner, weights=counts, minlength=len(places))
        sizes = np.bincount(owner, minlength=len(places))
        found = NativeRows(
            schema=self._schema[places],
            counts=sums + self._zeros[places],
            sums=self._sums[places],
            zero_counts=self._zeros[places],
            first_bucket=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            bucket_index=cells[again, 1],
            bucket_counts=counts[again],
            is_reset=self._is_reset[places],
        )
        if forget:
            self._is_reset[places] = False
        return found

    def take_exemplars(
        self, *, forget: bool
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats, TraceIds]:
        """Get the exemplars as ``ClassicHistogram`` does; all are of slot 0."""
        (places,) = np.nonzero(self._has_exemplar)
        seconds, trace_ids = self._exemplar_seconds[places], self._exemplar_ids[places]
        if forget:
            self._has_exemplar[:] = False
        return places, np.zeros(len(places), np.int64), seconds, trace_ids

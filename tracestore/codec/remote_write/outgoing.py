"""What of a collection goes to one receiver, and in which requests.

A request holds whole series, so that requests of one collection may be on their way at the same
time without a receiver seeing a series out of order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tracestore.codec.remote_write.columns import Columns
from tracestore.codec.remote_write.fields import Ints, Pieces
from tracestore.codec.remote_write.histograms import histogram_bodies
from tracestore.codec.remote_write.series import SentSeries

DROPPED_SERIES = "dropped_series"
"""Reason: the rules of the receiver drop the series."""
TOO_OLD = "too_old"
"""Reason: older than ``sample_age_limit``."""
UNKNOWN_SERIES = "unknown_series"
"""Reason: its labels were lost with a corrupt part of the queue."""


@dataclass(slots=True, kw_only=True)
class Counts:
    """Items of a collection or request."""

    samples: int = 0
    exemplars: int = 0
    histograms: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            samples=self.samples + other.samples,
            exemplars=self.exemplars + other.exemplars,
            histograms=self.histograms + other.histograms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExemplarItems:
    """Exemplars in the order of the entries that they belong to."""

    first: Ints
    """(entries + 1,)"""
    values: npt.NDArray[np.float64]
    times_ms: Ints
    label: str
    ids: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Series with their samples, or with their native histograms."""

    rows: Ints
    """(n,) of the table of series."""
    first: Ints
    """(n + 1,) where the samples or histograms of each begin."""
    values: npt.NDArray[np.float64]
    times_ms: Ints
    bodies: Pieces | None
    """Of histograms; then there are no values."""
    exemplars: ExemplarItems


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one request holds: a range of entries."""

    entries: Entries
    start: int
    stop: int

    @property
    def counts(self) -> Counts:
        """Count the items."""
        entries = self.entries
        items = int(entries.first[self.stop] - entries.first[self.start])
        exemplars = entries.exemplars.first
        return Counts(
            samples=items if entries.bodies is None else 0,
            histograms=0 if entries.bodies is None else items,
            exemplars=int(exemplars[self.stop] - exemplars[self.start]),
        )


@dataclass(slots=True, kw_only=True)
class Outgoing:
    """Requests of a collection, and what is left out by reason."""

    batches: list[Batch] = field(default_factory=list)
    dropped: dict[str, Counts] = field(default_factory=dict)


def plan_requests(
    columns: Columns, sent: SentSeries, *, not_before_ms: int, samples_max: int
) -> Outgoing:
    """Choose what is sent and cut it into requests.

    Args:
        not_before_ms: earlier samples are left out.
        samples_max: of one request; a series with more is a request of its own.
    """
    plan = Outgoing()
    chosen = _Chooser(columns, sent, not_before_ms, plan)
    for entries in (chosen.samples(), chosen.histograms()):
        plan.batches += _cut(entries, samples_max)
    chosen.count_lone_exemplars()
    return plan


def _cut(entries: Entries, samples_max: int) -> Iterator[Batch]:
    start, count = 0, len(entries.rows)
    while start < count:
        limit = entries.first[start] + samples_max
        stop = int(np.searchsorted(entries.first, limit, side="right")) - 1
        stop = max(stop, start + 1)
        yield Batch(entries=entries, start=start, stop=stop)
        start = stop


class _Chooser:
    def __init__(
        self, columns: Columns, sent: SentSeries, not_before_ms: int, plan: Outgoing
    ) -> None:
        self._columns = columns
        self._sent = sent
        self._not_before_ms = not_before_ms
        self._plan = plan
        self._placed_exemplars = np.zeros(len(columns.exemplar_series), np.bool_)

    def samples(self) -> Entries:
        columns = self._columns
        rows, mask = self._choose(columns.series, columns.times_ms, "samples")
        series, rows = columns.series[mask], rows[mask]
        starts = _starts(series)
        return Entries(
            rows=rows[starts],
            first=np.append(starts, len(rows)),
            values=columns.values[mask],
            times_ms=columns.times_ms[mask],
            bodies=None,
            exemplars=self._exemplars(series[starts]),
        )

    def histograms(self) -> Entries:
        columns = self._columns
        series = columns.histogram_series
        rows, mask = self._choose(series, np.full(len(series), columns.time_ms), "histograms")
        bodies = histogram_bodies(columns)
        if not mask.all():
            bodies = bodies.filter(mask)
        series, rows = series[mask], rows[mask]
        starts = _starts(series)
        return Entries(
            rows=rows[starts],
            first=np.append(starts, len(rows)),
            values=np.empty(0, np.float64),
            times_ms=np.empty(0, np.int64),
            bodies=bodies,
            exemplars=self._exemplars(series[starts]),
        )

    def count_lone_exemplars(self) -> None:
        """Count exemplars whose series has no sample that is sent."""
        lone = int(np.count_nonzero(~self._placed_exemplars))
        if lone:
            self._drop(DROPPED_SERIES, Counts(exemplars=lone))

    def _choose(
        self, series: Ints, times_ms: Ints, kind: str
    ) -> tuple[Ints, npt.NDArray[np.bool_]]:
        rows = self._sent.table.rows_of(series)
        known = rows >= 0
        kept = np.zeros(len(rows), np.bool_)
        kept[known] = self._sent.kept()[rows[known]] == 1
        fresh = times_ms >= self._not_before_ms
        for reason, mask in (
            (UNKNOWN_SERIES, ~known),
            (DROPPED_SERIES, known & ~kept),
            (TOO_OLD, kept & ~fresh),
        ):
            if count := int(np.count_nonzero(mask)):
                self._drop(reason, Counts(**{kind: count}))
        return rows, kept & fresh

    def _drop(self, reason: str, counts: Counts) -> None:
        self._plan.dropped[reason] = self._plan.dropped.get(reason, Counts()) + counts

    def _exemplars(self, series: Ints) -> ExemplarItems:
        columns = self._columns
        of = columns.exemplar_series
        mask = np.isin(of, series) & ~self._placed_exemplars
        self._placed_exemplars |= mask
        return ExemplarItems(
            first=np.append(np.searchsorted(of[mask], series), np.count_nonzero(mask)),
            values=columns.exemplar_values[mask],
            times_ms=columns.exemplar_times_ms[mask],
            label=columns.exemplar_label,
            ids=[columns.exemplar_ids[i] for i in np.flatnonzero(mask).tolist()],
        )


def _starts(series: Ints) -> Ints:
    """Get where each run of equal numbers begins."""
    if len(series) == 0:
        return np.empty(0, np.int64)
    return np.flatnonzero(np.append(True, series[1:] != series[:-1]))

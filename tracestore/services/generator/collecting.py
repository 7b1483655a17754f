"""Groups of series -> a ``Collection``: arrays of samples, and labels that are made when asked for.

The number of a series holds the number of its group, the serial of its label set and its slot, so
that it never means anything else as long as the process lives.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tracestore.model.collection import (
    Collection,
    Exemplars,
    Family,
    Labels,
    NativeHistograms,
)
from tracestore.model.ids import TenantId
from tracestore.model.span_metrics import OVERFLOW_LABELS
from tracestore.services.generator.entities import OVERFLOW
from tracestore.services.generator.histograms import (
    ZERO_THRESHOLD,
    ClassicHistogram,
    NativeHistogram,
)
from tracestore.services.generator.instruments import Counter, Number
from tracestore.services.generator.series import Group, SeriesInstrument
from tracestore.services.generator.vocabulary import Numbers, Vocabulary

MINUTE_MS = 60_000
_GROUP_BITS = 44
_SERIAL_MASK = (1 << _GROUP_BITS) - 1

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What labels have beside those of their label set."""

    external: Labels
    name_bytes_max: int
    trace_id_label: str = "traceID"


@dataclass(frozen=True, slots=True)
class _GroupLabels:
    """The labels of a group as they were at one time."""

    serials: Int64s
    rows: Numbers
    labels: tuple[str, ...]
    instruments: tuple[SeriesInstrument, ...]
    offsets: tuple[int, ...]
    width: int

    def find(self, number: int) -> tuple[int, SeriesInstrument, int]:
        """Find the place, the instrument and the slot of a series of this group."""
        serial, at = divmod(number, self.width)
        place = int(np.searchsorted(self.serials, serial))
        if place == len(self.serials) or self.serials[place] != serial:
            raise KeyError(number)
        which = bisect.bisect_right(self.offsets, at) - 1
        return place, self.instruments[which], at - self.offsets[which]


class SeriesNames(Mapping[int, Labels]):
    """Number of a series -> its labels, made anew each time: whoever asks should remember them."""

    def __init__(
        self, groups: dict[int, _GroupLabels], vocabulary: Vocabulary, naming: Naming
    ) -> None:
        self._groups = groups
        self._vocabulary = vocabulary
        self._naming = naming

    def __getitem__(self, series: int) -> Labels:
        group = self._groups[series >> _GROUP_BITS]
        place, instrument, at = group.find(series & _SERIAL_MASK)
        slot = instrument.slots[at]
        found = dict(self._naming.external)
        if place == OVERFLOW:
            found |= dict(OVERFLOW_LABELS)
        else:
            for name, number in zip(group.labels, group.rows[place], strict=True):
                if number > 0:
                    found[name] = self._vocabulary.text(int(number))
        found |= dict(slot.labels)
        found["__name__"] = instrument.family.name + slot.suffix
        most = self._naming.name_bytes_max
        return tuple(sorted((_cut(name, most), value) for name, value in found.items() if value))

    def family(self, series: int) -> Family:
        """Get the family of a series."""
        group = self._groups[series >> _GROUP_BITS]
        return group.find(series & _SERIAL_MASK)[1].family

    def __iter__(self) -> Iterator[int]:
        for number, group in self._groups.items():
            for serial in group.serials:
                for slot in range(group.width):
                    yield number << _GROUP_BITS | int(serial) * group.width + slot

    def __len__(self) -> int:
        return sum(len(group.serials) * group.width for group in self._groups.values())


class SeriesFamilies(Mapping[int, Family]):
    """Number of a series -> its family."""

    def __init__(self, names: SeriesNames) -> None:
        self._names = names

    def __getitem__(self, series: int) -> Family:
        return self._names.family(series)

    def __iter__(self) -> Iterator[int]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _cut(name: str, most: int) -> str:
    encoded = name.encode()
    return name if len(encoded) <= most else encoded[:most].decode(errors="ignore")


@dataclass(slots=True)
class _Parts:
    """What a collection is put together of."""

    series: list[Int64s] = field(default_factory=list)
    values: list[npt.NDArray[np.float64]] = field(default_factory=list)
    times: list[Int64s] = field(default_factory=list)
    exemplar_series: list[Int64s] = field(default_factory=list)
    exemplar_seconds: list[npt.NDArray[np.float64]] = field(default_factory=list)
    exemplar_ids: list[npt.NDArray[np.uint64]] = field(default_factory=list)
    native: list[NativeHistograms] = field(default_factory=list)


def collect(
    tenant: TenantId,
    groups: Mapping[int, Group],
    vocabulary: Vocabulary,
    naming: Naming,
    now_ms: int,
    *,
    begins: bool,
    generation: int = 0,
) -> Collection:
    """Take all series as they are now.

    Args:
        groups: by number, which must never be given to another group.
        begins: whether new series get a zero at the end of the minute before, and exemplars are
            forgotten: for what is written out. Otherwise nothing changes.
        generation: of whoever numbers the groups.
    """
    parts = _Parts()
    shown: dict[int, _GroupLabels] = {}
    for number, group in groups.items():
        entities = group.entities
        shown[number] = _GroupLabels(
            entities.serial.copy(),
            entities.rows,
            entities.labels,
            group.instruments,
            group.offsets,
            group.width,
        )
        for instrument, offset in zip(group.instruments, group.offsets, strict=True):
            first = (number << _GROUP_BITS) + entities.serial * group.width + offset
            _take(parts, instrument, first, now_ms, begins=begins)
    names = SeriesNames(shown, vocabulary, naming)
    return Collection(
        tenant=tenant,
        time_ms=now_ms,
        series=_joined(parts.series, np.int64),
        values=_joined(parts.values, np.float64),
        times_ms=_joined(parts.times, np.int64),
        labels=names,
        families=SeriesFamilies(names),
        generation=generation,
        exemplars=_exemplars(parts, naming, now_ms),
        histograms=_natives(parts.native),
    )


def _take(
    parts: _Parts, instrument: SeriesInstrument, first: Int64s, now_ms: int, *, begins: bool
) -> None:
    """Add the samples of an instrument. Args: first: (E,) number of the first slot of each."""
    (places,) = np.nonzero(instrument.touched[: len(first)])
    if isinstance(instrument, NativeHistogram):
        if len(places):
            parts.native.append(_native(instrument, places, first, forget=begins))
    else:
        assert isinstance(instrument, Counter | ClassicHistogram)
        slots = np.arange(len(instrument.slots))
        if begins:
            (new,) = np.nonzero(instrument.is_new[: len(first)])
            from_zero = np.array([slot.starts_at_zero for slot in instrument.slots])
            series = (first[new][:, None] + slots[from_zero]).reshape(-1)
            before_ms = now_ms // MINUTE_MS * MINUTE_MS - 1
            _add(parts, series, np.zeros(len(series)), before_ms)
            instrument.is_new[:] = False
        series = (first[places][:, None] + slots).reshape(-1)
        _add(parts, series, instrument.values(places).reshape(-1), now_ms)
    if isinstance(instrument, ClassicHistogram | NativeHistogram):
        at, slot, seconds, trace_ids = instrument.take_exemplars(forget=begins)
        parts.exemplar_series.append(first[at] + slot)
        parts.exemplar_seconds.append(seconds)
        parts.exemplar_ids.append(trace_ids)


def _add(parts: _Parts, series: Int64s, values: npt.NDArray[np.float64], time_ms: int) -> None:
    parts.series.append(series)
    parts.values.append(values)
    parts.times.append(np.full(len(series), time_ms, np.int64))


def _joined(arrays: Sequence[npt.NDArray[Number]], kind: type[Number]) -> npt.NDArray[Number]:
    return np.concatenate([np.empty(0, kind), *arrays])


def _exemplars(parts: _Parts, naming: Naming, now_ms: int) -> Exemplars | None:
    series = _joined(parts.exemplar_series, np.int64)
    if len(series) == 0:
        return None
    digits = np.concatenate(parts.exemplar_ids).tobytes().hex()
    trace_ids = [digits[at : at + 32].lstrip("0") for at in range(0, len(digits), 32)]
    return Exemplars(
        series=series,
        values=_joined(parts.exemplar_seconds, np.float64),
        times_ms=np.full(len(series), now_ms, np.int64),
        label=naming.trace_id_label,
        trace_ids=trace_ids,
    )


def _native(
    instrument: NativeHistogram, places: Int64s, first: Int64s, *, forget: bool
) -> NativeHistograms:
    rows = instrument.rows(places, forget=forget)
    return NativeHistograms(
        series=first[places],
        schema=rows.schema,
        counts=rows.counts,
        sums=rows.sums,
        zero_counts=rows.zero_counts,
        zero_threshold=ZERO_THRESHOLD,
        first_bucket=rows.first_bucket,
        bucket_index=rows.bucket_index,
        bucket_counts=rows.bucket_counts,
        is_reset=rows.is_reset,
    )


def _natives(parts: Sequence[NativeHistograms]) -> NativeHistograms | None:
    if not parts:
        return None
    begins = np.cumsum([0, *(part.first_bucket[-1] for part in parts)])
    firsts = [part.first_bucket[:-1] + at for part, at in zip(parts, begins, strict=False)]
    return NativeHistograms(
        series=np.concatenate([part.series for part in parts]),
        schema=np.concatenate([part.schema for part in parts]),
        counts=np.concatenate([part.counts for part in parts]),
        sums=np.concatenate([part.sums for part in parts]),
        zero_counts=np.concatenate([part.zero_counts for part in parts]),
        zero_threshold=ZERO_THRESHOLD,
        first_bucket=np.append(np.concatenate(firsts), begins[-1]).astype(np.int64),
        bucket_index=np.concatenate([part.bucket_index for part in parts]),
        bucket_counts=np.concatenate([part.bucket_counts for part in parts]),
        is_reset=np.concatenate([part.is_reset for part in parts]),
    )

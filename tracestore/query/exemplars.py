"""Spans that stand for what a series counts: a few, of stored traces, spread over time and series.

The range is cut into equal parts; of each at most two spans are shown, of traces of their own.
Series with few spans come first, since what is rare is what one wants to open.

Source: TraceQL reference, 6.10; wire contract, 10.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traceql.attributes import Field, Intrinsic
from tracestore.model.ids import format_trace_id
from tracestore.model.results import AttributeValue
from tracestore.model.series import Exemplar, Labels
from tracestore.query.bind import Binder
from tracestore.query.counted import CountedSpans
from tracestore.query.expressions import Expression
from tracestore.query.metrics_parts import CandidatePart
from tracestore.query.numbering import number_by_first
from tracestore.query.parts import Domain
from tracestore.query.scan import ChunkScan
from tracestore.query.spansets import value_at

PER_PART = 2
"""Exemplars in each part of the range."""
_SPARE = 4
"""Beyond those that are shown, one in so many is chosen, so that rare series have a chance."""
_NOT_SHOWN = (Intrinsic.TRACE_ID, Intrinsic.PARENT, Intrinsic.ANY)
"""The trace is shown anyway; the others have no value."""
LOOKED_AT = 4096
"""Spans of a chunk that are looked at, evenly spread."""
FRESH_MAX = 16
"""Series of a chunk that are looked for although none of their spans was looked at."""
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span that may be shown."""

    series: int
    """What it was offered for."""
    part: int
    exemplar: Exemplar
    trace_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Spans of a chunk, by the series that count them."""

    spans: CountedSpans
    places: Rows | None
    """(K,) which of the spans; None: all."""
    numbers: Callable[[Rows], Rows]
    """Gives a number of the series of some of the K."""
    occurring: Rows
    """(G,) the numbers that count, ascending; others are passed over."""
    series: Rows
    """(G,) the series of each."""
    values: npt.NDArray[np.float64] | None
    """(K,) what is measured of each; None: the value of its sample."""

    def __len__(self) -> int:
        return len(self.spans) if self.places is None else len(self.places)

    def groups(self, places: Rows) -> Rows:
        """Get the series of some of the K, as places among the G; G where there is none."""
        numbers = self.numbers(places)
        found = np.minimum(np.searchsorted(self.occurring, numbers), len(self.occurring) - 1)
        return np.where(self.occurring[found] == numbers, found, len(self.occurring))


class ExemplarPicker:
    """Picks the exemplars of one function."""

    def __init__(self, count: int, fields: Sequence[Field]) -> None:
        self._count = count
        self._parts = max(1, -(-count // PER_PART))
        self._fields = [field for field in fields if field not in _NOT_SHOWN]
        self._candidates: list[Candidate] = []
        self._of_part = np.zeros(self._parts, np.int64)
        self._of_series: set[int] = set()

    def bind(
        self, binder: Binder, fields: Sequence[tuple[str, Expression]] | None = None
    ) -> BoundPicker:
        """Begin with a source.

        Args:
            fields: what is shown of a span; None: what the query mentions.
        """
        if fields is None:
            fields = [(field.text, binder.field(field)) for field in self._fields]
        return BoundPicker(self, fields)

    def wants(self, series: Rows) -> bool:
        """Tell whether spans of some series could be of use."""
        if self._room <= 0:
            return False
        if (self._of_part < PER_PART).any():
            return True
        return not self._of_series.issuperset(series.tolist())

    def choose(self, offer: Offer) -> tuple[Rows, Rows, Rows]:
        """Choose among spans: place among the K, group and part of the range of each.

        Parts that lack spans get them, those of rare series first; of a series that nothing was
        chosen of one span is chosen anyway.
        """
        looked_at = np.arange(0, len(offer), max(1, len(offer) // LOOKED_AT))
        groups = offer.groups(looked_at)
        counted = np.flatnonzero(groups < len(offer.series))
        looked_at, groups = looked_at[counted], groups[counted]
        part = self._part(offer, looked_at)
        pair, first = number_by_first(groups * self._parts + part)
        last = first.copy()
        last[pair] = np.arange(len(pair))
        first = np.concatenate([first, last[last != first]])
        part, group, rarity = part[first], groups[first], np.bincount(pair)[pair[first]]
        known = np.array(sorted(self._of_series), np.int64)
        is_new = ~np.isin(offer.series, known)
        lacking = np.flatnonzero(self._of_part[part] < PER_PART)
        is_old = ~is_new[group[lacking]]
        order = lacking[np.lexsort((rarity[lacking], is_old, part[lacking]))]
        rank = np.arange(len(order)) - np.searchsorted(part[order], part[order])
        chosen = order[rank < PER_PART - self._of_part[part[order]]]
        is_new[group[chosen]] = False
        fresh = self._first_of(offer, np.flatnonzero(is_new)[:FRESH_MAX])
        places = np.concatenate([looked_at[first[chosen]], fresh])[: self._room]
        return places, offer.groups(places), self._part(offer, places)

    def _part(self, offer: Offer, places: Rows) -> Rows:
        """Find the part of the range in which spans begin."""
        spans = offer.spans
        own = places if offer.places is None else offer.places.take(places)
        length = spans.grid.count * spans.grid.step_ns
        return (spans.offsets(own) // np.uint64(-(-length // self._parts))).view(np.int64)

    def _first_of(self, offer: Offer, groups: Rows) -> Rows:
        """Find the first span of some groups."""
        if len(groups) == 0:
            return groups
        of_all = offer.numbers(np.arange(len(offer)))
        return np.array([int(np.argmax(of_all == offer.occurring[group])) for group in groups])

    @property
    def _room(self) -> int:
        return self._count + self._count // _SPARE - len(self._candidates)

    def add(self, candidate: Candidate) -> None:
        """Take a chosen span."""
        self._candidates.append(candidate)
        self._of_part[min(candidate.part, self._parts - 1)] += 1
        self._of_series.add(candidate.series)

    def part(self) -> tuple[CandidatePart, ...]:
        """Give out all that were chosen."""
        return tuple(
            CandidatePart(
                series=one.series, part=one.part, exemplar=one.exemplar, trace_id=one.trace_id
            )
            for one in self._candidates
        )

    def picked(self) -> list[Candidate]:
        """Give out those that are shown: no more than asked for, of distinct traces."""
        shown: list[Candidate] = []
        traces: set[bytes] = set()
        of_series: dict[int, int] = {}
        waiting: dict[int, list[Candidate]] = {}
        for candidate in self._candidates:
            waiting.setdefault(candidate.part, []).append(candidate)
        for part in sorted(waiting):
            for _ in range(PER_PART):
                rest = [one for one in waiting[part] if one.trace_id not in traces]
                if not rest or len(shown) == self._count:
                    break
                best = min(rest, key=lambda one: of_series.get(one.series, 0))
                shown.append(best)
                traces.add(best.trace_id)
                of_series[best.series] = of_series.get(best.series, 0) + 1
        return shown


class BoundPicker:
    """Looks up what is shown of the picked spans of one source."""

    def __init__(self, picker: ExemplarPicker, fields: Sequence[tuple[str, Expression]]) -> None:
        self._picker = picker
        self._fields = fields

    def offer(self, offer: Offer) -> None:
        """Pick some of the spans, if more are needed."""
        if not self._picker.wants(offer.series):
            return
        places, groups, parts = self._picker.choose(offer)
        if len(places) == 0:
            return
        spans = offer.spans
        chosen = places if offer.places is None else offer.places.take(places)
        offsets, points = spans.offsets(chosen).tolist(), spans.points(chosen).tolist()
        rows = spans.rows_at(chosen)
        assert rows is not None
        series = offer.series[groups].tolist()
        values = [float("nan")] * len(places)
        if offer.values is not None:
            values = offer.values[places].tolist()
        for number, (trace_id, labels) in enumerate(self._shown(spans.scan, rows)):
            exemplar = Exemplar(
                labels=labels,
                value=values[number],
                time_ns=spans.grid.origin_ns + 1 + offsets[number],
                point=points[number],
            )
            self._picker.add(Candidate(series[number], int(parts[number]), exemplar, trace_id))

    def _shown(self, scan: ChunkScan, rows: Rows) -> Iterator[tuple[bytes, Labels]]:
        """Look up trace ID and labels of some spans of a chunk."""
        traces = scan.of_source.traces
        stored = rows + scan.chunk.first_span
        trace = np.searchsorted(traces.first_span, stored, side="right") - 1
        fields = []
        for name, bound in self._fields:
            own = bound.domain
            places = rows if own == Domain.SPAN else scan.index(own)[rows]
            fields.append((name, scan.operand(bound, own), places.tolist()))
        for number, row in enumerate(trace.tolist()):
            trace_id = traces.trace_id(row)
            labels: list[tuple[str, AttributeValue]] = [("trace:id", format_trace_id(trace_id))]
            for name, operand, places in fields:
                value = value_at(operand, places[number])
                if value is not None:
                    labels.append((name, value))
            yield trace_id, tuple(labels)

"""Spans that stand for what a series counts: a few, of stored traces, spread over time and series.

The range is cut into equal parts; of each at most two spans are shown, of traces of their own.
Series with few spans come first, since what is rare is what one wants to open.

Source: TraceQL reference, 6.10; wire contract, 10.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from tracestore.query.numbering import number_by_first
from tracestore.query.parts import Domain
from tracestore.query.shown_traces import ShownTraces
from tracestore.query.spansets import value_at

PER_PART = 2
"""Exemplars in each part of the range."""
_CANDIDATES_FACTOR = 4
"""So many times as many spans as are shown are looked at, so that rare series have a chance."""
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
    group: Rows
    """(K,) a number of the series of each."""
    series: Rows
    """The series of each such number."""
    value: Callable[[int], float]
    """What is measured of the K-th; NaN: the value of its sample."""


class ExemplarPicker:
    """Picks the exemplars of one function."""

    def __init__(self, count: int, fields: Sequence[Field]) -> None:
        self._count = count
        self._parts = max(1, -(-count // PER_PART))
        self._fields = [field for field in fields if field is not Intrinsic.TRACE_ID]
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
        # with none asked for that is always so
        if len(self._candidates) >= _CANDIDATES_FACTOR * self._count:
            return False
        if (self._of_part < PER_PART).any():
            return True
        return not self._of_series.issuperset(series.tolist())

    def choose(self, offer: Offer) -> list[tuple[int, int]]:
        """Choose among spans: place among the K and part of the range of each."""
        spans = offer.spans
        offsets = spans.offsets if offer.places is None else spans.offsets.take(offer.places)
        length = spans.grid.count * spans.grid.step_ns
        part = (offsets // np.uint64(-(-length // self._parts))).view(np.int64)
        pair, first = number_by_first(offer.group * self._parts + part)
        part, series = part[first], offer.series[offer.group[first]]
        is_new = ~np.isin(series, np.array(sorted(self._of_series), np.int64))
        useful = np.flatnonzero(is_new | (self._of_part[part] < PER_PART))
        order = useful[np.lexsort((np.bincount(pair)[useful], ~is_new[useful], part[useful]))]
        part_of = part[order]
        rank = np.arange(len(order)) - np.searchsorted(part_of, part_of)
        order = order[rank < PER_PART]
        return list(zip(first[order].tolist(), part[order].tolist(), strict=True))

    def add(self, candidate: Candidate) -> None:
        """Take a chosen span."""
        self._candidates.append(candidate)
        self._of_part[candidate.part] += 1
        self._of_series.add(candidate.series)

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
        for place, part in self._picker.choose(offer):
            span = place if offer.places is None else int(offer.places[place])
            trace_id, labels = self._labels(offer.spans, span)
            series = int(offer.series[offer.group[place]])
            exemplar = Exemplar(
                labels=labels,
                value=offer.value(place),
                time_ns=offer.spans.grid.origin_ns + 1 + int(offer.spans.offsets[span]),
                point=int(offer.spans.points[span]),
            )
            self._picker.add(Candidate(series, part, exemplar, trace_id))

    def _labels(self, spans: CountedSpans, span: int) -> tuple[bytes, Labels]:
        scan, row = spans.scan, spans.row(span)
        traces = scan.of_source.traces
        stored = row + scan.chunk.first_span
        trace = int(np.searchsorted(traces.first_span, stored, side="right")) - 1
        view = ShownTraces(scan.of_source, np.array([trace]))
        own = stored - int(traces.first_span[trace])
        labels: list[tuple[str, AttributeValue]] = [
            ("trace:id", format_trace_id(traces.trace_id(trace)))
        ]
        for name, bound in self._fields:
            domain = bound.domain
            place = own if domain == Domain.SPAN else int(view.index(domain)[own])
            value = value_at(view.operand(bound, domain), place)
            if value is not None:
                labels.append((name, value))
        return traces.trace_id(trace), tuple(labels)

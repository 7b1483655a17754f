"""Selectors -> questions about stored spans, and the answers -> vectors.

What a counter is here: over a range, what was counted in it; by itself, what was counted in the
last hour or so, which a counter that began there would show. A series is there as long as
Tempo's generator would show it: ``stale_ms`` after its last span it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracestore.errors import LimitExceededError
from tracestore.model.span_metrics import le_texts
from tracestore.query.promql.catalog import Metric, Part, find
from tracestore.query.promql.matching import matches
from tracestore.query.promql.nodes import Edge, Selector
from tracestore.query.promql.values import LE, NAME, Bools, Floats, Ints, Vector, empty, united
from tracestore.query.promql.windows import Times, Windows, plan_windows
from tracestore.query.span_series import (
    MESSAGING_SIDE,
    Family,
    LabelSet,
    SeriesCells,
    SeriesQuestion,
)

IRATE_MS = 15_000
"""How far ``irate`` looks back: what lies between two samples of Tempo's generator."""
_STAYING = frozenset({"rate", "increase", "irate", "delta"})
"""Functions whose series are there a while after their last span, as 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What the settings say of counters."""

    lookback_ms: int
    """How far back an instant selector counts."""
    stale_ms: int
    """How long after its last span a series is still there, as 0."""
    samples_max: int
    """Values that a selector may make; 0: any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A selector where it stands."""

    selector: Selector
    function: str = ""
    """Over the range of the selector; empty: it is an instant selector."""
    by: frozenset[str] | None = None
    """All labels that are needed of what is added up; None: all that there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A metric of a selector, and how it is answered."""

    ask: Ask
    metric: Metric
    windows: Windows
    points: int
    """Of the vector that is made: more than those of the windows if ``@`` fixes the time."""
    question: SeriesQuestion

    def vector(self, cells: SeriesCells, meaning: Meaning) -> Vector:
        """Make a vector of the answer.

        Raises: LimitExceededError if it is too large; InvalidRequestError for a bad pattern.
        """
        series, bounds = len(cells.labels), len(cells.bounds) + 1
        rows = series * (bounds if self.metric.part is Part.BUCKET else 1)
        if meaning.samples_max and rows * self.points > meaning.samples_max:
            raise LimitExceededError(
                f"the query makes {rows * self.points} values of {self.metric.name}, the limit "
                f"is {meaning.samples_max} (query.max_metrics_samples): ask for fewer points or "
                "series",
                limit="query.max_metrics_samples",
            )
        labels, values, present = _rows(self.metric, self.windows, cells)
        values = _APPLY[self.ask.function](values, self.ask.selector.range_ms)
        if values.shape[1] != self.points:
            values = np.repeat(values, self.points, axis=1)
            present = np.repeat(present, self.points, axis=1)
        kept = self._kept(labels)
        named = self.ask.function in ("", "last_over_time")
        written = [
            _with_name(labels[place], self.metric.name) if named else labels[place]
            for place in kept
        ]
        return united(written, values[kept], present[kept])

    def _kept(self, labels: list[LabelSet]) -> Ints:
        """Find the rows of those bounds that the selector is about."""
        about = [one for one in self.ask.selector.matchers if one.label == LE]
        kept = range(len(labels))
        if about and self.metric.part is Part.BUCKET:
            bounds = [dict(one)[LE] for one in labels]
            texts = {
                bound: all(matches(one, bound) for one in about) for bound in frozenset(bounds)
            }
            return np.array([place for place in kept if texts[bounds[place]]], np.int64)
        return np.array(kept, np.int64)


def readings_of(ask: Ask, times: Times, meaning: Meaning) -> tuple[Reading, ...]:
    """Find what a selector asks for.

    Raises: InvalidRequestError for a metric that stored spans do not give.
    """
    metrics = find(ask.selector.matchers)
    at = times_of(ask.selector, times)
    if ask.function == "irate":
        windows = plan_windows(at, min(IRATE_MS, ask.selector.range_ms), meaning.stale_ms)
    elif ask.function in _STAYING:
        windows = plan_windows(at, ask.selector.range_ms, meaning.stale_ms)
    else:
        windows = plan_windows(at, ask.selector.range_ms or meaning.lookback_ms)
    return tuple(
        Reading(
            ask=ask,
            metric=metric,
            windows=windows,
            points=times.points,
            question=_question(ask, metric, windows),
        )
        for metric in metrics
    )


def shared(readings: Sequence[Reading]) -> list[Reading]:
    """Have readings ask the same question where one of theirs answers the others, too."""
    asked = {one.question for one in readings}
    return [replace(one, question=_richest(one.question, asked)) for one in readings]


def _richest(question: SeriesQuestion, asked: set[SeriesQuestion]) -> SeriesQuestion:
    """Find the question that says most of what this one says a part of."""
    families = [question.family]
    if question.family is Family.CALLS:
        families.insert(0, Family.LATENCY)
    for has_buckets in (True, False):
        for family in families:
            richer = replace(question, family=family, has_buckets=has_buckets)
            if richer in asked and has_buckets >= question.has_buckets:
                return richer
    return question


def times_of(selector: Selector, times: Times) -> Times:
    """Find the times that a selector looks at: one, if ``@`` fixes it."""
    match selector.at:
        case None:
            return times.shifted(-selector.offset_ms)
        case Edge.START:
            at_ms = times.start_ms
        case Edge.END:
            at_ms = times.end_ms
        case int():
            at_ms = selector.at
    return Times(start_ms=at_ms - selector.offset_ms, step_ms=1, points=1)


def _question(ask: Ask, metric: Metric, windows: Windows) -> SeriesQuestion:
    local = {NAME, LE} if metric.part is Part.BUCKET else {NAME}
    by = None if ask.by is None or not metric.is_additive else tuple(sorted(ask.by - {NAME, LE}))
    return SeriesQuestion(
        family=metric.family,
        start_ns=windows.start_ns,
        step_ns=windows.step_ns,
        points=windows.cells,
        matchers=tuple(one for one in ask.selector.matchers if one.label not in local),
        by=by,
        has_buckets=metric.has_buckets,
    )


def read(
    readings: tuple[Reading, ...],
    answers: Callable[[SeriesQuestion], SeriesCells],
    points: int,
    meaning: Meaning,
) -> Vector:
    """Make the vector of a selector, of all its metrics."""
    vectors = [one.vector(answers(one.question), meaning) for one in readings]
    if not vectors:
        return empty(points)
    if len(vectors) == 1:
        return vectors[0]
    return united(
        [labels for one in vectors for labels in one.labels],
        np.concatenate([one.values for one in vectors]),
        np.concatenate([one.present for one in vectors]),
    )


def _rows(
    metric: Metric, windows: Windows, cells: SeriesCells
) -> tuple[list[LabelSet], Floats, Bools]:
    """Get the series of a metric with what is in their windows."""
    series = len(cells.labels)
    match metric.part:
        case Part.BUCKET:
            return _buckets(metric, windows, cells)
        case Part.COUNT:
            values, present = _sums(windows, cells.keys, cells.columns[0], series)
        case Part.FAILED:
            values, present = _sums(windows, cells.keys, cells.columns[1], series)
        case Part.INFO:
            _, present = _sums(windows, cells.keys, cells.columns[0], series)
            values = np.ones(present.shape)
        case Part.SUM | Part.OBSERVATIONS:
            values, present = _histogram(metric, windows, cells)
    return list(cells.labels), values, present


def _sums(windows: Windows, keys: Ints, values: Floats, rows: int) -> tuple[Floats, Bools]:
    there = values != 0
    return windows.sums(keys[there], values[there], rows)


def _histogram(metric: Metric, windows: Windows, cells: SeriesCells) -> tuple[Floats, Bools]:
    """Get the number of observations, or the sum of their seconds."""
    series = len(cells.labels)
    if metric.side == MESSAGING_SIDE:
        # not every request has one, so they are counted in the buckets
        counts, present = _side_buckets(metric, windows, cells)
        counts, present = counts.sum(axis=1), np.logical_or.reduce(present, axis=1)
    else:
        counts, present = _sums(windows, cells.keys, cells.columns[0], series)
    if metric.part is Part.OBSERVATIONS:
        return counts, present
    column = cells.columns[2 + cells.sides.index(metric.side)]
    # whole nanoseconds add up exactly, and what is taken away leaves nothing behind
    sums, _ = windows.sums(cells.keys, np.rint(column * 1e9).astype(np.int64), series)
    return sums / 1e9, present


def _buckets(
    metric: Metric, windows: Windows, cells: SeriesCells
) -> tuple[list[LabelSet], Floats, Bools]:
    counts, present = _side_buckets(metric, windows, cells)
    series, width, points = counts.shape
    if metric.side == MESSAGING_SIDE:
        there = np.logical_or.reduce(present, axis=1)
    else:
        _, there = _sums(windows, cells.keys, cells.columns[0], series)
    texts = le_texts(cells.bounds)
    labels = [tuple(sorted((*one, (LE, text)))) for one in cells.labels for text in texts]
    return (
        labels,
        counts.cumsum(axis=1).reshape(series * width, points),
        np.repeat(there, width, axis=0),
    )


def _side_buckets(metric: Metric, windows: Windows, cells: SeriesCells) -> tuple[Floats, Bools]:
    """Get the buckets of one side: (series, buckets, points), not cumulative."""
    series, width, sides = len(cells.labels), len(cells.bounds) + 1, len(cells.sides)
    rows, cell = np.divmod(cells.bucket_keys, windows.cells)
    above, bucket = np.divmod(rows, width)
    number, side = np.divmod(above, sides)
    own = side == cells.sides.index(metric.side)
    keys = (number[own] * width + bucket[own]) * windows.cells + cell[own]
    values, present = windows.sums(keys, cells.bucket_counts[own], series * width)
    shape = (series, width, values.shape[1])
    return values.reshape(shape), present.reshape(shape)


def _with_name(labels: LabelSet, name: str) -> LabelSet:
    return tuple(sorted((*labels, (NAME, name))))


def _per_second(values: Floats, range_ms: int) -> Floats:
    return values / (range_ms / 1000)


_APPLY: dict[str, Callable[[Floats, int], Floats]] = {
    "": lambda values, _: values,
    "rate": _per_second,
    "irate": lambda values, range_ms: _per_second(values, min(IRATE_MS, range_ms)),
    "increase": lambda values, _: values,
    "delta": lambda values, _: values,
    "last_over_time": lambda values, _: values,
    "present_over_time": lambda values, _: np.ones(values.shape),
}

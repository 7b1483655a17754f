"""Exemplars: the slowest trace of each histogram in each part of a range.

A generator keeps the latest observation of each bucket and collection; of stored spans the slowest
can be had, which is what one looks for. Source: Prometheus, "Querying exemplars".
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tracestore.model.span_metrics import le_texts
from tracestore.query.promql.catalog import Metric, Part, find
from tracestore.query.promql.matching import matches
from tracestore.query.promql.nodes import Expression, Selector, walk
from tracestore.query.promql.values import LE, NAME
from tracestore.query.promql.windows import MILLISECOND_NS
from tracestore.query.span_series import LabelSet, SeriesCells, SeriesQuestion

PARTS_MAX: Final = 10
"""Parts of a range, each with an exemplar; each is a question of its own."""
PART_MS_MIN: Final = 15_000
"""How long a part is at least: that between two samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplar:
    """A trace that stands for a histogram at a time."""

    trace_id: str
    """Hexadecimal, without leading zeros."""
    value: float
    """Seconds."""
    time_ms: int


Exemplars = Mapping[LabelSet, list[Exemplar]]
"""By the labels of a bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    selector: Selector
    metric: Metric
    end_ms: int
    question: SeriesQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class ExemplarPlan:
    """What must be known to answer."""

    wanted: tuple[_Wanted, ...]

    @property
    def questions(self) -> tuple[SeriesQuestion, ...]:
        """Each once."""
        return tuple(dict.fromkeys(one.question for one in self.wanted))

    def evaluate(self, answers: Mapping[SeriesQuestion, SeriesCells]) -> Exemplars:
        """Find the exemplars, each once, in the order of time."""
        found: dict[LabelSet, list[Exemplar]] = {}
        for one in self.wanted:
            cells = answers[one.question]
            texts = le_texts(cells.bounds)
            for labels, shown in zip(cells.labels, cells.shown, strict=True):
                bound = texts[bisect.bisect_left(cells.bounds, shown.slowest_s)]
                if not _is_about(one.selector, bound):
                    continue
                bucket = tuple(sorted((*labels, (LE, bound), (NAME, one.metric.name))))
                exemplar = Exemplar(
                    trace_id=shown.slowest.lstrip("0"), value=shown.slowest_s, time_ms=one.end_ms
                )
                known = found.setdefault(bucket, [])
                if exemplar not in known:
                    known.append(exemplar)
        return found


def plan_exemplars(expression: Expression, start_ms: int, end_ms: int) -> ExemplarPlan:
    """Find out what must be known: only buckets have exemplars, as in Prometheus.

    Raises: InvalidRequestError for metrics that stored spans do not give.
    """
    length_ms = max(1, end_ms - start_ms)
    parts = max(1, min(PARTS_MAX, length_ms // PART_MS_MIN))
    edges = [start_ms + length_ms * part // parts for part in range(parts + 1)]
    selectors = dict.fromkeys(node for node in walk(expression) if isinstance(node, Selector))
    return ExemplarPlan(
        wanted=tuple(
            _Wanted(
                selector=selector,
                metric=metric,
                end_ms=end,
                question=_question(selector, metric, begin, end),
            )
            for selector in selectors
            for metric in find(selector.matchers)
            if metric.part is Part.BUCKET
            for begin, end in itertools.pairwise(edges)
        )
    )


def _question(selector: Selector, metric: Metric, begin_ms: int, end_ms: int) -> SeriesQuestion:
    return SeriesQuestion(
        family=metric.family,
        start_ns=begin_ms * MILLISECOND_NS,
        step_ns=(end_ms - begin_ms) * MILLISECOND_NS,
        points=1,
        matchers=tuple(one for one in selector.matchers if one.label not in (NAME, LE)),
        has_buckets=False,
        exemplars=True,
    )


def _is_about(selector: Selector, bound: str) -> bool:
    return all(matches(one, bound) for one in selector.matchers if one.label == LE)

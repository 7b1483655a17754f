"""Several questions about the series of spans, answered on one snapshot: those of a PromQL query.

Numerator and denominator of a ratio must have seen the same spans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tracestore.errors import CorruptionError
from tracestore.model.results import QueryStats
from tracestore.query.jobs.operation import QueryKind, Share, Site
from tracestore.query.jobs.span_series import CountSeries
from tracestore.query.jobs.wire import read, write
from tracestore.query.progress import Progress
from tracestore.query.source import SpanSource
from tracestore.query.span_series import SeriesCells, SeriesQuestion
from tracestore.query.span_series_run import SeriesParams
from tracestore.query.totals import sum_stats


@dataclass(frozen=True, slots=True, kw_only=True)
class CountSeveralSeries:
    """The series of each question, in the order of the questions."""

    questions: tuple[SeriesQuestion, ...]
    params: SeriesParams

    NAME: ClassVar = "several span series"
    PART: ClassVar = "part of several span series"

    @property
    def kind(self) -> QueryKind:
        """How metrics call it."""
        return QueryKind.METRICS

    @property
    def _each(self) -> list[CountSeries]:
        return [CountSeries(question=one, params=self.params) for one in self.questions]

    def answer(
        self,
        sources: Sequence[SpanSource],
        site: Site,
        progress: Progress[tuple[SeriesCells, ...]] | None = None,
    ) -> tuple[SeriesCells, ...]:
        """Count. Raises: as ``Operation`` and ``count_series`` say."""
        return tuple(one.answer(sources, site) for one in self._each)

    @property
    def is_divisible(self) -> bool:
        """It is, if anything is asked."""
        return bool(self.questions) and all(one.is_divisible for one in self._each)

    def part(self, sources: Sequence[SpanSource], site: Site, share: Share) -> bytes:
        """Count for some of the sources; see ``Operation``."""
        return write(self.PART, [one.part(sources, site, share) for one in self._each])

    def missing_of(self, part: bytes) -> frozenset[str]:
        """Get the sources that a part is without: one question may be without what others have."""
        pairs = zip(self._each, self._parts(part), strict=True)
        return frozenset[str]().union(*(one.missing_of(own) for one, own in pairs))

    def combine(self, parts: Sequence[bytes], site: Site) -> tuple[SeriesCells, ...]:
        """Make the answer of all parts; see ``Operation``."""
        known = [self._parts(part) for part in parts]
        return tuple(
            one.combine([part[place] for part in known], site)
            for place, one in enumerate(self._each)
        )

    def _parts(self, part: bytes) -> list[bytes]:
        found = read(part, self.PART, list[bytes])
        if len(found) != len(self.questions):
            raise CorruptionError(
                f"{len(found)} parts of answers where {len(self.questions)} were asked for",
                key="wire",
            )
        return found

    def settled(
        self, answer: tuple[SeriesCells, ...], latest_ns: int
    ) -> tuple[SeriesCells, ...] | None:
        """Nothing is shown before the end."""
        return None

    def to_wire(self) -> bytes:
        """Write the questions down."""
        return write(self.NAME, self)

    def stats_of(self, answer: tuple[SeriesCells, ...]) -> QueryStats | None:
        """Tell what was looked at."""
        return sum_stats([one.stats for one in answer])

"""Series that spans make, as the metrics-generator does, of stored ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from tracestore.model.results import QueryStats
from tracestore.query.jobs.operation import QueryKind, Share, Site
from tracestore.query.jobs.wire import read, write
from tracestore.query.progress import Progress
from tracestore.query.series_tally import SeriesPart
from tracestore.query.source import SpanSource
from tracestore.query.span_series import SeriesCells, SeriesQuestion
from tracestore.query.span_series_run import (
    SeriesParams,
    combine_series,
    count_part,
    count_series,
)
from tracestore.query.totals import sum_stats


@dataclass(frozen=True, slots=True, kw_only=True)
class CountSeries:
    """The series of a question."""

    question: SeriesQuestion
    params: SeriesParams

    NAME: ClassVar = "span series"
    PART: ClassVar = "part of span series"

    @property
    def kind(self) -> QueryKind:
        """How metrics call it."""
        return QueryKind.METRICS

    def answer(
        self,
        sources: Sequence[SpanSource],
        site: Site,
        progress: Progress[SeriesCells] | None = None,
    ) -> SeriesCells:
        """Count. Raises: as ``Operation`` and ``count_series`` say."""
        return count_series(sources, self.question, self.params, site.control)

    @property
    def is_divisible(self) -> bool:
        """It is."""
        self.question.check()
        return True

    def part(self, sources: Sequence[SpanSource], site: Site, share: Share) -> bytes:
        """Count for some of the sources; see ``Operation``."""
        given, control = share.of(sources), site.control
        part = count_part(given, self.question, self.params, control, share.primary)
        missing = (*part.missing, *sorted(share.without))
        return write(self.PART, msgspec.structs.replace(part, missing=missing))

    def missing_of(self, part: bytes) -> frozenset[str]:
        """Get the sources that a part is without."""
        return frozenset(read(part, self.PART, SeriesPart).missing)

    def combine(self, parts: Sequence[bytes], site: Site) -> SeriesCells:
        """Make the answer of all parts; see ``Operation``."""
        known = [read(part, self.PART, SeriesPart) for part in parts]
        stats = sum_stats([part.stats for part in known])
        return combine_series(known, self.question, self.params, site.control, stats)

    def settled(self, answer: SeriesCells, latest_ns: int) -> SeriesCells | None:
        """Nothing is shown before the end."""
        return None

    def to_wire(self) -> bytes:
        """Write the question down."""
        return write(self.NAME, self)

    def stats_of(self, answer: SeriesCells) -> QueryStats | None:
        """Tell what was looked at."""
        return answer.stats

"""Traces that match a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import ClassVar

import traceql
from traceql.check import check
from tracestore.errors import CorruptionError, InvalidRequestError
from tracestore.model.results import QueryStats, SearchResult
from tracestore.query.jobs.operation import QueryKind, Share, Site
from tracestore.query.jobs.wire import read, write
from tracestore.query.metrics_sources import CLOCK_SLACK_NS
from tracestore.query.plan import SearchPlan, plan_search
from tracestore.query.progress import Progress
from tracestore.query.search import SearchParams, SearchPart, combine_search, search, search_part
from tracestore.query.source import SpanSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTraces:
    """The first traces that match, in an order."""

    text: str
    """TraceQL."""
    params: SearchParams

    NAME: ClassVar = "search"
    PART: ClassVar = "part of a search"

    @property
    def kind(self) -> QueryKind:
        """How metrics call it."""
        return QueryKind.SEARCH

    def answer(
        self,
        sources: Sequence[SpanSource],
        site: Site,
        progress: Progress[SearchResult] | None = None,
    ) -> SearchResult:
        """Find the traces. Raises: as ``Operation`` and ``search`` say."""
        return search(sources, plan_query(self.text), self.params, site.control, progress)

    @property
    def is_divisible(self) -> bool:
        """Whether it is; not if some trace may fail the query, which those before it may hide."""
        return not plan_query(self.text).may_fail

    def part(self, sources: Sequence[SpanSource], site: Site, share: Share) -> bytes:
        """Answer for some of the sources; see ``Operation``."""
        plan, params = plan_query(self.text), self.params
        part = search_part(share.of(sources), plan, params, site.control, primary=share.primary)
        missing = (*part.missing, *sorted(share.without))
        return write(self.PART, replace(part, missing=missing))

    def missing_of(self, part: bytes) -> frozenset[str]:
        """Get the sources that a part is without."""
        return frozenset(read(part, self.PART, SearchPart).missing)

    def combine(self, parts: Sequence[bytes], site: Site) -> SearchResult:
        """Make the answer of all parts; see ``Operation``."""
        read_parts = [read(part, self.PART, SearchPart) for part in parts]
        for part in read_parts:
            if len(part.keys) != len(part.traces):
                raise CorruptionError("keys and traces do not fit together", key=self.PART)
        return combine_search(read_parts, self.params, site.control)

    def settled(self, answer: SearchResult, latest_ns: int) -> SearchResult | None:
        """Keep the traces that nothing can come before any more: newest first, those that start
        after all sources of the missing parts end. A trace starts no later than any part of it, and
        a whole trace that is not known yet has a part in one of these.

        A span whose clock ran backwards begins behind its end; a minute of that is allowed for.
        """
        if not self.params.is_newest_alone:
            return None
        bound = latest_ns + CLOCK_SLACK_NS
        sure = takewhile(lambda trace: trace.start_ns > bound, answer.traces)
        return replace(answer, traces=tuple(sure))

    def to_wire(self) -> bytes:
        """Write the question down."""
        return write(self.NAME, self)

    def stats_of(self, answer: SearchResult) -> QueryStats | None:
        """Tell what was looked at."""
        return answer.stats


def plan_query(text: str) -> SearchPlan:
    """Read a TraceQL query and decide how to answer it.

    Raises: InvalidRequestError with the position, as Tempo says it.
    """
    try:
        query = traceql.parse(text)
        check(query, text)
        return plan_search(query)
    except traceql.QueryError as error:
        raise InvalidRequestError(f"invalid TraceQL query: {error.locate(text)}") from error

"""Traces that match a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import traceql
from traceql.check import check
from tracestore.errors import InvalidRequestError
from tracestore.model.results import QueryStats, SearchResult
from tracestore.query.jobs.operation import QueryKind, Site
from tracestore.query.plan import SearchPlan, plan_search
from tracestore.query.progress import Progress
from tracestore.query.search import SearchParams, search
from tracestore.query.source import SpanSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTraces:
    """The first traces that match, in an order."""

    text: str
    """TraceQL."""
    params: SearchParams

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

"""Search. Source: wire contract, section 8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from fastapi import Request

import traceql
from traceql.check import check
from tracestore.api.app import Answer, Routes, accepts_gzip, packed
from tracestore.api.negotiate import Encoding, negotiate
from tracestore.api.params import SearchParams, parse_search
from tracestore.api.watch import while_connected
from tracestore.codec.search_json import render_search_json, render_search_protobuf
from tracestore.errors import InvalidRequestError
from tracestore.model.ids import SINGLE_TENANT
from tracestore.model.results import QueryStats
from tracestore.model.times import SECOND_NS
from tracestore.query import search
from tracestore.query.control import QueryControl
from tracestore.query.plan import SearchPlan, plan_search
from tracestore.query.source import SpanSource
from tracestore.services.querier.service import Operation, Querier


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRoutes:
    """The handler."""

    querier: Querier

    def add_to(self, routes: Routes, prefix: str) -> None:
        """Serve the route."""
        routes.add(f"{prefix}/api/search", self.get)

    async def get(self, request: Request) -> Answer:
        """Answer with the traces that match, newest first."""
        querier = self.querier
        now_s = querier.clock.now_ns() // SECOND_NS
        ready = _Search(
            params=parse_search(request.query_params, querier.settings, now_s=now_s),
            encoding=negotiate(request),
            gzipped=accepts_gzip(request),
            count_inspected=partial(querier.count_inspected, SINGLE_TENANT, Operation.SEARCH),
        )
        return await while_connected(
            request,
            lambda cancelled: querier.run(
                SINGLE_TENANT, Operation.SEARCH, ready.evaluate, cancelled
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """One request, ready to be evaluated in a pool thread."""

    params: SearchParams
    encoding: Encoding
    gzipped: bool
    count_inspected: Callable[[QueryStats], None]

    def evaluate(self, sources: Sequence[SpanSource], control: QueryControl) -> Answer:
        params = self.params
        plan = plan_query(params.query or legacy_query(params))
        wanted = search.SearchParams(
            limit=params.limit,
            spans_per_span_set=params.spans_per_span_set,
            window=params.time_range,
        )
        result = search.search(sources, plan, wanted, control)
        self.count_inspected(result.stats)
        render = render_search_json
        if self.encoding is Encoding.PROTOBUF:
            render = render_search_protobuf
        body = render(result, span_sets=bool(params.query))
        return packed(Answer(body=body, media_type=self.encoding), gzipped=self.gzipped)


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


def legacy_query(params: SearchParams) -> str:
    """Write a search without a query as one: every trace, or those of a duration."""
    bounds = []
    if params.min_duration_ns:
        bounds.append(f"traceDuration >= {params.min_duration_ns}ns")
    if params.max_duration_ns:
        bounds.append(f"traceDuration <= {params.max_duration_ns}ns")
    return "{ " + " && ".join(bounds) + " }"

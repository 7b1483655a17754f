"""Search. Source: wire contract, section 8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from fastapi import Request

import traceql
from traceql.check import check
from tracestore.api.app import Answer, Routes, accepts_gzip, packed
from tracestore.api.headers import MISSING_HEADER
from tracestore.api.negotiate import Encoding, negotiate
from tracestore.api.params import SearchParams, parse_search
from tracestore.api.query_string import parameters_of
from tracestore.api.tenant import Tenancy
from tracestore.api.wanted import text_of, wanted_of
from tracestore.api.watch import while_connected
from tracestore.codec.search_json import render_search_json, render_search_protobuf
from tracestore.errors import InvalidRequestError
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
    tenancy: Tenancy

    def add_to(self, routes: Routes, prefix: str) -> None:
        """Serve the route."""
        routes.add(f"{prefix}/api/search", self.get)

    async def get(self, request: Request) -> Answer:
        """Answer with the traces that match, newest first unless asked otherwise."""
        org = self.tenancy.org_of(request)
        querier = self.querier
        now_s = querier.clock.now_ns() // SECOND_NS
        settings = querier.settings_for(org.named)
        params = parse_search(parameters_of(request), settings, now_s=now_s)
        encoding = negotiate(request)
        if encoding is Encoding.PROTOBUF and (params.count or params.explain):
            raise InvalidRequestError("count and explain have no place in protobuf: ask for JSON")
        tenants = org.for_reading()
        ready = _Search(
            params=params,
            encoding=encoding,
            gzipped=accepts_gzip(request),
            reach_ns=int(settings.trace_reach_s * SECOND_NS),
            pad_ids=settings.left_pad_trace_ids,
            count_inspected=partial(querier.count_inspected, tenants, Operation.SEARCH),
        )
        return await while_connected(
            request,
            lambda cancelled: querier.run(tenants, Operation.SEARCH, ready.evaluate, cancelled),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """One request, ready to be evaluated in a pool thread."""

    params: SearchParams
    encoding: Encoding
    gzipped: bool
    reach_ns: int
    pad_ids: bool
    count_inspected: Callable[[QueryStats], None]

    def evaluate(self, sources: Sequence[SpanSource], control: QueryControl) -> Answer:
        params = self.params
        text = text_of(params)
        plan = plan_query(text)
        result = search.search(sources, plan, wanted_of(params, text, self.reach_ns), control)
        self.count_inspected(result.stats)
        is_protobuf = self.encoding is Encoding.PROTOBUF
        render = render_search_protobuf if is_protobuf else render_search_json
        body = render(result, span_sets=bool(params.query), pad_ids=self.pad_ids)
        headers = {MISSING_HEADER: ",".join(result.missing)} if result.missing else {}
        answer = Answer(
            body=body,
            media_type=Encoding.PROTOBUF if is_protobuf else Encoding.JSON,
            headers=headers,
        )
        return packed(answer, gzipped=self.gzipped)


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

"""Search. Source: wire contract, section 8."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from tracestore.api.app import Answer, Routes, accepts_gzip, packed
from tracestore.api.headers import MISSING_HEADER
from tracestore.api.negotiate import Encoding, negotiate
from tracestore.api.params import parse_search
from tracestore.api.query_string import parameters_of
from tracestore.api.tenant import Tenancy
from tracestore.api.wanted import text_of, wanted_of
from tracestore.api.watch import while_connected
from tracestore.codec.search_json import render_search_json, render_search_protobuf
from tracestore.errors import InvalidRequestError
from tracestore.model.results import SearchResult
from tracestore.model.times import SECOND_NS
from tracestore.query.jobs.search import SearchTraces
from tracestore.services.querier.runner import Asking, QueryRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRoutes:
    """The handler."""

    runner: QueryRunner
    tenancy: Tenancy

    def add_to(self, routes: Routes, prefix: str) -> None:
        """Serve the route."""
        routes.add(f"{prefix}/api/search", self.get)

    async def get(self, request: Request) -> Answer:
        """Answer with the traces that match, newest first unless asked otherwise."""
        org = self.tenancy.org_of(request)
        runner = self.runner
        now_s = runner.clock.now_ns() // SECOND_NS
        settings = runner.settings_for(org.named)
        params = parse_search(parameters_of(request), settings, now_s=now_s)
        encoding = negotiate(request)
        if encoding is Encoding.PROTOBUF and (params.count or params.explain):
            raise InvalidRequestError("count and explain have no place in protobuf: ask for JSON")
        tenants = org.for_reading()
        text = text_of(params)
        wanted = wanted_of(params, text, int(settings.trace_reach_s * SECOND_NS))
        operation = SearchTraces(text=text, params=wanted)
        rendering = _Rendering(
            span_sets=bool(params.query),
            encoding=encoding,
            gzipped=accepts_gzip(request),
            pad_ids=settings.left_pad_trace_ids,
        )
        return await while_connected(
            request,
            lambda cancelled: runner.run(
                Asking(tenants=tenants, cancelled=cancelled), operation, rendering.render
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rendering:
    """How an answer is sent."""

    span_sets: bool
    encoding: Encoding
    gzipped: bool
    pad_ids: bool

    def render(self, result: SearchResult) -> Answer:
        is_protobuf = self.encoding is Encoding.PROTOBUF
        render = render_search_protobuf if is_protobuf else render_search_json
        body = render(result, span_sets=self.span_sets, pad_ids=self.pad_ids)
        headers = {MISSING_HEADER: ",".join(result.missing)} if result.missing else {}
        answer = Answer(
            body=body,
            media_type=Encoding.PROTOBUF if is_protobuf else Encoding.JSON,
            headers=headers,
        )
        return packed(answer, gzipped=self.gzipped)

"""``/api/service-graph``: who calls whom, out of stored spans. Source: docs/service-graph.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from fastapi import Request

from tracestore.api.app import Answer, Routes, accepts_gzip, packed
from tracestore.api.headers import MISSING_HEADER
from tracestore.api.metrics_params import MetricsRequest, grid_of, parse_partial, parse_times
from tracestore.api.params import check_expression_size, parse_uint32
from tracestore.api.tenant import Tenancy
from tracestore.api.watch import while_connected
from tracestore.codec.service_graph_json import (
    render_graph_dot,
    render_graph_json,
    render_graph_mermaid,
)
from tracestore.errors import InvalidRequestError
from tracestore.model.service_graph import ServiceGraph
from tracestore.query.service_graph import graph_questions, make_graph
from tracestore.query.span_series import SeriesCells
from tracestore.services.querier.runner import Asking
from tracestore.services.querier.span_series import SpanSeries
from tracestore.settings.tree import QuerySettings

ROUTE = "/api/service-graph"


class GraphFormat(StrEnum):
    """How a graph is written."""

    JSON = "json"
    DOT = "dot"
    MERMAID = "mermaid"


_MEDIA_TYPES = {
    GraphFormat.JSON: "application/json",
    GraphFormat.DOT: "text/vnd.graphviz",
    GraphFormat.MERMAID: "text/vnd.mermaid",
}
_RENDERERS: Mapping[GraphFormat, Callable[[ServiceGraph], bytes]] = {
    GraphFormat.JSON: render_graph_json,
    GraphFormat.DOT: render_graph_dot,
    GraphFormat.MERMAID: render_graph_mermaid,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRequest:
    """What a caller asks; the range is checked."""

    start_ns: int
    end_ns: int
    filter: str
    """TraceQL."""
    service: str
    """Empty: all services."""
    depth_max: int
    """0: any."""
    format: GraphFormat
    allow_partial: bool


def parse_graph(
    query: Mapping[str, str], settings: QuerySettings, *, now_ns: int, accept: str = ""
) -> GraphRequest:
    """Read the parameters. Raises: InvalidRequestError."""
    text = query.get("q", "")
    check_expression_size(text, settings)
    start_ns, end_ns = parse_times(query, now_ns)
    asked = MetricsRequest(query=text, start_ns=start_ns, end_ns=end_ns, is_instant=True)
    grid = grid_of(asked, settings, now_ns=now_ns)
    return GraphRequest(
        start_ns=grid.origin_ns,
        end_ns=grid.end_ns,
        filter=text or "{}",
        service=query.get("service", ""),
        depth_max=parse_uint32(query, "depth"),
        format=_format(query.get("format", ""), accept),
        allow_partial=parse_partial(query),
    )


def _format(text: str, accept: str) -> GraphFormat:
    if not text:
        drawings = (GraphFormat.DOT, GraphFormat.MERMAID)
        return next((one for one in drawings if _MEDIA_TYPES[one] in accept), GraphFormat.JSON)
    if text not in set(GraphFormat):
        raise InvalidRequestError(
            f"invalid format: expected one of {', '.join(GraphFormat)}, got {text}"
        )
    return GraphFormat(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceGraphRoute:
    """The handler."""

    series: SpanSeries
    tenancy: Tenancy

    def add_to(self, routes: Routes, prefix: str) -> None:
        """Serve the route."""
        routes.add(f"{prefix}{ROUTE}", self.get)

    async def get(self, request: Request) -> Answer:
        """Answer with a graph."""
        org = self.tenancy.org_of(request)
        runner = self.series.runner
        asked = parse_graph(
            request.query_params,
            runner.settings_for(org.named),
            now_ns=runner.clock.now_ns(),
            accept=", ".join(request.headers.getlist("accept")),
        )
        tenants = org.for_reading()
        gzipped = accepts_gzip(request)
        return await while_connected(
            request,
            lambda cancelled: self._answer(
                Asking(tenants=tenants, cancelled=cancelled), asked, gzipped=gzipped
            ),
        )

    async def _answer(self, asking: Asking, asked: GraphRequest, *, gzipped: bool) -> Answer:
        def render(answers: tuple[SeriesCells, ...]) -> Answer:
            requests, services = answers
            return packed(written_graph(requests, services, asked), gzipped=gzipped)

        questions = graph_questions(asked.start_ns, asked.end_ns, asked.filter)
        partial = asked.allow_partial
        return await self.series.run(asking, questions, render, allow_partial=partial)


def written_graph(requests: SeriesCells, services: SeriesCells, asked: GraphRequest) -> Answer:
    """Make the answer of what was counted. Raises: NotFoundError."""
    graph = make_graph(
        requests,
        services,
        start_ns=asked.start_ns,
        end_ns=asked.end_ns,
        service=asked.service,
        depth_max=asked.depth_max,
    )
    headers = {MISSING_HEADER: ",".join(graph.missing)} if graph.missing else {}
    body = _RENDERERS[asked.format](graph)
    return Answer(body=body, media_type=_MEDIA_TYPES[asked.format], headers=headers)

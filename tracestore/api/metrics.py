"""TraceQL metrics. Source: wire contract, section 10."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from fastapi import Request

from tracestore.api.app import Answer, Routes, accepts_gzip, packed
from tracestore.api.headers import MISSING_HEADER
from tracestore.api.metrics_params import MetricsRequest, params_of, parse_instant, parse_range
from tracestore.api.metrics_wanted import plan_metrics_query
from tracestore.api.negotiate import Encoding
from tracestore.api.tenant import Tenancy
from tracestore.api.watch import while_connected
from tracestore.codec.metrics_json import render_instant_json, render_range_json
from tracestore.model.results import QueryStats
from tracestore.query.control import QueryControl
from tracestore.query.metrics import MetricsParams, metrics
from tracestore.query.source import SpanSource
from tracestore.services.querier.service import Operation, Querier
from tracestore.settings.tree import QuerySettings


class _Parse(Protocol):
    """Reads the parameters of a route."""

    def __call__(
        self, query: Mapping[str, str], settings: QuerySettings, *, now_ns: int
    ) -> MetricsRequest: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsRoutes:
    """The handlers; both always answer in JSON."""

    querier: Querier
    tenancy: Tenancy

    def add_to(self, routes: Routes, prefix: str) -> None:
        """Serve the routes."""
        routes.add(f"{prefix}/api/metrics/query_range", self.get_range)
        routes.add(f"{prefix}/api/metrics/query", self.get_instant)

    async def get_range(self, request: Request) -> Answer:
        """Answer with series over a range of time."""
        return await self._get(request, parse_range)

    async def get_instant(self, request: Request) -> Answer:
        """Answer with one value of each series."""
        return await self._get(request, parse_instant)

    async def _get(self, request: Request, parse: _Parse) -> Answer:
        org = self.tenancy.org_of(request)
        querier = self.querier
        now_ns = querier.clock.now_ns()
        settings = querier.settings_for(org.named)
        asked = parse(request.query_params, settings, now_ns=now_ns)
        tenants = org.for_reading()
        ready = _Metrics(
            asked=asked,
            params=params_of(asked, settings, now_ns=now_ns),
            gzipped=accepts_gzip(request),
            count_inspected=partial(querier.count_inspected, tenants, Operation.METRICS),
        )
        return await while_connected(
            request,
            lambda cancelled: querier.run(tenants, Operation.METRICS, ready.evaluate, cancelled),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Metrics:
    """One request, ready to be evaluated in a pool thread."""

    asked: MetricsRequest
    params: MetricsParams
    gzipped: bool
    count_inspected: Callable[[QueryStats], None]

    def evaluate(self, sources: Sequence[SpanSource], control: QueryControl) -> Answer:
        plan = plan_metrics_query(self.asked.query, is_instant=self.asked.is_instant)
        result = metrics(sources, plan, self.params, control)
        self.count_inspected(result.stats)
        render = render_instant_json if self.asked.is_instant else render_range_json
        headers = {MISSING_HEADER: ",".join(result.missing)} if result.missing else {}
        answer = Answer(body=render(result), media_type=Encoding.JSON, headers=headers)
        return packed(answer, gzipped=self.gzipped)

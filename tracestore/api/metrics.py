"""TraceQL metrics. Source: wire contract, section 10."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fastapi import Request

from tracestore.api.app import Answer, Routes, accepts_gzip, packed
from tracestore.api.headers import MISSING_HEADER
from tracestore.api.metrics_params import MetricsRequest, params_of, parse_instant, parse_range
from tracestore.api.negotiate import Encoding
from tracestore.api.tenant import Tenancy
from tracestore.api.watch import while_connected
from tracestore.codec.metrics_json import render_instant_json, render_range_json
from tracestore.model.series import MetricsResult
from tracestore.query.jobs.metrics import ComputeMetrics
from tracestore.services.querier.runner import Asking, QueryRunner
from tracestore.settings.tree import QuerySettings


class _Parse(Protocol):
    """Reads the parameters of a route."""

    def __call__(
        self, query: Mapping[str, str], settings: QuerySettings, *, now_ns: int
    ) -> MetricsRequest: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsRoutes:
    """The handlers; both always answer in JSON."""

    runner: QueryRunner
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
        runner = self.runner
        now_ns = runner.clock.now_ns()
        settings = runner.settings_for(org.named)
        asked = parse(request.query_params, settings, now_ns=now_ns)
        tenants = org.for_reading()
        operation = ComputeMetrics(
            text=asked.query,
            is_instant=asked.is_instant,
            params=params_of(asked, settings, now_ns=now_ns),
        )
        render = render_instant_json if asked.is_instant else render_range_json
        gzipped = accepts_gzip(request)

        def answer(result: MetricsResult) -> Answer:
            headers = {MISSING_HEADER: ",".join(result.missing)} if result.missing else {}
            made = Answer(body=render(result), media_type=Encoding.JSON, headers=headers)
            return packed(made, gzipped=gzipped)

        return await while_connected(
            request,
            lambda cancelled: runner.run(
                Asking(tenants=tenants, cancelled=cancelled), operation, answer
            ),
        )

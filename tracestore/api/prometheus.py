"""Prometheus' read API over stored spans: ``/prometheus/api/v1/...``.

What Grafana's data source of type Prometheus asks, for the metrics that its service graph and the
tables beside it need. Source: wire contract, section 14.9; Prometheus, "HTTP API".
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from tracestore.api.app import Answer, Handler, Routes, accepts_gzip, packed
from tracestore.api.prometheus_answers import failure, instant_answer, range_answer
from tracestore.api.prometheus_metadata import MetadataRoutes
from tracestore.api.prometheus_params import (
    Form,
    parse_duration_ms,
    parse_limit,
    parse_range,
    parse_time_ms,
)
from tracestore.api.prometheus_request import Asked, check_reach, read_form
from tracestore.api.tenant import Tenancy
from tracestore.api.watch import while_connected
from tracestore.errors import InvalidRequestError, NoTenantError
from tracestore.query.promql.evaluate import plan, reach_ms
from tracestore.query.promql.nodes import Expression
from tracestore.query.promql.parse import parse
from tracestore.query.promql.values import Value
from tracestore.query.promql.windows import Times
from tracestore.services.querier.prometheus import AnsweredPlan, PromQueries, meaning_of
from tracestore.services.querier.runner import Asking
from tracestore.settings.tree import QuerySettings

PREFIX = "/prometheus"
V = TypeVar("V")
METHODS = ["GET", "HEAD", "POST"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusRoutes:
    """The handlers; errors are answered in JSON, but for a tenant that is not named."""

    queries: PromQueries
    tenancy: Tenancy

    def add_to(self, routes: Routes, prefix: str) -> None:
        """Serve the routes."""
        root = f"{prefix}{PREFIX}/api/v1"
        metadata = MetadataRoutes(ask=self.ask, now_ms=lambda: self.queries.now_ms)
        served: dict[str, Callable[[Asked], Awaitable[Answer]]] = {
            "query": self.query,
            "query_range": self.query_range,
            **metadata.served,
        }
        for path, handler in served.items():
            routes.add(f"{root}/{path}", self._wrap(handler), methods=METHODS)

    async def query(self, asked: Asked) -> Answer:
        """Answer with the value of an expression at one time."""
        form, now_ms = asked.form, self.queries.now_ms
        times = Times(start_ms=parse_time_ms(form, "time", now_ms), step_ms=1, points=1)
        limit = parse_limit(form)
        return await self._evaluate(
            asked, times, partial(instant_answer, time_ms=times.start_ms, limit=limit)
        )

    async def query_range(self, asked: Asked) -> Answer:
        """Answer with the values of an expression over a range of time."""
        times = parse_range(asked.form, asked.settings.prometheus.max_points)
        limit = parse_limit(asked.form)
        return await self._evaluate(
            asked, times, partial(range_answer, times=times, limit=limit), is_range=True
        )

    async def _evaluate(
        self,
        asked: Asked,
        times: Times,
        answer: Callable[[Value], Answer],
        *,
        is_range: bool = False,
    ) -> Answer:
        form, settings = asked.form, asked.settings
        timeout_ms = _timeout_ms(form)
        meaning = meaning_of(settings, parse_duration_ms(form, "lookback_delta"))
        try:
            expression = _parse(form.get("query"), settings)
            planned = plan(expression, times, meaning, is_range=is_range)
        except InvalidRequestError as error:
            raise InvalidRequestError(f'invalid parameter "query": {error}') from error
        check_reach(reach_ms(expression, times, meaning), settings)
        async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
            return await self.ask(asked, planned, answer)

    async def ask(
        self, asked: Asked, planned: AnsweredPlan[V], answer: Callable[[V], Answer]
    ) -> Answer:
        """Have a plan answered, as long as the client is there."""
        gzipped = accepts_gzip(asked.request)

        def work(cancelled: threading.Event) -> Awaitable[Answer]:
            return self.queries.run(
                Asking(tenants=asked.tenants, cancelled=cancelled),
                planned,
                lambda value: packed(answer(value), gzipped=gzipped),
            )

        return await while_connected(asked.request, work)

    def _wrap(self, handler: Callable[[Asked], Awaitable[Answer]]) -> Handler:
        async def answer(request: Request) -> Answer:
            try:
                org = self.tenancy.org_of(request)
                settings = self.queries.settings_for(org.named)
                form = await read_form(request, settings)
                tenants = org.for_reading()
                return await handler(
                    Asked(request=request, form=form, tenants=tenants, settings=settings)
                )
            except (NoTenantError, ClientDisconnect):
                raise
            except Exception as error:  # noqa: BLE001 - each error becomes a status, in JSON
                return failure(error)

        return answer


def _timeout_ms(form: Form) -> int | None:
    timeout_ms = parse_duration_ms(form, "timeout")
    if timeout_ms is not None and timeout_ms <= 0:
        raise InvalidRequestError('invalid parameter "timeout": it must be at least 1ms')
    return timeout_ms


def _parse(text: str, settings: QuerySettings) -> Expression:
    bytes_max = settings.max_query_expression_bytes
    if len(text.encode(errors="replace")) > bytes_max:
        raise InvalidRequestError(f"the query is longer than {bytes_max} bytes")
    return parse(text)

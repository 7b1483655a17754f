"""``GET /metrics/generated``: the metrics made of spans, of one tenant, for those who scrape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import Request

from tracestore.api.app import READ, Answer, Routes
from tracestore.api.tenant import Tenancy
from tracestore.codec.exposition.text import (
    OPEN_METRICS_TEXT,
    PROMETHEUS_TEXT,
    TextWriter,
    accepts_open_metrics,
)
from tracestore.errors import InvalidRequestError
from tracestore.model.collection import Collection
from tracestore.model.ids import TenantId
from tracestore.services.blocking import BlockingPool

PATH = "/metrics/generated"


@dataclass(slots=True, kw_only=True)
class GeneratedMetrics:
    """The route, and the text of labels of each tenant that was scraped."""

    tenancy: Tenancy
    latest: Callable[[TenantId], Collection | None]
    """What a tenant's series are now; None: it has none. Blocks."""
    pool: BlockingPool
    """Of one thread: collections are made and written in it."""
    _writers: dict[TenantId, TextWriter] = field(default_factory=dict)

    def add_to(self, routes: Routes) -> None:
        """Serve it, beside ``/metrics``."""
        routes.add(PATH, self.render, methods=READ)

    async def render(self, request: Request) -> Answer:
        """Write the series of one tenant; nothing if it has none.

        Raises: NoTenantError; InvalidRequestError if several are named: their series could not be
            told apart.
        """
        tenants = self.tenancy.org_of(request).for_reading()
        if len(tenants) != 1:
            raise InvalidRequestError(
                f"{PATH} shows the metrics of one tenant, and {len(tenants)} are named"
            )
        open_metrics = accepts_open_metrics(", ".join(request.headers.getlist("accept")))
        body = await self.pool.run(self._write, tenants[0], open_metrics)
        return Answer(body=body, media_type=OPEN_METRICS_TEXT if open_metrics else PROMETHEUS_TEXT)

    def _write(self, tenant: TenantId, open_metrics: bool) -> bytes:
        collection = self.latest(tenant)
        if collection is None:
            self._writers.pop(tenant, None)
            return b"# EOF\n" if open_metrics else b""
        writer = self._writers.setdefault(tenant, TextWriter())
        return writer.write(collection, open_metrics=open_metrics)

"""Pins: traces that a tenant keeps whatever their age (``/api/traces/{id}/pin``)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from fastapi import Request

from tracestore.api.app import Answer, Routes
from tracestore.api.tenant import Tenancy
from tracestore.model.ids import format_trace_id, parse_trace_id
from tracestore.services.blocking import BlockingPool
from tracestore.storage.pins import Pins

METHODS = ["GET", "HEAD", "POST", "DELETE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PinRoutes:
    """The handlers."""

    tenancy: Tenancy
    pins: Pins
    pool: BlockingPool

    def add_to(self, routes: Routes, prefix: str) -> None:
        """Serve the route."""
        routes.add(f"{prefix}/api/traces/{{traceID}}/pin", self.pin, methods=METHODS)

    async def pin(self, request: Request) -> Answer:
        """Pin with POST (201 if it was not), unpin with DELETE (204), look with GET (404: not).

        The trace need not be there (yet): what comes of it later stays, too.
        """
        tenant = self.tenancy.org_of(request).for_writing()
        trace_id = parse_trace_id(request.path_params["traceID"])
        if request.method == "DELETE":
            await self.pool.run(self.pins.unpin, tenant, trace_id)
            return Answer(status=204, media_type=None)
        is_new = False
        if request.method == "POST":
            is_new = await self.pool.run(self.pins.pin, tenant, trace_id)
        since_ns = await self.pool.run(self.pins.pinned_ns, tenant, trace_id)
        values = {
            "traceID": format_trace_id(trace_id),
            "pinned": since_ns is not None,
            "pinnedAtUnixNano": None if since_ns is None else str(since_ns),
        }
        status = 404 if since_ns is None else 201 if is_new else 200
        content = json.dumps(values, separators=(",", ":")).encode()
        return Answer(status=status, body=content, media_type="application/json")

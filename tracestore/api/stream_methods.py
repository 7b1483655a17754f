"""The services that are answered by gRPC, and who answers each method."""

from __future__ import annotations

from tracestore.api import grpc_health
from tracestore.api.grpc_health import Health
from tracestore.api.stream_search import SearchStream
from tracestore.api.streaming import StreamingCalls
from tracestore.api.tenant import Tenancy
from tracestore.services.lifecycle import Supervisor
from tracestore.services.querier.service import Querier

STREAMING_QUERIER = "tempopb.StreamingQuerier"


def add_calls(
    calls: StreamingCalls, querier: Querier, tenancy: Tenancy, supervisor: Supervisor
) -> None:
    """Serve all methods."""
    search = SearchStream(querier=querier, tenancy=tenancy)
    calls.add(STREAMING_QUERIER, {"Search": search.search})
    health = Health(
        services=frozenset({STREAMING_QUERIER}),
        is_ready=lambda: supervisor.ready,
        is_stopping=lambda: supervisor.stopping,
        clock=querier.clock,
    )
    calls.add(grpc_health.SERVICE, health.methods)

"""The services that are answered by gRPC, and who answers each method."""

from __future__ import annotations

from tracestore.api import grpc_health
from tracestore.api.grpc_health import Health
from tracestore.api.stream_metrics import MetricsStreams
from tracestore.api.stream_search import SearchStream
from tracestore.api.stream_tags import TagStreams
from tracestore.api.streaming import StreamingCalls
from tracestore.api.tenant import Tenancy
from tracestore.services.lifecycle import Supervisor
from tracestore.services.querier.runner import QueryRunner

STREAMING_QUERIER = "tempopb.StreamingQuerier"


def add_calls(
    calls: StreamingCalls,
    runner: QueryRunner,
    tenancy: Tenancy,
    supervisor: Supervisor,
) -> None:
    """Serve all methods."""
    search = SearchStream(runner=runner, tenancy=tenancy)
    tags = TagStreams(runner=runner, tenancy=tenancy)
    metrics = MetricsStreams(runner=runner, tenancy=tenancy)
    methods = {"Search": search.search} | tags.methods | metrics.methods
    calls.add(STREAMING_QUERIER, methods)
    health = Health(
        services=frozenset({STREAMING_QUERIER}),
        is_ready=lambda: supervisor.ready,
        is_stopping=lambda: supervisor.stopping,
        clock=runner.clock,
    )
    calls.add(grpc_health.SERVICE, health.methods)

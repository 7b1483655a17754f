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
from tracestore.services.querier.service import Querier
from tracestore.storage.block.cache import BlockCache

STREAMING_QUERIER = "tempopb.StreamingQuerier"


def add_calls(
    calls: StreamingCalls,
    querier: Querier,
    tenancy: Tenancy,
    cache: BlockCache,
    supervisor: Supervisor,
) -> None:
    """Serve all methods.

    Args:
        cache: keeps what was counted of the values of tags.
    """
    search = SearchStream(querier=querier, tenancy=tenancy)
    tags = TagStreams(querier=querier, tenancy=tenancy, cache=cache)
    metrics = MetricsStreams(querier=querier, tenancy=tenancy)
    methods = {"Search": search.search} | tags.methods | metrics.methods
    calls.add(STREAMING_QUERIER, methods)
    health = Health(
        services=frozenset({STREAMING_QUERIER}),
        is_ready=lambda: supervisor.ready,
        is_stopping=lambda: supervisor.stopping,
        clock=querier.clock,
    )
    calls.add(grpc_health.SERVICE, health.methods)

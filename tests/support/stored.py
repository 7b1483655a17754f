"""What a server has of some traces, span by span."""

from __future__ import annotations

from collections import Counter

import httpx
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from support.server import Server


def stored(server: Server, traces: int) -> Counter[tuple[int, int]]:
    """Count every span of traces 1 to ``traces``, as often as the trace by ID shows it.

    Returns: by trace ID and span ID.
    """
    found: Counter[tuple[int, int]] = Counter()
    with httpx.Client(headers={"Accept": "application/protobuf"}, timeout=30) as client:
        for trace in range(1, traces + 1):
            reply = client.get(f"{server.api_url}/api/traces/{trace:x}")
            if reply.status_code == 404:
                continue
            assert reply.status_code == 200, reply.text
            for group in TracesData.FromString(reply.content).resource_spans:
                for scope in group.scope_spans:
                    for one in scope.spans:
                        found[trace, int.from_bytes(one.span_id, "big")] += 1
    return found

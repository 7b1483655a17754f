"""A store as plain Python objects: what the recordings contain, straight from the messages.

The oracle of the end-to-end tests on real data. It shares no code with the product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class StoredSpan:
    """One span with the attributes of its resource."""

    message: Span
    resource: dict[str, object]
    attributes: dict[str, object]

    @property
    def start_ns(self) -> int:
        return self.message.start_time_unix_nano

    @property
    def duration_ns(self) -> int:
        return self.message.end_time_unix_nano - self.message.start_time_unix_nano


@dataclass
class StoredTrace:
    """The distinct spans of a trace."""

    spans: dict[tuple[bytes, int], StoredSpan] = field(default_factory=dict)

    @property
    def start_ns(self) -> int:
        return min(span.start_ns for span in self.spans.values())

    @property
    def end_ns(self) -> int:
        return max(span.message.end_time_unix_nano for span in self.spans.values())


def plain(attributes: Iterable[object]) -> dict[str, object]:
    """Attributes of scalar type as a dict."""
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value"))  # type: ignore[attr-defined]
        for pair in attributes
    }


class NaiveStore:
    """All distinct spans of some requests, by trace ID."""

    def __init__(self, requests: Iterable[bytes]) -> None:
        self.traces: dict[bytes, StoredTrace] = {}
        for request in requests:
            message = ExportTraceServiceRequest.FromString(request)
            for group in message.resource_spans:
                resource = plain(group.resource.attributes)
                for scope in group.scope_spans:
                    for span in scope.spans:
                        stored = StoredSpan(span, resource, plain(span.attributes))
                        trace = self.traces.setdefault(span.trace_id, StoredTrace())
                        trace.spans.setdefault((span.span_id, span.kind), stored)

    @property
    def spans(self) -> int:
        return sum(len(trace.spans) for trace in self.traces.values())

    def search(self, matches: Callable[[StoredSpan], bool]) -> list[tuple[bytes, int]]:
        """Trace IDs with the number of spans that match, newest trace first, ties by trace ID."""
        found = []
        for trace_id, trace in self.traces.items():
            matched = sum(map(matches, trace.spans.values()))
            if matched:
                found.append((-trace.start_ns, trace_id, matched))
        return [(trace_id, matched) for _, trace_id, matched in sorted(found)]

"""Translated spans -> ExportTraceServiceRequest bytes, grouped by resource and scope.

The bytes of an OTLP request may be joined: what is full is written, so that only some spans are
objects at a time, whatever the size of what is translated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

Value = str | bool | int | float | bytes
Pairs = Iterable[tuple[str, Value]]
Resource = tuple[tuple[str, Value], ...]
"""Attributes of a resource."""
Scope = tuple[str, str]
"""Name and version of an instrumentation scope."""

NO_SCOPE: Scope = ("", "")
MICROSECONDS_MAX = ((1 << 63) - 1) // 1000
"""The latest time that nanoseconds in 64 bits can say: 2262-04-11."""

_SPANS_HELD = 2048


class RequestWriter:
    """Collects spans, and gives the bytes of a request."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._begin()

    def _begin(self) -> None:
        self._request = ExportTraceServiceRequest()
        self._groups: dict[tuple[Resource, tuple[type, ...]], _Group] = {}
        self._spans = 0

    def add_span(self, resource: Resource, scope: Scope) -> trace_pb2.Span:
        """Begin a span of a resource and scope; the caller fills it before the next one begins."""
        if self._spans == _SPANS_HELD:
            self._write()
        self._spans += 1
        # True equals 1, and 1 equals 1.0: as attributes they differ.
        key = (resource, tuple(type(value) for _, value in resource))
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(self._request, resource)
        span: trace_pb2.Span = group.spans_of(scope).spans.add()
        return span

    def finish(self) -> bytes:
        """Get the bytes of all spans."""
        self._write()
        return b"".join(self._written)

    def _write(self) -> None:
        self._written.append(self._request.SerializeToString())
        self._begin()


class _Group:
    """The spans of one resource."""

    def __init__(self, request: ExportTraceServiceRequest, resource: Resource) -> None:
        self._message = request.resource_spans.add()
        add_attributes(self._message.resource.attributes, resource)
        self._scopes: dict[Scope, trace_pb2.ScopeSpans] = {}

    def spans_of(self, scope: Scope) -> trace_pb2.ScopeSpans:
        found = self._scopes.get(scope)
        if found is None:
            found = self._scopes[scope] = self._message.scope_spans.add()
            if scope != NO_SCOPE:
                found.scope.name, found.scope.version = scope
        return found


def add_attributes(target: Any, pairs: Pairs) -> None:
    """Append attributes to a repeated field of KeyValues."""
    for key, value in pairs:
        added = target.add()
        added.key = key
        if isinstance(value, str):
            added.value.string_value = value
        elif isinstance(value, bool):
            added.value.bool_value = value
        elif isinstance(value, int):
            added.value.int_value = value
        elif isinstance(value, float):
            added.value.double_value = value
        else:
            added.value.bytes_value = value


STATUS_CODES = {
    "UNSET": trace_pb2.Status.STATUS_CODE_UNSET,
    "OK": trace_pb2.Status.STATUS_CODE_OK,
    "ERROR": trace_pb2.Status.STATUS_CODE_ERROR,
}
SPAN_KINDS = {
    "internal": trace_pb2.Span.SPAN_KIND_INTERNAL,
    "server": trace_pb2.Span.SPAN_KIND_SERVER,
    "client": trace_pb2.Span.SPAN_KIND_CLIENT,
    "producer": trace_pb2.Span.SPAN_KIND_PRODUCER,
    "consumer": trace_pb2.Span.SPAN_KIND_CONSUMER,
}


def status_code(text: str) -> trace_pb2.Status.StatusCode.ValueType | None:
    """Read a status as senders write it (``ERROR``, ``Error``, ``STATUS_CODE_ERROR``)."""
    return STATUS_CODES.get(text.upper().removeprefix("STATUS_CODE_"))

"""Trace by ID, both versions of the route. Source: wire contract, section 7."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import Request
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tracestore.api.app import Answer, Routes, accepts_gzip, packed, text
from tracestore.api.negotiate import Encoding, negotiate
from tracestore.api.params import parse_trace_by_id
from tracestore.api.watch import while_connected
from tracestore.codec.trace_json import (
    TraceAnswer,
    empty_trace,
    keep_first_bytes,
    parse_trace,
    render_v1_json,
    render_v1_protobuf,
    render_v2_json,
    render_v2_protobuf,
)
from tracestore.model.ids import SINGLE_TENANT, TraceId, parse_trace_id
from tracestore.model.times import TimeRange
from tracestore.query.control import QueryControl
from tracestore.query.source import SpanSource
from tracestore.query.trace_by_id import TraceFound, find_trace
from tracestore.services.querier.service import Operation, Querier

Render = Callable[[TraceFound | None, int], Answer]
"""The trace and the size limit -> the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRoutes:
    """The handlers."""

    querier: Querier

    def add_to(self, routes: Routes, prefix: str) -> None:
        """Serve both versions."""
        routes.add(f"{prefix}/api/traces/{{traceID}}", self.get_v1)
        routes.add(f"{prefix}/api/v2/traces/{{traceID}}", self.get_v2)

    async def get_v1(self, request: Request) -> Answer:
        """Answer with the trace; 404 without a body if there is none."""
        render = answer_v1_protobuf if _wants_protobuf(request) else answer_v1_json
        return await self._run(request, render)

    async def get_v2(self, request: Request) -> Answer:
        """Answer with the trace in an envelope, an empty one if there is none: never 404."""
        render = answer_v2_protobuf if _wants_protobuf(request) else answer_v2_json
        return await self._run(request, render)

    async def _run(self, request: Request, render: Render) -> Answer:
        trace_id = parse_trace_id(request.path_params["traceID"])
        lookup = _Lookup(
            trace_id=trace_id,
            time_range=parse_trace_by_id(request.query_params),
            bytes_max=self.querier.settings.max_trace_bytes,
            render=render,
            gzipped=accepts_gzip(request),
        )
        return await while_connected(
            request,
            lambda cancelled: self.querier.run(
                SINGLE_TENANT, Operation.TRACES, lookup.evaluate, cancelled
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lookup:
    """One request, ready to be evaluated in a pool thread."""

    trace_id: TraceId
    time_range: TimeRange | None
    bytes_max: int
    render: Render
    gzipped: bool

    def evaluate(self, sources: Sequence[SpanSource], control: QueryControl) -> Answer:
        window = self.time_range
        inside = [s for s in sources if window is None or window.overlaps(s.start_ns, s.end_ns)]
        found = find_trace(inside, self.trace_id, control)
        return packed(self.render(found, self.bytes_max), gzipped=self.gzipped)


def answer_v1_json(found: TraceFound | None, bytes_max: int) -> Answer:
    """Make the first version's answer in JSON."""
    return _answer_v1(found, bytes_max, render_v1_json, Encoding.JSON)


def answer_v1_protobuf(found: TraceFound | None, bytes_max: int) -> Answer:
    """Make the first version's answer in protobuf."""
    return _answer_v1(found, bytes_max, render_v1_protobuf, Encoding.PROTOBUF)


def answer_v2_json(found: TraceFound | None, bytes_max: int) -> Answer:
    """Make the second version's answer in JSON."""
    return Answer(body=render_v2_json(_envelope(found, bytes_max)), media_type=Encoding.JSON)


def answer_v2_protobuf(found: TraceFound | None, bytes_max: int) -> Answer:
    """Make the second version's answer in protobuf."""
    body = render_v2_protobuf(_envelope(found, bytes_max))
    return Answer(body=body, media_type=Encoding.PROTOBUF)


def _wants_protobuf(request: Request) -> bool:
    return negotiate(request) is Encoding.PROTOBUF


def _answer_v1(
    found: TraceFound | None,
    bytes_max: int,
    render: Callable[[TracesData], bytes],
    encoding: Encoding,
) -> Answer:
    if found is None:
        return Answer(status=404, media_type=None)
    if bytes_max and len(found.otlp) > bytes_max:
        return text(f"trace exceeds max size (max bytes: {bytes_max})", 422)
    return Answer(body=render(parse_trace(found.otlp)), media_type=encoding)


def _envelope(found: TraceFound | None, bytes_max: int) -> TraceAnswer:
    if found is None:
        return TraceAnswer(trace=empty_trace())
    trace = parse_trace(found.otlp)
    if not bytes_max or len(found.otlp) <= bytes_max:
        return TraceAnswer(trace=trace, inspected_bytes=found.inspected_bytes)
    keep_first_bytes(trace, bytes_max)
    return TraceAnswer(
        trace=trace,
        inspected_bytes=found.inspected_bytes,
        partial=True,
        message=f"Trace exceeds maximum size of {bytes_max} bytes, a partial trace is returned",
    )

"""Trace by ID, both versions of the route. Source: wire contract, section 7."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from fastapi import Request
from opentelemetry.proto.trace.v1 import trace_pb2

from tracestore.api.app import Answer, Routes, accepts_gzip, packed, text
from tracestore.api.negotiate import Encoding, negotiate
from tracestore.api.query_string import parameters_of
from tracestore.api.tenant import Tenancy
from tracestore.api.trace_params import TraceFormat, TraceParams, parse_trace_by_id
from tracestore.api.watch import while_connected
from tracestore.codec.otlp import spans_exceed
from tracestore.codec.trace_json import (
    TraceAnswer,
    empty_trace,
    keep_first_bytes,
    parse_trace,
    render_v1_json,
    render_v1_protobuf,
    render_v2_json,
    render_v2_protobuf,
    trace_json,
)
from tracestore.codec.trace_llm import render_llm_json
from tracestore.codec.trace_prune import keep_spans, spans_of
from tracestore.codec.trace_text import render_trace_text
from tracestore.codec.trace_tree import read_spans
from tracestore.model.ids import parse_trace_id
from tracestore.query.jobs.trace import FilteredTrace, GetTrace
from tracestore.query.trace_by_id import TraceFound
from tracestore.services.querier.runner import Asking, QueryRunner

FILTERED = "Trace filtered, only a subset of spans matching the filter is returned"


class Version(IntEnum):
    """Of the route."""

    V1 = 1
    V2 = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRoutes:
    """The handlers."""

    runner: QueryRunner
    tenancy: Tenancy

    def add_to(self, routes: Routes, prefix: str) -> None:
        """Serve both versions."""
        routes.add(f"{prefix}/api/traces/{{traceID}}", self.get_v1)
        routes.add(f"{prefix}/api/v2/traces/{{traceID}}", self.get_v2)

    async def get_v1(self, request: Request) -> Answer:
        """Answer with the trace; 404 without a body if there is none."""
        return await self._run(request, Version.V1)

    async def get_v2(self, request: Request) -> Answer:
        """Answer with the trace in an envelope, an empty one if there is none: never 404."""
        return await self._run(request, Version.V2)

    async def _run(self, request: Request, version: Version) -> Answer:
        org = self.tenancy.org_of(request)
        settings = self.runner.settings_for(org.named)
        trace_id = parse_trace_id(request.path_params["traceID"])
        params = parse_trace_by_id(parameters_of(request), settings)
        operation = GetTrace(
            trace_id=trace_id,
            filter=params.query if version is Version.V2 else "",
            window=params.time_range,
        )
        rendering = _Rendering(
            trace_id=operation.trace_id,
            params=params,
            version=version,
            encoding=negotiate(request),
            bytes_max=settings.max_trace_bytes,
            gzipped=accepts_gzip(request),
        )
        tenants = org.for_reading()
        return await while_connected(
            request,
            lambda cancelled: self.runner.run(
                Asking(tenants=tenants, cancelled=cancelled), operation, rendering.render
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rendering:
    """How a trace is sent. Called in a pool thread."""

    trace_id: bytes
    params: TraceParams
    version: Version
    encoding: Encoding
    bytes_max: int
    gzipped: bool

    def render(self, trace: FilteredTrace | None) -> Answer:
        if self.version is Version.V1:
            found = None if trace is None else trace.found
            answer = answer_v1(found, self.bytes_max, self.encoding)
        else:
            answer = self._answer_v2(trace)
        return packed(answer, gzipped=self.gzipped)

    def _answer_v2(self, trace: FilteredTrace | None) -> Answer:
        envelope = self._envelope(trace)
        if self.params.format is TraceFormat.TEXT:
            return _text_answer(self.trace_id.hex(), envelope)
        if self.params.format is TraceFormat.NEGOTIATED:
            if self.encoding is Encoding.PROTOBUF:
                return Answer(body=render_v2_protobuf(envelope), media_type=Encoding.PROTOBUF)
            if self.encoding is Encoding.LLM:
                return Answer(body=render_llm_json(envelope), media_type=Encoding.LLM.media_type)
        return Answer(body=render_v2_json(envelope), media_type=Encoding.JSON)

    def _envelope(self, filtered: FilteredTrace | None) -> TraceAnswer:
        if filtered is None:
            return TraceAnswer(trace=empty_trace())
        found, matched = filtered.found, filtered.matched
        trace, messages = parse_trace(found.otlp), []
        if matched is not None:
            # the IDs as they were sent: the trace above has shared ones repaired, in the same order
            sent = spans_of(trace_pb2.TracesData.FromString(found.otlp))
            marked = [p for p, span in enumerate(sent) if (span.span_id, span.kind) in matched]
            trace = keep_spans(trace, marked, self.params.kept)
            if sum(1 for _ in spans_of(trace)) < found.spans:
                messages.append(FILTERED)
        is_large = self.bytes_max and trace.ByteSize() > self.bytes_max
        if is_large and spans_exceed(trace.SerializeToString(), self.bytes_max):
            keep_first_bytes(trace, self.bytes_max)
            messages.append(
                f"Trace exceeds maximum size of {self.bytes_max} bytes, a partial trace is returned"
            )
        return TraceAnswer(
            trace=trace,
            inspected_bytes=found.inspected_bytes,
            partial=bool(messages),
            message="; ".join(messages),
        )


def answer_v1(found: TraceFound | None, bytes_max: int, encoding: Encoding) -> Answer:
    """Make the first version's answer."""
    if found is None:
        return Answer(status=404, media_type=None)
    if bytes_max and spans_exceed(found.otlp, bytes_max):
        return text(f"trace exceeds max size (max bytes: {bytes_max})", 422)
    trace = parse_trace(found.otlp)
    if encoding is Encoding.PROTOBUF:
        return Answer(body=render_v1_protobuf(trace), media_type=encoding)
    return Answer(body=render_v1_json(trace), media_type=encoding.media_type)


def _text_answer(trace_id: str, envelope: TraceAnswer) -> Answer:
    spans = list(read_spans({"resourceSpans": trace_json(envelope.trace)}))
    if spans:
        return text(render_trace_text(trace_id, spans, envelope.message))
    if envelope.message:
        return text(f"trace {trace_id}: no span of it matches\n")
    return text(f"trace {trace_id} is not there\n", 404)

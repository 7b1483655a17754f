"""The process's own traces, by OpenTelemetry: off unless asked for.

Only requests make spans: what a client asked of the API, and pushes whose sender says by
``traceparent`` that they are part of a sampled trace. Background work makes none. So an exporter
that points at this very store (directly, or through a Collector) cannot keep itself busy: what it
sends carries no ``traceparent``, and stored spans beget no spans.

Source: W3C Trace Context; OpenTelemetry semantic conventions of HTTP servers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tracestore.errors import SettingsError
from tracestore.settings.tree import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_PROPAGATOR = TraceContextTextMapPropagator()
_NAME = "tracestore"


class Tracing:
    """Makes spans, or nothing if tracing is off. Thread-safe."""

    def __init__(self, settings: TracingSettings, *, version: str) -> None:
        """Set up the exporter; nothing is global. Raises: SettingsError."""
        self._provider = _make_provider(settings, version) if settings.enabled else None
        self._tracer: Tracer = trace.NoOpTracer()
        if self._provider is not None:
            self._tracer = self._provider.get_tracer(_NAME, version)

    @property
    def is_on(self) -> bool:
        """Whether spans go anywhere."""
        return self._provider is not None

    @contextmanager
    def request(self, name: str, carrier: Mapping[str, str]) -> Iterator[Span]:
        """Make the span of a request, a child of what ``traceparent`` names."""
        if not self.is_on:
            yield trace.INVALID_SPAN
            return
        parent = _PROPAGATOR.extract(carrier)
        with self._tracer.start_as_current_span(name, parent, kind=SpanKind.SERVER) as span:
            yield span

    @contextmanager
    def push(self, name: str, carrier: Mapping[str, str]) -> Iterator[Span]:
        """Make the span of a push, if its sender's trace is sampled; none otherwise."""
        if not (self.is_on and _is_sampled(carrier)):
            yield trace.INVALID_SPAN
            return
        with self.request(name, carrier) as span:
            yield span

    @contextmanager
    def step(self, name: str) -> Iterator[Span]:
        """Make a span below the current one; none if there is none."""
        if not (self.is_on and trace.get_current_span().is_recording()):
            yield trace.INVALID_SPAN
            return
        with self._tracer.start_as_current_span(name) as span:
            yield span

    def close(self) -> None:
        """Send what waits, for at most the export timeout."""
        if self._provider is not None:
            self._provider.shutdown()


def set_outcome(span: Span, status: int) -> None:
    """Say how a request ended, as an HTTP status."""
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))


class TraceIdFilter(logging.Filter):
    """Puts the ID of the trace that a log line belongs to into its fields."""

    def filter(self, record: logging.LogRecord) -> bool:
        trace_id = current_trace_id()
        if trace_id is not None:
            record.trace_id = trace_id
        return True


def current_trace_id() -> str | None:
    """The ID of the trace that this thread or task works for; None if there is none."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def _is_sampled(carrier: Mapping[str, str]) -> bool:
    context = trace.get_current_span(_PROPAGATOR.extract(carrier)).get_span_context()
    return bool(context.is_valid and context.trace_flags.sampled)


def _make_provider(settings: TracingSettings, version: str) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    if not 0 <= settings.sample_ratio <= 1:
        raise SettingsError(
            f"tracing.sample_ratio must be between 0 and 1, got {settings.sample_ratio}"
        )
    exporter = OTLPSpanExporter(
        endpoint=settings.otlp_url,
        insecure=not settings.otlp_url.startswith("https://"),
        timeout=settings.export_timeout_s,
    )
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)),
        resource=Resource.create(
            {"service.name": settings.service_name, "service.version": version}
        ),
        shutdown_on_exit=False,
    )
    processor = BatchSpanProcessor(
        exporter,
        max_queue_size=settings.queue_spans_max,
        max_export_batch_size=min(512, settings.queue_spans_max),
        schedule_delay_millis=settings.export_interval_s * 1000,
    )
    provider.add_span_processor(processor)
    return provider

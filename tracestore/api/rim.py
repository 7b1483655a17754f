"""What every receiver does around a push: a span if the sender traces it, and the time it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tracestore.clock import Clock
from tracestore.telemetry import Metrics
from tracestore.tracing import Tracing

GRPC_METHOD = "gRPC"
SUCCESS = "success"
ERROR = "error"


@dataclass(slots=True)
class Outcome:
    """How a push ended; whoever answers it says so."""

    status: str
    """An HTTP status; of gRPC ``success`` or ``error``, as Tempo has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rim:
    """Instruments of receivers."""

    metrics: Metrics
    tracing: Tracing
    clock: Clock

    @contextmanager
    def push(
        self, method: str, route: str, carrier: Mapping[str, str], *, name: str = "otlp push"
    ) -> Iterator[Outcome]:
        """Surround a push.

        Args:
            method: of HTTP, or ``GRPC_METHOD``.
            route: as dashboards know it.
            carrier: headers or metadata.
            name: of the span.
        """
        outcome = Outcome(ERROR if method == GRPC_METHOD else "500")
        started_ns = self.clock.monotonic_ns()
        try:
            with self.tracing.push(name, carrier) as span:
                yield outcome
                span.set_attributes({"http.route": route, "tracestore.outcome": outcome.status})
        finally:
            seconds = (self.clock.monotonic_ns() - started_ns) / 1e9
            labels = (method, route, outcome.status, "false")
            self.metrics.request_seconds.labels(*labels).observe(seconds)

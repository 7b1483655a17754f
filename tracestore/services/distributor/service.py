"""From a receiver's bytes to an acknowledgement: validity, limits, then the ingester.

Bytes pass through untouched: the kernel looks at them once, and what is stored is what was sent,
unless a limit of the tenant says otherwise (``limits.py``).
Source: wire contract, section 6.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tracestore.clock import Clock
from tracestore.errors import (
    InvalidRequestError,
    LimitExceededError,
    TracestoreError,
    UnavailableError,
)
from tracestore.kernel import RequestCheck, check
from tracestore.model.ids import TenantId
from tracestore.services.blocking import BlockingPool
from tracestore.services.distributor.appending import Appender, Pending
from tracestore.services.distributor.limits import Body as Body
from tracestore.services.distributor.limits import Discards, IngestLimits
from tracestore.services.tenant_labels import TenantLabels
from tracestore.settings.limits import TenantLimits
from tracestore.settings.tree import DistributorSettings
from tracestore.telemetry import Metrics

INLINE_BYTES_MAX = 256 * 1024
"""Up to this size a request is looked at in the event loop: 0.1 ms, less than the way to a thread
and back costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a request came in; labels of metrics."""

    receiver: str
    transport: str

    @property
    def name(self) -> str:
        """The format, ``otlp`` or ``zipkin``."""
        return self.receiver.partition("/")[0]


OTLP_GRPC = Source(receiver="otlp/otlp_receiver", transport="grpc")
OTLP_HTTP = Source(receiver="otlp/otlp_receiver", transport="http")


class Distributor:
    """Validates requests, and hands them to the ingester. Used from one event loop."""

    def __init__(
        self,
        settings: DistributorSettings,
        appender: Appender,
        pool: BlockingPool,
        metrics: Metrics,
        clock: Clock,
        *,
        limits: Callable[[TenantId], TenantLimits] = lambda _: TenantLimits(),
        labels: TenantLabels | None = None,
    ) -> None:
        """Args:
        limits: of a tenant, as they are now.
        labels: how metrics name tenants.
        """
        self._settings = settings
        self._labels = labels or TenantLabels(settings.metric_tenants_max)
        self._discards = Discards(
            metrics, self._labels, clock, log_interval_s=settings.discard_log_interval_s
        )
        self._limits = IngestLimits(settings, limits, self._discards, metrics, self._labels, clock)
        self._appender = appender
        self._pool = pool
        self._metrics = metrics
        self._clock = clock
        self._inflight_bytes = 0
        self._draining = False

    @property
    def retry_after_s(self) -> float:
        """The delay that refused senders are asked to keep; 0 asks for none."""
        return self._settings.retry_after_on_resource_exhausted_s

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Count bytes of a request as being in memory.

        A single request is always let in, whatever its size: the receiver has bounded it.

        Raises: UnavailableError if there are too many.
        """
        bound = self._settings.receivers.inflight_bytes_max
        if self._inflight_bytes and self._inflight_bytes + size > bound:
            raise UnavailableError(
                f"{self._inflight_bytes} bytes of requests are in flight, the limit is {bound}"
            )
        self._inflight_bytes += size
        self._metrics.inflight_bytes.set(self._inflight_bytes)
        try:
            yield
        finally:
            self._inflight_bytes -= size
            self._metrics.inflight_bytes.set(self._inflight_bytes)

    async def push(
        self, tenant: TenantId, request: Body, source: Source, *, counted: bool = True
    ) -> None:
        """Take an ExportTraceServiceRequest; returns once it is durable.

        Args:
            counted: whether metrics may be made of its spans.

        Raises: InvalidRequestError for the whole request if one span of it is bad; UnavailableError
        or LimitExceededError if the sender should try again later.
        Cost: for large requests a hop to a pool thread, nothing per span in Python.
        """
        if self._draining:
            raise UnavailableError("the server is shutting down")
        metrics = self._metrics
        metrics.ingress_bytes.labels(self._labels.of(tenant)).inc(len(request))
        started_ns = self._clock.monotonic_ns()
        with self.hold(len(request)):
            await self._appender.wait_for_room(tenant)
            if len(request) <= INLINE_BYTES_MAX and self._appender.has(tenant):
                spans, durable = self._check_and_append(tenant, request, source, counted)
            else:
                spans, durable = await self._pool.run(
                    self._check_and_append, tenant, request, source, counted
                )
            try:
                if durable is not None:
                    await durable.wait()
            except TracestoreError:
                self._refused(source, spans)
                raise
            finally:
                del durable  # an error may hold this frame, and the request with it
        metrics.accepted_spans.labels(source.receiver, source.transport).inc(spans)
        metrics.push_seconds.observe((self._clock.monotonic_ns() - started_ns) / 1e9)

    async def count_refused(self, request: Body, source: Source) -> int:
        """Count the spans of a request that is refused for want of a tenant.

        Returns: how many there are.
        Raises: InvalidRequestError if the request is malformed.
        """
        spans = (await self._pool.run(check, request)).spans
        self._refused(source, spans)
        return spans

    def _check_and_append(
        self, tenant: TenantId, request: Body, source: Source, counted: bool
    ) -> tuple[int, Pending | None]:
        """Look at every byte once, then queue it for the log. Runs in a pool thread if it is large.

        Returns: the spans to acknowledge; nothing is pending if none of them is stored.
        """
        checked = check(request)
        if checked.spans == 0:
            return 0, None
        label = self._labels.of(tenant)
        self._metrics.spans_received.labels(label).inc(checked.spans)
        self._metrics.bytes_received.labels(label).inc(len(request))
        try:
            self._limits.admit(tenant, request, checked.spans)
            self._check_ids(tenant, checked)
        except TracestoreError:
            self._refused(source, checked.spans)
            raise
        self._warn_of_time(label, checked)
        request, kept = self._limits.limit(tenant, request, checked)
        if kept.spans == 0:
            return checked.spans, None
        try:
            return checked.spans, self._appender.append(tenant, request, kept, counted=counted)
        except LimitExceededError:
            self._discards.count(tenant, "too_many_tenants", kept.spans)
            self._refused(source, checked.spans)
            raise

    def _check_ids(self, tenant: TenantId, checked: RequestCheck) -> None:
        """Refuse a request for one span without IDs. Raises: InvalidRequestError."""
        if checked.zero_trace_ids:
            self._discards.count(tenant, "invalid_trace_id", checked.spans)
            raise InvalidRequestError("trace ids must be 128 bit, received 0 bits")
        if checked.zero_span_ids:
            self._discards.count(tenant, "invalid_span_id", checked.spans)
            raise InvalidRequestError("span ids must be 64 bit and not all zero, received 0 bits")

    def _warn_of_time(self, label: str, checked: RequestCheck) -> None:
        """Count a request with spans far from now; they are kept, and found."""
        slack_ns = int(self._settings.ingestion_time_range_slack_s * 1e9)
        now_ns = self._clock.now_ns()
        if checked.start_ns < now_ns - slack_ns or checked.end_ns > now_ns + slack_ns:
            self._metrics.warnings.labels(label, "outside_ingestion_time_slack").inc()

    def _refused(self, source: Source, spans: int) -> None:
        self._metrics.refused_spans.labels(source.receiver, source.transport).inc(spans)

    def refuse_new_work(self) -> None:
        """Answer every further request with a retryable error."""
        self._draining = True

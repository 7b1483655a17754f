"""From a receiver's bytes to an acknowledgement: validity, limits, then the ingester.

Bytes pass through untouched: the kernel looks at them once, and what is stored is what was sent.
Source: wire contract, section 6.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from tracestore.clock import Clock
from tracestore.errors import InvalidRequestError, TracestoreError, UnavailableError
from tracestore.kernel import RequestCheck, check
from tracestore.model.ids import TenantId
from tracestore.services.blocking import BlockingPool
from tracestore.settings.tree import DistributorSettings
from tracestore.storage.wal.log import WalPosition
from tracestore.telemetry import Metrics

Body = bytes | bytearray


class Appender(Protocol):
    """What the distributor needs of an ingester."""

    def append(self, tenant: TenantId, request: Body, checked: RequestCheck) -> Future[WalPosition]:
        """Make a valid request durable. Called from pool threads; never blocks on the disk.

        The future ends when the record is synced, or with UnavailableError.
        """

    async def wait_for_room(self, tenant: TenantId) -> None:
        """Wait while too much is not yet decoded or flushed. Raises: UnavailableError."""


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
        ingester: Appender,
        pool: BlockingPool,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._ingester = ingester
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

    async def push(self, tenant: TenantId, request: Body, source: Source) -> None:
        """Take an ExportTraceServiceRequest; returns once it is durable.

        Raises: InvalidRequestError for the whole request if one span of it is bad; UnavailableError
        or LimitExceededError if the sender should try again later.
        Cost: one hop to a pool thread, nothing per span in Python.
        """
        if self._draining:
            raise UnavailableError("the server is shutting down")
        metrics = self._metrics
        metrics.ingress_bytes.labels(tenant).inc(len(request))
        started_ns = self._clock.monotonic_ns()
        with self.hold(len(request)):
            await self._ingester.wait_for_room(tenant)
            spans, durable = await self._pool.run(self._check_and_append, tenant, request, source)
            if durable is None:
                return
            try:
                await asyncio.wrap_future(durable)
            except TracestoreError:
                metrics.refused_spans.labels(source.receiver, source.transport).inc(spans)
                raise
            finally:
                del durable  # an error that it holds holds this frame, and the request with it
        metrics.accepted_spans.labels(source.receiver, source.transport).inc(spans)
        metrics.push_seconds.observe((self._clock.monotonic_ns() - started_ns) / 1e9)

    async def count_refused(self, request: Body, source: Source) -> int:
        """Count the spans of a request that is refused for want of a tenant.

        Returns: how many there are.
        Raises: InvalidRequestError if the request is malformed.
        """
        spans = (await self._pool.run(check, request)).spans
        self._metrics.refused_spans.labels(source.receiver, source.transport).inc(spans)
        return spans

    def _check_and_append(
        self, tenant: TenantId, request: Body, source: Source
    ) -> tuple[int, Future[WalPosition] | None]:
        """Look at every byte once, then queue it for the log. Runs in a pool thread."""
        checked = check(request)
        if checked.spans == 0:
            return 0, None
        self._metrics.spans_received.labels(tenant).inc(checked.spans)
        self._metrics.bytes_received.labels(tenant).inc(len(request))
        if checked.zero_trace_ids:
            self._discard(tenant, checked.spans, "invalid_trace_id", source)
            raise InvalidRequestError("trace ids must be 128 bit, received 0 bits")
        if checked.zero_span_ids:
            self._discard(tenant, checked.spans, "invalid_span_id", source)
            raise InvalidRequestError("span ids must be 64 bit and not all zero, received 0 bits")
        return checked.spans, self._ingester.append(tenant, request, checked)

    def _discard(self, tenant: TenantId, spans: int, reason: str, source: Source) -> None:
        self._metrics.discarded_spans.labels(reason, tenant).inc(spans)
        self._metrics.refused_spans.labels(source.receiver, source.transport).inc(spans)

    def refuse_new_work(self) -> None:
        """Answer every further request with a retryable error."""
        self._draining = True

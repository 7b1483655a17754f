"""One receiver: how many requests at a time, in which version, and what is told of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import Counter

from tracestore.clock import Clock
from tracestore.codec.remote_write.outgoing import Counts
from tracestore.services.blocking import BlockingPool
from tracestore.services.generator.remote_write.client import RemoteClient
from tracestore.services.generator.remote_write.protocol import Protocol
from tracestore.settings.remote_write import PROTOBUF_V1, RemoteWriteSettings
from tracestore.telemetry_remote_write import RemoteWriteMetrics

log = logging.getLogger(__name__)

KINDS = ("samples", "exemplars", "histograms")
_LOG_EVERY_S = 10.0


class QuietLog:
    """Warnings that are not repeated all the time; what was left out is counted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ns: dict[str, int] = {}
        self._left_out: dict[str, int] = {}

    def warn(self, message: str, **extra: object) -> None:
        """Write a line, unless the same message was written a moment ago."""
        now_ns = self._clock.monotonic_ns()
        last_ns = self._last_ns.get(message)
        if last_ns is not None and now_ns - last_ns < _LOG_EVERY_S * 1e9:
            self._left_out[message] = self._left_out.get(message, 0) + 1
            return
        self._last_ns[message] = now_ns
        left_out = self._left_out.pop(message, 0)
        more = {"left_out": left_out} if left_out else {}
        log.warning(message, extra={**extra, **more})


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSeries:
    """The series of a tenant and receiver."""

    metrics: RemoteWriteMetrics
    labels: tuple[str, str, str]

    def count(self, what: Mapping[str, Counter], counts: Counts) -> None:
        """Add to the counters of the three kinds of items."""
        for kind in KINDS:
            if amount := getattr(counts, kind):
                what[kind].labels(*self.labels).inc(amount)

    def dropped(self, reason: str, counts: Counts) -> None:
        """Count items that are not sent."""
        for kind in KINDS:
            if amount := getattr(counts, kind):
                self.metrics.dropped[kind].labels(*self.labels, reason).inc(amount)

    def show_pending(self, counts: Counts) -> None:
        """Set what waits in the queue."""
        for kind in KINDS:
            self.metrics.pending[kind].labels(*self.labels).set(getattr(counts, kind))


@dataclass(slots=True)
class Remote:
    """A receiver, shared by all tenants."""

    settings: RemoteWriteSettings
    client: RemoteClient
    protocol: Protocol
    pool: BlockingPool
    turns: asyncio.Semaphore
    """One for each thread of the pool: requests wait here, in order."""
    quiet: QuietLog
    metadata_at_ns: dict[str, int] = field(default_factory=dict)
    """When a tenant's types and helps were sent last."""

    @classmethod
    def of(
        cls,
        settings: RemoteWriteSettings,
        clock: Clock,
        *,
        concurrency: int,
        protocol_retry_s: float,
    ) -> Remote:
        """Make what a receiver needs."""
        threads = min(concurrency, settings.queue.max_shards)
        return cls(
            settings=settings,
            client=RemoteClient(settings, connections=threads),
            protocol=Protocol(
                only_v1=settings.protobuf_message == PROTOBUF_V1, retry_s=protocol_retry_s
            ),
            pool=BlockingPool(
                f"remote-write-{settings.name}",
                threads=threads,
                waiting_max=threads,
                refusal="too many requests of remote write at a time",
            ),
            turns=asyncio.Semaphore(threads),
            quiet=QuietLog(clock),
        )

    def close(self) -> None:
        """Wait for the requests on their way, close the connections."""
        self.pool.close()
        self.client.close()

"""Takes spans that distributors push to a generator in a process of its own, by gRPC.

The answer to a push means that it waits to be counted; nothing is written down, so what waits when
the process dies is in no metric. Requests are decoded together, tenant by tenant, into a head that
is let go at once: only its counts stay.

Source: ``codec/proto/cluster.proto``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from tracestore.clock import Clock
from tracestore.errors import LimitExceededError, MalformedError, UnavailableError, UnreachableError
from tracestore.kernel import SpanBuilder
from tracestore.model.ids import TenantId, parse_tenant_id
from tracestore.services.blocking import BlockingPool
from tracestore.services.rpc import TENANT_KEY, Metadata, Unary
from tracestore.telemetry import Metrics

log = logging.getLogger(__name__)

SERVICE = "tracestore.cluster.v1.Generate"
CHECK_S = 0.02
SWIFT_BYTES = 4 << 20
"""This much is worth decoding at once, before the interval is over."""


class Tap(Protocol):
    """What counts the spans of a head."""

    def take(self, builder: SpanBuilder) -> None:
        """Count what was appended since the last call. Never raises."""


class GeneratorInbox:
    """Starts after the generator, drains before it. Used from one event loop."""

    name = "generator-inbox"

    def __init__(
        self,
        tap: Callable[[TenantId], Tap],
        pool: BlockingPool,
        metrics: Metrics,
        clock: Clock,
        *,
        bytes_max: int,
        interval_s: float,
        leave_s: float,
        has_others: Callable[[], bool],
    ) -> None:
        """Args:
        tap: makes what counts the spans of a head of a tenant.
        pool: where heads are decoded and counted.
        bytes_max: of requests that wait, together; one alone may be larger.
        interval_s: how long requests are gathered.
        leave_s: how long requests are still taken once the process is told to stop.
        has_others: whether there is anybody who would send one.
        """
        self._tap = tap
        self._pool = pool
        self._metrics = metrics
        self._clock = clock
        self._bytes_max = bytes_max
        self._interval_s = interval_s
        self._leave_s = leave_s
        self._has_others = has_others
        self._waiting: dict[TenantId, list[bytes]] = {}
        self._held = 0
        """Bytes that wait or are being counted."""
        self._some = asyncio.Event()
        self._closed = False
        metrics.generator_inbox_bytes.set_function(lambda: self._held)

    @property
    def methods(self) -> dict[str, Unary]:
        """What others ask of this process."""
        return {"Push": self.push}

    async def push(self, request: bytes, metadata: Metadata) -> bytes:
        """Take an ExportTraceServiceRequest.

        Raises: UnreachableError if another generator should be asked; UnavailableError if this one
        should be, later; InvalidRequestError.
        """
        await self.take(parse_tenant_id(metadata.get(TENANT_KEY, "")), request)
        return b""

    async def take(self, tenant: TenantId, request: bytes) -> None:
        """Queue a request; see ``push``."""
        if self._closed:
            raise UnreachableError("the metrics-generator is shutting down")
        if self._held and self._held + len(request) > self._bytes_max:
            raise UnavailableError(
                f"{self._held} bytes wait for the metrics-generator, the limit is {self._bytes_max}"
            )
        self._held += len(request)
        self._waiting.setdefault(tenant, []).append(request)
        self._some.set()

    async def start(self) -> None:
        """Nothing to get ready."""

    async def run(self) -> None:
        """Decode and count until cancelled; what is being counted then is finished."""
        while True:
            await self._some.wait()
            await self._linger()
            self._some.clear()
            await asyncio.shield(self.count_once())

    async def drain(self) -> None:
        """Leave the placement of the others, then refuse, then count what was taken."""
        if self._has_others():
            await self._clock.sleep(self._leave_s)
        self._closed = True
        while self._held:
            await self.count_once()
            await self._clock.sleep(CHECK_S)

    async def _linger(self) -> None:
        """Let more arrive, for large pieces cost less; not longer than the interval."""
        deadline_ns = self._clock.monotonic_ns() + int(self._interval_s * 1e9)
        while self._clock.monotonic_ns() < deadline_ns and self._held < SWIFT_BYTES:
            await self._clock.sleep(CHECK_S)

    async def count_once(self) -> None:
        """Count all that waits now."""
        taken, self._waiting = self._waiting, {}
        if not taken:
            return
        try:
            await self._run(taken)
        finally:
            self._held -= sum(len(each) for requests in taken.values() for each in requests)

    async def _run(self, taken: Mapping[TenantId, list[bytes]]) -> None:
        """Count in the pool, once it has room."""
        while True:
            try:
                return await self._pool.run(self._count, taken)
            except LimitExceededError:
                await self._clock.sleep(CHECK_S)

    def _count(self, taken: Mapping[TenantId, list[bytes]]) -> None:
        for tenant, requests in taken.items():
            builder = SpanBuilder()
            for request in requests:
                try:
                    builder.append(request)
                except MalformedError as error:
                    self._metrics.generator_failures.inc()
                    extra = {"tenant": tenant, "error": str(error)}
                    log.error("a distributor sent spans that cannot be decoded", extra=extra)
            self._tap(tenant).take(builder)

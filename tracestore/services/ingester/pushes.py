"""Takes the shares of requests that distributors in other processes send, by gRPC.

The answer to a call means that its spans are in the log. Source: ``codec/proto/cluster.proto``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from tracestore.clock import Clock
from tracestore.errors import InvalidRequestError, UnavailableError, UnreachableError
from tracestore.kernel import RequestCheck, check
from tracestore.model.ids import TenantId, parse_tenant_id
from tracestore.services.blocking import BlockingPool, Completions
from tracestore.services.rpc import NO_METRICS_KEY, TENANT_KEY, Metadata, Unary
from tracestore.telemetry import Metrics

SERVICE = "tracestore.cluster.v1.Ingest"
INLINE_BYTES_MAX = 256 * 1024
"""Up to this size a request is looked at in the event loop, as the distributor does it."""
DRAIN_CHECK_S = 0.02


class Log(Protocol):
    """What is needed of the ingester."""

    @property
    def is_ready(self) -> bool: ...
    def has(self, tenant: TenantId) -> bool: ...
    def append(
        self, tenant: TenantId, request: bytes, checked: RequestCheck, *, counted: bool = True
    ) -> Future[Any]: ...
    async def wait_for_room(self, tenant: TenantId) -> None: ...


class Pushes:
    """Starts after the ingester, drains before it: others are let go first. Of one event loop."""

    name = "pushes"

    def __init__(
        self,
        ingester: Log,
        pool: BlockingPool,
        metrics: Metrics,
        clock: Clock,
        *,
        bytes_max: int,
        leave_s: float,
        has_others: Callable[[], bool],
    ) -> None:
        """Args:
        bytes_max: of requests that wait for the log, together; one alone may be larger.
        leave_s: how long requests are still taken once the process is told to stop.
        has_others: whether there is anybody who would send one.
        """
        self._ingester = ingester
        self._pool = pool
        self._metrics = metrics
        self._clock = clock
        self._bytes_max = bytes_max
        self._leave_s = leave_s
        self._has_others = has_others
        self._completions = Completions()
        self._held = 0
        self._calls = 0
        self._closed = False

    @property
    def methods(self) -> dict[str, Unary]:
        """What others ask of this process."""
        return {"Push": self.push}

    async def push(self, request: bytes, metadata: Metadata) -> bytes:
        """Make an ExportTraceServiceRequest durable.

        Raises: UnreachableError if another ingester should be asked; UnavailableError or
        LimitExceededError if the sender should try again later; InvalidRequestError.
        """
        if self._closed or not self._ingester.is_ready:
            state = "shutting down" if self._closed else "starting"
            raise UnreachableError(f"the ingester is {state}")
        tenant = parse_tenant_id(metadata.get(TENANT_KEY, ""))
        if self._held and self._held + len(request) > self._bytes_max:
            raise UnavailableError(
                f"{self._held} bytes of requests wait for the log, the limit is {self._bytes_max}"
            )
        self._hold(len(request), 1)
        try:
            await self._append(tenant, request, counted=NO_METRICS_KEY not in metadata)
        finally:
            self._hold(-len(request), -1)
        return b""

    def _hold(self, size: int, calls: int) -> None:
        self._held += size
        self._calls += calls
        self._metrics.taken_push_bytes.set(self._held)

    async def _append(self, tenant: TenantId, request: bytes, *, counted: bool) -> None:
        await self._ingester.wait_for_room(tenant)
        if len(request) <= INLINE_BYTES_MAX and self._ingester.has(tenant):
            durable = self._check_and_append(tenant, request, counted)
        else:
            durable = await self._pool.run(self._check_and_append, tenant, request, counted)
        try:
            if durable is not None:
                await self._completions.wait(durable)
        finally:
            del durable  # an error that it holds holds this frame, and the request with it

    def _check_and_append(
        self, tenant: TenantId, request: bytes, counted: bool
    ) -> Future[Any] | None:
        checked = check(request)
        if checked.zero_trace_ids or checked.zero_span_ids:
            raise InvalidRequestError("a distributor sent spans without IDs")
        if not checked.spans:
            return None
        return self._ingester.append(tenant, request, checked, counted=counted)

    async def start(self) -> None:
        """Nothing to get ready."""

    async def run(self) -> None:
        """Live until cancelled."""
        await asyncio.Event().wait()

    async def drain(self) -> None:
        """Leave the placement of the others, then refuse, then finish what was taken."""
        if self._has_others():
            await self._clock.sleep(self._leave_s)
        self._closed = True
        while self._calls:
            await self._clock.sleep(DRAIN_CHECK_S)

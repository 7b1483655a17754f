"""What the limits of a tenant do to its requests: refuse, cut, leave out; and the account of it.

Runs in pool threads, before anything is durable. A tenant without limits costs a look into a
dictionary; no limit costs Python per span.

Source: wire contract, section 6.3; Go's ``x/time/rate`` for the bucket.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from tracestore.clock import Clock
from tracestore.errors import LimitExceededError, TooLargeError
from tracestore.kernel import SCOPES, LiveTraces, RequestCheck, check, limit_request
from tracestore.model.ids import TenantId
from tracestore.services.tenant_labels import TenantLabels
from tracestore.settings.limits import TenantLimits
from tracestore.settings.tree import DistributorSettings
from tracestore.telemetry import Metrics

Body = bytes | bytearray

log = logging.getLogger(__name__)

GATES_MAX = 10_000
"""Tenants whose use is remembered; of those idle for longest it is forgotten."""
IDLE_MAX_S = 1000


class Discards:
    """Counts spans that are not kept, and says so in the log once in a while. Thread-safe."""

    def __init__(
        self, metrics: Metrics, labels: TenantLabels, clock: Clock, *, log_interval_s: float
    ) -> None:
        self._metrics = metrics
        self._labels = labels
        self._clock = clock
        self._interval_ns = int(log_interval_s * 1e9)
        self._lock = threading.Lock()
        self._unsaid: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()
        """Tenant and reason -> spans not yet in the log, and when the log last told of them."""

    def count(self, tenant: TenantId, reason: str, spans: int) -> None:
        """Count spans that were received and not kept."""
        self._metrics.discarded_spans.labels(reason, self._labels.of(tenant)).inc(spans)
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            before, said_ns = self._unsaid.pop((tenant, reason), (0, -self._interval_ns))
            is_due = now_ns - said_ns >= self._interval_ns
            kept = (0, now_ns) if is_due else (before + spans, said_ns)
            self._unsaid[tenant, reason] = kept
            while len(self._unsaid) > GATES_MAX:
                self._unsaid.popitem(last=False)
        if is_due:
            extra = {"tenant": tenant, "reason": reason, "spans": before + spans}
            log.warning("spans are discarded", extra=extra)


@dataclass(slots=True, kw_only=True)
class _Gate:
    """What a tenant has used."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    tokens: float | None = None
    """Bytes that may come at once; None: the bucket is full."""
    filled_ns: int = 0
    traces: LiveTraces | None = None

    def take(self, size: int, rate: int, burst: int, now_ns: int) -> bool:
        """Take bytes out of the bucket, all or none."""
        with self.lock:
            tokens = float(burst) if self.tokens is None else self.tokens
            tokens = min(burst, tokens + (now_ns - self.filled_ns) * rate / 1e9)
            taken = size <= tokens
            self.tokens = tokens - size if taken else tokens
            self.filled_ns = now_ns
            return taken


class IngestLimits:
    """The limits of all tenants, and what they have used of them. Thread-safe."""

    def __init__(
        self,
        settings: DistributorSettings,
        limits: Callable[[TenantId], TenantLimits],
        discards: Discards,
        metrics: Metrics,
        labels: TenantLabels,
        clock: Clock,
    ) -> None:
        """Args:
        limits: as they are now; asked for each request.
        """
        self._settings = settings
        self._limits = limits
        self._discards = discards
        self._metrics = metrics
        self._labels = labels
        self._clock = clock
        self._lock = threading.Lock()
        self._gates: OrderedDict[TenantId, _Gate] = OrderedDict()

    def admit(self, tenant: TenantId, request: Body, spans: int) -> None:
        """Let a request in whole, or refuse it whole.

        Raises: TooLargeError; LimitExceededError in Tempo's words, with a delay if it has one.
        """
        limits = self._limits(tenant).ingestion
        size = len(request)
        if limits.max_request_bytes and size > limits.max_request_bytes:
            self._discards.count(tenant, "request_too_large", spans)
            raise TooLargeError(
                f"request of {size} bytes exceeds the limit of {limits.max_request_bytes} bytes "
                f"for user {tenant}"
            )
        if limits.bucket is None:
            return
        rate, burst = limits.bucket
        now_ns = self._clock.monotonic_ns()
        if self._gate(tenant).take(size, rate, burst, now_ns):
            return
        self._discards.count(tenant, "rate_limited", spans)
        delay_s = self._settings.retry_after_on_resource_exhausted_s
        raise LimitExceededError(
            _rate_message(tenant, size, rate, burst),
            limit="ingestion.rate_limit_bytes",
            retry_after_s=delay_s if limits.retry_info_enabled else 0.0,
        )

    def limit(
        self, tenant: TenantId, request: Body, checked: RequestCheck
    ) -> tuple[Body, RequestCheck]:
        """Cut long attributes, and leave out the spans of traces that are too many or too large.

        Returns: the request that is stored, the same one if no limit touches it.
        """
        limits = self._limits(tenant)
        longest = limits.ingestion.max_attribute_bytes or self._settings.max_attribute_bytes
        if longest and checked.attribute_bytes > longest:
            cut = limit_request(request, attribute_bytes_max=longest)
            if any(cut.truncated):
                self._count_truncated(tenant, cut.truncated)
                request, checked = cut.request, check(cut.request)
        traces_max, bytes_max = limits.ingestion.traces_max, limits.global_.max_bytes_per_trace
        if traces_max or bytes_max:
            request, checked = self._leave_out(tenant, request, checked, traces_max, bytes_max)
        return request, checked

    def _leave_out(
        self,
        tenant: TenantId,
        request: Body,
        checked: RequestCheck,
        traces_max: int,
        bytes_max: int,
    ) -> tuple[Body, RequestCheck]:
        gate = self._gate(tenant)
        now_s = self._clock.monotonic_ns() // 1_000_000_000 + 1
        with gate.lock:
            if gate.traces is None:
                gate.traces = self._live_traces()
            found = gate.traces.admit(
                request, checked.spans, now_s, traces_max=traces_max, bytes_max=bytes_max
            )
        if found.refused is None:
            return request, checked
        for reason, spans in (
            ("live_traces_exceeded", found.live_traces_exceeded),
            ("trace_too_large", found.trace_too_large),
        ):
            if spans:
                self._discards.count(tenant, reason, spans)
        kept = limit_request(request, refused=found.refused).request
        return kept, check(kept)

    def _live_traces(self) -> LiveTraces:
        idle_s = min(IDLE_MAX_S, max(1, ceil(self._settings.trace_idle_s)))
        return LiveTraces(
            seed=random.SystemRandom().getrandbits(64),
            idle_s=idle_s,
            keep_s=max(idle_s, ceil(self._settings.trace_memory_s)),
            traces_max=self._settings.trace_memory_traces_max,
        )

    def _count_truncated(self, tenant: TenantId, truncated: tuple[int, ...]) -> None:
        label = self._labels.of(tenant)
        for scope, count in zip(SCOPES, truncated, strict=True):
            if count:
                self._metrics.truncated_attributes.labels(label, scope).inc(count)

    def _gate(self, tenant: TenantId) -> _Gate:
        with self._lock:
            gate = self._gates.pop(tenant, None) or _Gate(filled_ns=self._clock.monotonic_ns())
            self._gates[tenant] = gate
            while len(self._gates) > GATES_MAX:
                self._gates.popitem(last=False)
            return gate


def _rate_message(tenant: TenantId, size: int, rate: int, burst: int) -> str:
    """Say it as Tempo does; the global limit is 0, as with its local strategy."""
    bucket = f"(local: {rate} bytes/s, global: 0 bytes/s, burst: {burst} bytes)"
    if size > rate and size > burst:
        return (
            f"RATE_LIMITED: batch size ({size} bytes) exceeds ingestion limit {bucket} while "
            f"adding {size} bytes for user {tenant}. consider reducing batch size or increasing "
            "rate limit."
        )
    return (
        f"RATE_LIMITED: ingestion rate limit {bucket} exceeded while adding {size} bytes for user "
        f"{tenant}. consider increasing the limit or reducing ingestion rate."
    )

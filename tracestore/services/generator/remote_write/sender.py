"""Sends what is queued for a tenant to one receiver, record by record.

The requests of one record are on their way at the same time, the next record waits for the last of
them: so no series is ever out of order, and what a receiver has got is a place in the queue.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter

from tracestore.clock import Clock
from tracestore.codec.remote_write.messages import (
    compress,
    encode_metadata,
    encode_v1,
    encode_v2,
)
from tracestore.codec.remote_write.outgoing import TOO_OLD, Batch, Counts
from tracestore.errors import MalformedError, UnavailableError
from tracestore.services.blocking import BlockingPool
from tracestore.services.generator.remote_write.protocol import (
    Outcome,
    Verdict,
    judge,
    protocol_headers,
)
from tracestore.services.generator.remote_write.remote import Remote, RemoteSeries
from tracestore.services.generator.remote_write.tenant import Planned, TenantQueue
from tracestore.storage.metrics_queue.queue import CORRUPT, Taken
from tracestore.storage.metrics_queue.segment import RecordKind

_DISK_RETRY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderParts:
    """What a sender works with."""

    tenant: TenantQueue
    remote: Remote
    series: RemoteSeries
    pool: BlockingPool
    """For the disk and for planning."""
    clock: Clock
    rng: random.Random
    user_agent: str
    age_max_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    verdict: Verdict
    version: int
    message: str


@dataclass(slots=True)
class Sender:
    """See the module. ``run`` may be cancelled and called again: it goes on where it was."""

    parts: SenderParts
    headers: Mapping[str, str]
    """Of the tenant; may be replaced at any time."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there may be something new."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while everything is sent."""
    _taken: Taken | None = None
    _failures: int = 0
    """Requests that failed since the last one that did not."""
    _probe: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the one request that is made while the receiver fails."""

    async def run(self) -> None:
        """Send for ever. Raises: OSError if the queue cannot be read."""
        while True:
            await self.send_next()

    async def send_next(self) -> None:
        """Send one record, or wait until there is one."""
        parts = self.parts
        if self._taken is None:
            self.wake.clear()
            self._taken = await self._take()
        if self._taken is None:
            self.idle.set()
            await self.wake.wait()
            return
        self.idle.clear()
        await self._send(self._taken)
        taken, self._taken = self._taken, None
        try:
            await parts.pool.run(parts.tenant.queue.done, self._name, taken.position, taken.counts)
        except OSError as error:
            parts.remote.quiet.warn(
                "place in the metrics queue could not be written; after a restart it is older",
                error=str(error), **self._who(),
            )  # fmt: skip
        parts.series.show_pending(parts.tenant.queue.pending(self._name))

    async def _take(self) -> Taken | None:
        parts = self.parts
        while True:
            try:
                return await parts.pool.run(parts.tenant.queue.take, self._name)
            except OSError as error:
                parts.remote.quiet.warn(
                    "metrics queue cannot be read, and is tried again",
                    error=str(error), **self._who(),
                )  # fmt: skip
                await parts.clock.sleep(_DISK_RETRY_S)

    @property
    def _name(self) -> str:
        return self.parts.remote.settings.name

    async def _send(self, taken: Taken) -> None:
        parts = self.parts
        try:
            if taken.kind is RecordKind.SERIES:
                await parts.pool.run(parts.tenant.learn, taken)
                return
            if self._is_too_old(taken):
                parts.series.dropped(TOO_OLD, taken.counts)
                return
            planned = await parts.pool.run(
                parts.tenant.plan, self._name, taken,
                not_before_ms=self._not_before_ms(),
                samples_max=parts.remote.settings.queue.max_samples_per_send,
            )  # fmt: skip
        except MalformedError as error:
            parts.series.dropped(CORRUPT, taken.counts)
            parts.tenant.damaged(torn=False)
            parts.remote.quiet.warn(
                "record of the metrics queue is not readable", error=str(error), **self._who()
            )
            return
        for reason, counts in planned.outgoing.dropped.items():
            parts.series.dropped(reason, counts)
        await self._send_all(planned, taken)
        parts.series.metrics.highest_sent.labels(*parts.series.labels).set(taken.time_ms / 1000)
        await self._send_metadata()

    async def _send_all(self, planned: Planned, taken: Taken) -> None:
        shards = asyncio.Semaphore(self.parts.remote.settings.queue.max_shards)
        gauge = self.parts.series.metrics.shards.labels(*self.parts.series.labels)

        async def send(batch: Batch) -> None:
            with gauge.track_inprogress():
                try:
                    await self._send_batch(batch, planned, taken)
                finally:
                    shards.release()

        async with asyncio.TaskGroup() as tasks:
            for batch in planned.outgoing.batches:
                await shards.acquire()
                tasks.create_task(send(batch))

    async def _send_batch(self, batch: Batch, planned: Planned, taken: Taken) -> None:
        """Send one request until it is taken or refused, or too old."""
        while True:
            if not self._failures:
                done = await self._try(batch, planned, taken)
            else:
                async with self._probe:
                    # Whoever waited here may find that the receiver is back.
                    done = bool(self._failures) and await self._try(batch, planned, taken)
            if done:
                return

    async def _try(self, batch: Batch, planned: Planned, taken: Taken) -> bool:
        """Send a request once. Returns: whether there is nothing left to do for it."""
        parts, counts, failures = self.parts, batch.counts, self._failures
        if self._is_too_old(taken):
            parts.series.dropped(TOO_OLD, counts)
            return True
        try:
            async with parts.remote.turns:
                attempt = await parts.remote.pool.run(self._attempt, batch, planned)
        except UnavailableError as error:
            await self._back_off(failures, counts, str(error), 0.0)
            return False
        if attempt.verdict.outcome is Outcome.RETRY:
            await self._back_off(failures, counts, attempt.message, attempt.verdict.retry_after_s)
            return False
        self._failures = 0
        self._account(attempt, counts)
        return True

    async def _back_off(
        self, failures: int, counts: Counts, message: str, retry_after_s: float
    ) -> None:
        """Wait after a failure.

        Args:
            failures: before the request; others that were made beside it count as one with it.
        """
        parts, queue = self.parts, self.parts.remote.settings.queue
        self._failures = max(self._failures, failures + 1)
        parts.series.count(parts.series.metrics.retried, counts)
        longest_s = min(queue.max_backoff_s, queue.min_backoff_s * 2 ** min(self._failures - 1, 30))
        wait_s = max(retry_after_s, longest_s * (1 - parts.rng.random() / 2))
        parts.remote.quiet.warn(
            "remote write failed, and is tried again",
            error=message, wait_s=round(wait_s, 3), **self._who(),
        )  # fmt: skip
        await parts.clock.sleep(wait_s)

    def _account(self, attempt: _Attempt, counts: Counts) -> None:
        series = self.parts.series
        series.count(series.metrics.sent, counts)
        written = attempt.verdict.written
        if attempt.verdict.outcome is Outcome.WRITTEN and written is None:
            return
        lost = counts if written is None else _missing(counts, written)
        if lost == Counts():
            return
        series.count(series.metrics.failed, lost)
        self.parts.remote.quiet.warn(
            "samples were refused by remote write",
            error=attempt.message, samples=lost.samples, histograms=lost.histograms,
            exemplars=lost.exemplars, **self._who(),
        )  # fmt: skip

    def _attempt(self, batch: Batch, planned: Planned) -> _Attempt:
        """Encode and send a request, in 1.0 if 2.0 is not taken. Raises: UnavailableError."""
        remote, now_ns = self.parts.remote, self.parts.clock.monotonic_ns
        if remote.protocol.version(now_ns()) == 2:
            attempt = self._post(encode_v2(batch, planned.symbols_v2()), 2)
            if attempt.verdict.outcome is not Outcome.OTHER_VERSION:
                if attempt.verdict.outcome is Outcome.WRITTEN:
                    remote.protocol.took_v2()
                    self._show_version(2)
                return attempt
        attempt = self._post(encode_v1(batch, planned.labels_v1()), 1)
        if attempt.verdict.outcome is Outcome.WRITTEN:
            if remote.protocol.version(now_ns()) == 2:
                remote.protocol.took_v1(now_ns())
            self._show_version(1)
        return attempt

    def _post(self, message: bytes, version: int) -> _Attempt:
        parts = self.parts
        metrics, labels = parts.series.metrics, parts.series.labels
        body = compress(message)
        started = perf_counter()
        headers = protocol_headers(version, parts.user_agent) | dict(self.headers)
        reply = parts.remote.client.post(body, headers)
        metrics.batch_seconds.labels(*labels).observe(perf_counter() - started)
        metrics.bytes.labels(*labels).inc(len(body))
        verdict = judge(
            reply, version,
            now_s=parts.clock.now_ns() / 1e9,
            retry_on_429=parts.remote.settings.queue.retry_on_http_429,
        )  # fmt: skip
        return _Attempt(
            verdict=verdict, version=version, message=f"HTTP {reply.status}: {reply.message}"
        )

    async def _send_metadata(self) -> None:
        """Send type and help of the metrics if it is time to, once: the next time is near."""
        parts, settings = self.parts, self.parts.remote.settings.metadata
        now_ns = parts.clock.monotonic_ns()
        last_ns = parts.remote.metadata_at_ns.get(parts.tenant.tenant)
        due = last_ns is None or now_ns - last_ns >= settings.send_interval_s * 1e9
        if not settings.send or not due or parts.remote.protocol.version(now_ns) == 2:
            return
        parts.remote.metadata_at_ns[parts.tenant.tenant] = now_ns
        families = parts.tenant.families()
        for start in range(0, len(families), settings.max_samples_per_send):
            part = families[start : start + settings.max_samples_per_send]
            try:
                async with parts.remote.turns:
                    attempt = await parts.remote.pool.run(self._post, encode_metadata(part), 1)
                is_taken = attempt.verdict.outcome is Outcome.WRITTEN
            except UnavailableError:
                is_taken = False
            metrics, labels = parts.series.metrics, parts.series.labels
            (metrics.metadata if is_taken else metrics.metadata_failed).labels(*labels).inc(
                len(part)
            )

    def _show_version(self, version: int) -> None:
        self.parts.series.metrics.protocol.labels(*self.parts.series.labels).set(version)

    def _is_too_old(self, taken: Taken) -> bool:
        age_ms = self.parts.clock.now_ns() // 1_000_000 - taken.time_ms
        return age_ms > self.parts.age_max_s * 1000

    def _not_before_ms(self) -> int:
        limit_s = self.parts.remote.settings.queue.sample_age_limit_s
        if limit_s == 0:
            return -(2**62)
        return self.parts.clock.now_ns() // 1_000_000 - int(limit_s * 1000)

    def _who(self) -> dict[str, str]:
        settings = self.parts.remote.settings
        return {
            "tenant": self.parts.tenant.tenant,
            "remote_name": settings.name,
            "url": settings.shown_url,
        }


def _missing(counts: Counts, written: Counts) -> Counts:
    return Counts(
        samples=max(0, counts.samples - written.samples),
        exemplars=max(0, counts.exemplars - written.exemplars),
        histograms=max(0, counts.histograms - written.histograms),
    )

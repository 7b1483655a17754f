"""Acknowledged spans to the metrics-generators of other processes, each trace always to the same.

What is here never holds back a sender: a request is copied nowhere, it waits in a bounded queue
after it was acknowledged, and what there is no room or nobody for is dropped and counted. Spans
whose ingester makes metrics itself do not come here (``cluster.py``), so none is counted twice.

A push that was not answered in time goes to the next generator in order; if the first one had
taken it all the same, its spans are counted twice, as any duplicate is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from tracestore.clock import Clock
from tracestore.errors import (
    LimitExceededError,
    TracestoreError,
    UnavailableError,
    UnreachableError,
)
from tracestore.kernel import check
from tracestore.model.ids import TenantId
from tracestore.services.blocking import BlockingPool
from tracestore.services.members.member import Member, MemberList, Role
from tracestore.services.members.service import Members
from tracestore.services.placement import Body, Placement
from tracestore.services.rpc import TENANT_KEY, Peers
from tracestore.settings.members_tree import GeneratorPushSettings
from tracestore.telemetry import Metrics

log = logging.getLogger(__name__)

PUSH = "/tracestore.cluster.v1.Generate/Push"
DRAIN_CHECK_S = 0.02

Local = Callable[[TenantId, bytes], Awaitable[None]]
"""Takes spans for the generator of this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Spans of a tenant on their way."""

    tenant: TenantId
    body: Body
    spans_max: int
    born_ns: int
    """When the oldest of it was acknowledged, of the clock that never goes back."""
    tried: frozenset[str] = frozenset()
    """Processes that did not answer."""


class GeneratorPushes:
    """Owns the queue. Used from one event loop; ``wants`` from any thread."""

    name = "generator-pushes"

    def __init__(
        self,
        settings: GeneratorPushSettings,
        members: Members,
        peers: Peers,
        pool: BlockingPool,
        metrics: Metrics,
        clock: Clock,
        *,
        wants: Callable[[TenantId], bool],
        local: Local | None = None,
    ) -> None:
        """Args:
        pool: cuts requests.
        wants: whether there are metrics of a tenant's spans.
        local: the generator of this process, if it has one.
        """
        self._wants = wants
        self._settings = settings
        self._members = members
        self._peers = peers
        self._pool = pool
        self._metrics = metrics
        self._clock = clock
        self._local = local
        self._waiting: dict[TenantId, deque[Batch]] = {}
        self._held = 0
        """Bytes that wait or are on their way."""
        self._sending = 0
        self._some = asyncio.Event()
        self._placed: tuple[MemberList, Placement] | None = None
        self._told_ns = -(1 << 62)
        metrics.generator_push_bytes.set_function(lambda: self._held)

    def wants(self, tenant: TenantId) -> bool:
        """Tell whether there are metrics of a tenant's spans. Thread-safe."""
        return self._wants(tenant)

    def offer(self, tenant: TenantId, body: Body, spans_max: int) -> None:
        """Queue spans that were acknowledged; never waits, never fails.

        Args:
            spans_max: no more spans than these are in it.
        """
        if self._held and self._held + len(body) > self._settings.queue_bytes_max:
            self._drop("queue_full", spans_max)
            return
        self._held += len(body)
        batch = Batch(
            tenant=tenant,
            body=body,
            spans_max=spans_max,
            born_ns=self._clock.monotonic_ns(),
        )
        self._waiting.setdefault(tenant, deque()).append(batch)
        self._some.set()

    async def start(self) -> None:
        """Nothing to get ready."""

    async def run(self) -> None:
        """Send until cancelled; what is on its way then is finished by ``drain``."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._settings.concurrency):
                tasks.create_task(self._work())

    async def drain(self) -> None:
        """Send what waits, as long as it is worth it."""
        while self._waiting or self._sending:
            if self._waiting:
                await self._deliver(self._take())
            else:
                await self._clock.sleep(DRAIN_CHECK_S)

    async def _work(self) -> None:
        while True:
            await self._some.wait()
            if self._waiting:
                await asyncio.shield(self._deliver(self._take()))
            else:
                self._some.clear()

    async def _deliver(self, batch: Batch) -> None:
        try:
            await self._place(batch)
        finally:
            self._sending -= 1
            self._held -= len(batch.body)

    def _take(self) -> Batch:
        """Take what waits of the tenant whose turn it is, as much as fits into one push."""
        tenant = next(iter(self._waiting))
        queue = self._waiting.pop(tenant)
        self._sending += 1
        taken = [queue.popleft()]
        size = len(taken[0].body)
        while queue and size + len(queue[0].body) <= self._settings.batch_bytes_max:
            taken.append(queue.popleft())
            size += len(taken[-1].body)
        if queue:
            self._waiting[tenant] = queue  # behind the others
        if len(taken) == 1:
            return taken[0]
        # Requests behind one another are one request, to Protocol Buffers.
        return replace(
            taken[0],
            body=b"".join(batch.body for batch in taken),
            spans_max=sum(batch.spans_max for batch in taken),
        )

    def _placement(self) -> Placement:
        """Get those who share the traces now: processes that do nothing else, if there are any."""
        members = self._members.latest
        if self._placed is None or self._placed[0] is not members:
            taking = members.taking(Role.METRICS_GENERATOR)
            apart = [member for member in taking if not member.has(Role.INGESTER)]
            self._placed = members, Placement.among(apart or taking)
        return self._placed[1]

    async def _place(self, batch: Batch) -> None:
        """Cut a batch among the generators that have not been tried in vain, and send the parts."""
        left = self._placement()
        if batch.tried:
            left = left.only(lambda member: member.identity.process not in batch.tried)
        if not left.members:
            await self._give_up(batch, "unreachable", "no metrics-generator answers")
            return
        parts = await self._cut(left, batch)
        await asyncio.gather(*(self._send(member, replace(batch, body=b)) for member, b in parts))

    async def _cut(self, left: Placement, batch: Batch) -> list[tuple[Member, Body]]:
        """Cut a batch into the parts of generators; none if no thread had time for it."""
        while True:
            try:
                return await self._pool.run(left.shard, batch.body, batch.spans_max)
            except LimitExceededError as error:
                if self._is_late(batch):
                    self._drop("late", batch.spans_max, str(error))
                    return []
                await self._clock.sleep(self._settings.retry_s)

    async def _send(self, member: Member, batch: Batch) -> None:
        """Send a part; while a generator has no room it is asked again, a dead one is left out."""
        while True:
            if self._is_late(batch):
                await self._give_up(batch, "late", "metrics-generators are too slow")
                return
            try:
                await self._push(member, batch)
            except UnreachableError as error:
                self._metrics.generator_push_failures.labels(member.identity.instance).inc()
                self._members.suspect(member, str(error))
                tried = batch.tried | {member.identity.process}
                if len(tried) >= self._settings.attempts_max:
                    await self._give_up(batch, "unreachable", str(error))
                else:
                    await self._place(replace(batch, tried=tried))
                return
            except (UnavailableError, LimitExceededError):
                self._metrics.generator_push_failures.labels(member.identity.instance).inc()
                await self._clock.sleep(self._settings.retry_s)
            except TracestoreError as error:
                self._metrics.generator_push_failures.labels(member.identity.instance).inc()
                await self._give_up(batch, "refused", str(error))
                return
            else:
                return

    async def _push(self, member: Member, batch: Batch) -> None:
        self._metrics.generator_pushes.labels(member.identity.instance).inc()
        if member.is_self:
            if self._local is None:
                raise UnreachableError("this process has no metrics-generator")
            await self._local(batch.tenant, bytes(batch.body))
            return
        await self._peers.call(
            member.address,
            PUSH,
            batch.body,
            timeout_s=self._settings.timeout_s,
            metadata=((TENANT_KEY, batch.tenant),),
        )

    def _is_late(self, batch: Batch) -> bool:
        age_s = (self._clock.monotonic_ns() - batch.born_ns) / 1e9
        return age_s > self._settings.age_max_s

    async def _give_up(self, batch: Batch, reason: str, said: str) -> None:
        try:
            spans = (await self._pool.run(check, batch.body)).spans
        except LimitExceededError:
            spans = batch.spans_max  # no thread has time to count them
        self._drop(reason, spans, said)

    def _drop(self, reason: str, spans: int, said: str = "the queue is full") -> None:
        """Count spans that are in no metric; the log says so once a minute."""
        self._metrics.generator_push_dropped.labels(reason).inc(spans)
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._told_ns >= self._settings.log_interval_s * 1e9:
            self._told_ns = now_ns
            log.warning(
                "spans are stored, but missing in the metrics made of spans",
                extra={"reason": reason, "error": said},
            )


def uncounted(shares: Sequence[tuple[Member, Body]]) -> list[Body]:
    """Get the shares whose ingester makes no metrics of them itself."""
    return [body for member, body in shares if not member.has(Role.METRICS_GENERATOR)]

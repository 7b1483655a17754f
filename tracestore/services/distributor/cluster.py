"""Requests to the ingesters of a cluster: each trace to its home, acknowledged when all are there.

The home is one of the living ingesters, by rendezvous hashing. If it does not answer, its share is
cut anew among the others, so that each trace goes to the next in its order. What an ingester says
itself (slow down, no room) goes back to the sender, who retries the whole request; spans that are
then stored twice are one when they are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tracestore.clock import Clock
from tracestore.errors import (
    LimitExceededError,
    TracestoreError,
    UnavailableError,
    UnreachableError,
)
from tracestore.kernel import RequestCheck, check
from tracestore.model.ids import TenantId
from tracestore.services.blocking import BlockingPool
from tracestore.services.byte_gate import ByteGate
from tracestore.services.distributor.appending import Body, LocalAppender, Pending
from tracestore.services.distributor.generators import uncounted
from tracestore.services.members.member import Member, MemberList, Role
from tracestore.services.members.service import Members
from tracestore.services.placement import Placement
from tracestore.services.rpc import Peers, metadata_of
from tracestore.settings.members_tree import PushSettings
from tracestore.telemetry import Metrics

SERVICE = "tracestore.cluster.v1.Ingest"
PUSH = f"/{SERVICE}/Push"
NOBODY = "no ingester answers: retry later"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one ingester is to make durable of a request."""

    tenant: TenantId
    body: Body
    spans_max: int
    """No more spans than these are in it."""
    counted: bool = True
    """Whether its ingester may make metrics of it."""
    durable: list[tuple[Member, Body]] | None = None
    """Takes down where it went, if somebody wants to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """A request of whose spans there are metrics, and where its shares went."""

    tenant: TenantId
    request: Body
    spans_max: int
    durable: list[tuple[Member, Body]]


class Generating(Protocol):
    """What is needed of ``GeneratorPushes``."""

    def wants(self, tenant: TenantId) -> bool:
        """Tell whether there are metrics of a tenant's spans. Thread-safe."""

    def offer(self, tenant: TenantId, body: Body, spans_max: int) -> None:
        """Take what is durable. Never waits, never fails."""


class Lane:
    """The way to one ingester in another process."""

    def __init__(self, member: Member, settings: PushSettings) -> None:
        self.member = member
        self.gate = ByteGate(
            f"requests to ingester {member.identity.instance}",
            bytes_max=settings.inflight_bytes_max,
            waiting_max=settings.waiting_max,
            wait_s=settings.wait_s,
        )
        self.gone = asyncio.Event()
        """Set once the process is known to be dead."""


class ClusterAppender:
    """See ``Appender``. Appends from any thread, the rest from the event loop."""

    def __init__(
        self,
        settings: PushSettings,
        members: Members,
        peers: Peers,
        pool: BlockingPool,
        metrics: Metrics,
        clock: Clock,
        *,
        local: LocalAppender | None,
        generators: Generating | None = None,
    ) -> None:
        """Args:
        pool: for what blocks of the ingester in this process.
        local: the ingester in this process, if it has one.
        generators: takes what is durable to those who make metrics of it.
        """
        self._generators = generators
        self._settings = settings
        self._members = members
        self._peers = peers
        self._pool = pool
        self._metrics = metrics
        self._clock = clock
        self._local = local
        self._lanes: dict[str, Lane] = {}
        """By process."""
        self._placed: tuple[MemberList, bool, Placement] | None = None
        members.follow(self._close_lanes)
        metrics.push_inflight_bytes.set_function(
            lambda: sum(lane.gate.held for lane in list(self._lanes.values()))
        )

    @property
    def is_ready(self) -> bool:
        """Whether somebody would take a request."""
        return bool(self.placement().members)

    def has(self, tenant: TenantId) -> bool:
        """See ``Appender``."""
        return self._local is None or self._local.has(tenant)

    async def wait_for_room(self, tenant: TenantId) -> None:
        """Wait for the ingester in this process; the others say by themselves if they are full."""
        if self._local is not None and self._local.is_ready:
            await self._local.wait_for_room(tenant)

    def placement(self) -> Placement:
        """Get those who share the traces now. Thread-safe."""
        members = self._members.latest
        local = self._local is not None and self._local.is_ready
        placed = self._placed
        if placed is not None and placed[0] is members and placed[1] is local:
            return placed[2]
        taking = [member for member in members.taking(Role.INGESTER) if not member.is_self]
        if local:
            taking.append(members.own)
        placement = Placement.among(taking)
        self._placed = members, local, placement
        return placement

    def append(
        self, tenant: TenantId, request: Body, checked: RequestCheck, *, counted: bool = True
    ) -> Pending:
        """See ``Appender``. What is of this process is appended at once, the rest is sent later."""
        placement = self.placement()
        if not placement.members:
            raise UnreachableError(NOBODY)
        generators = self._generators if counted else None
        durable: list[tuple[Member, Body]] | None = None
        if generators is not None and generators.wants(tenant):
            durable = []
        local: Pending | None = None
        remote: list[tuple[Member, Share]] = []
        for member, body in placement.shard(request, checked.spans):
            if member.is_self:
                assert self._local is not None
                own = checked if body is request else check(body)
                local = self._local.append(tenant, body, own, counted=counted)
                if durable is not None:
                    durable.append((member, body))
            else:
                share = Share(
                    tenant=tenant,
                    body=body,
                    spans_max=checked.spans,
                    counted=counted,
                    durable=durable,
                )
                remote.append((member, share))
        if durable is not None:
            counting = Counting(
                tenant=tenant, request=request, spans_max=checked.spans, durable=durable
            )
            return _Shares(self, local, remote, counting)
        return local if local is not None and not remote else _Shares(self, local, remote)

    def count(self, counting: Counting) -> None:
        """Have metrics made of what is durable now, but for what its ingesters count themselves."""
        assert self._generators is not None
        left = uncounted(counting.durable)
        if len(left) == len(counting.durable):
            left = [counting.request]
        for body in left:
            self._generators.offer(counting.tenant, body, counting.spans_max)

    async def deliver(
        self, member: Member, share: Share, *, tried: frozenset[str] = frozenset()
    ) -> None:
        """Have a share made durable by its home, or by the next in order if that does not answer.

        Args:
            tried: processes that did not answer.

        Raises: what an ingester says; UnreachableError if none answers.
        """
        try:
            if member.is_self:
                await self._append_here(share)
            else:
                await self._push(member, share)
        except UnreachableError as error:
            self._members.suspect(member, str(error))
            tried |= {member.identity.process}
            if len(tried) >= self._settings.attempts_max:
                raise
            left = self.placement().only(lambda other: other.identity.process not in tried)
            if not left.members:
                raise
        else:
            if share.durable is not None:
                share.durable.append((member, share.body))
            return
        self._metrics.pushes.labels("moved").inc()
        await self._deliver_all(left, share, tried)

    async def _deliver_all(self, left: Placement, share: Share, tried: frozenset[str]) -> None:
        parts = [
            (member, replace(share, body=body))
            for member, body in left.shard(share.body, share.spans_max)
        ]
        await all_of([self.deliver(member, part, tried=tried) for member, part in parts])

    async def _append_here(self, share: Share) -> None:
        """Take over the share of another that did not answer."""
        assert self._local is not None
        await self._local.wait_for_room(share.tenant)
        checked = await self._pool.run(check, share.body)
        local, counted = self._local, share.counted

        def append() -> Pending:
            return local.append(share.tenant, share.body, checked, counted=counted)

        pending = await self._pool.run(append)
        await pending.wait()

    async def _push(self, member: Member, share: Share) -> None:
        """Send a share; given up as soon as the other is known to be dead."""
        lane = self._lane(member)
        started_ns = self._clock.monotonic_ns()
        try:
            async with lane.gate.hold(len(share.body)):
                await self._call(lane, share)
        except TracestoreError as error:
            self._metrics.pushes.labels(_outcome(error)).inc()
            raise
        self._metrics.pushes.labels("durable").inc()
        self._metrics.push_bytes.inc(len(share.body))
        self._metrics.push_share_seconds.observe((self._clock.monotonic_ns() - started_ns) / 1e9)

    async def _call(self, lane: Lane, share: Share) -> None:
        failure: TracestoreError | None = None

        async def call() -> None:
            nonlocal failure
            try:
                await self._peers.call(
                    lane.member.address,
                    PUSH,
                    share.body,
                    timeout_s=self._settings.timeout_s,
                    metadata=metadata_of(share.tenant, counted=share.counted),
                )
            except TracestoreError as error:
                failure = error

        async with asyncio.TaskGroup() as tasks:
            answered = tasks.create_task(call())
            died = tasks.create_task(lane.gone.wait())
            await asyncio.wait((answered, died), return_when=asyncio.FIRST_COMPLETED)
            died.cancel()
            if not answered.done():
                answered.cancel()
                failure = UnreachableError(f"{lane.member.address} is gone")
        if failure is not None:
            raise failure

    def _lane(self, member: Member) -> Lane:
        process = member.identity.process
        if (lane := self._lanes.get(process)) is None:
            lane = self._lanes[process] = Lane(member, self._settings)
        return lane

    def _close_lanes(self, alive: frozenset[str]) -> None:
        """Give up what is on its way to processes that are dead."""
        for process in self._lanes.keys() - alive:
            self._lanes.pop(process).gone.set()


class _Shares:
    """A request that is not for the ingester of this process alone, or that others count."""

    __slots__ = ("_appender", "_counting", "_local", "_remote")

    def __init__(
        self,
        appender: ClusterAppender,
        local: Pending | None,
        remote: list[tuple[Member, Share]],
        counting: Counting | None = None,
    ) -> None:
        self._appender = appender
        self._counting = counting
        self._local = local
        self._remote = remote

    async def wait(self) -> None:
        """Return once all shares are durable; one that is not fails the whole request."""
        await self._wait()
        if self._counting is not None:
            self._appender.count(self._counting)

    async def _wait(self) -> None:
        appender, remote = self._appender, self._remote
        if self._local is None and len(remote) == 1:
            member, share = remote[0]
            await appender.deliver(member, share)
            return
        waits = [appender.deliver(member, share) for member, share in remote]
        if self._local is not None:
            waits.append(self._local.wait())
        await all_of(waits)


async def all_of(waits: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Wait for all, also if one fails; then raise what tells the sender best to retry."""
    ends = await asyncio.gather(*waits, return_exceptions=True)
    failures = [end for end in ends if isinstance(end, BaseException)]
    if failures:
        raise max(failures, key=_weight)


def _weight(failure: BaseException) -> tuple[int, float]:
    """Put mistakes of ours first, then what asks for a retry, then what a retry would not mend."""
    if not isinstance(failure, TracestoreError):
        return 3, 0.0
    if isinstance(failure, UnavailableError | LimitExceededError):
        return 2, failure.retry_after_s or 0.0
    return 1, 0.0


def _outcome(error: TracestoreError) -> str:
    if isinstance(error, UnreachableError):
        return "unreachable"
    return "refused" if isinstance(error, UnavailableError | LimitExceededError) else "failed"

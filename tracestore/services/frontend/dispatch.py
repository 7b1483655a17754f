"""Has a job done by a querier: the one whose caches know it, another if that is slow or gone.

Queriers are put in order by rendezvous hashing of the key of the job. What does not answer is
replaced by the next in order; who takes long gets a rival, and the first answer counts. Whatever is
not needed any more is cancelled, which reaches the thread that works on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from grpc import aio

from tracestore.clock import Clock
from tracestore.codec.job_wire import FrameKind, FrameReader
from tracestore.errors import (
    CorruptionError,
    LimitExceededError,
    TracestoreError,
    UnavailableError,
    UnreachableError,
)
from tracestore.services.members.member import Member
from tracestore.services.placement import rank_names
from tracestore.services.rpc import Peers, error_of_call, read_error
from tracestore.settings.frontend_tree import FrontendSettings
from tracestore.telemetry import Metrics

log = logging.getLogger(__name__)

SERVICE = "tracestore.cluster.v1.Jobs"
RUN = f"/{SERVICE}/Run"
NOBODY = "no querier answers: retry later"
SLACK_S = 5.0
"""How much longer a call may take than its job: the querier says itself that the time is over."""

RIVALS = 2
"""Queriers that work on one job at a time, at most."""

Show = Callable[[bytes], Awaitable[None]]
"""Takes a partial answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """A job as it is sent."""

    key: str
    """What decides which querier is first."""
    encode: Callable[[float | None], bytes]
    """Seconds that are left -> the request."""
    deadline_ns: int | None
    """On the monotonic clock."""


class Queriers(Protocol):
    """Who can be asked."""

    def living(self) -> Sequence[Member]:
        """Get the queriers that are alive and ready."""

    def suspect(self, member: Member, reason: str) -> None:
        """Take one out of those until it says hello again."""


class Calls(Protocol):
    """The way to a querier."""

    def run(
        self, address: str, request: bytes, timeout_s: float | None
    ) -> AsyncGenerator[tuple[FrameKind, bytes], None]:
        """Have a job done. Raises: UnreachableError if nobody answers; what the querier raises."""


class GrpcCalls:
    """Calls by gRPC."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def run(
        self, address: str, request: bytes, timeout_s: float | None
    ) -> AsyncGenerator[tuple[FrameKind, bytes], None]:
        """See ``Calls``."""
        call = self._peers.channel(address).unary_stream(RUN)(request, timeout=timeout_s)
        reader = FrameReader()
        try:
            async for frame in call:
                if (found := reader.take(frame)) is not None:
                    yield found
        except aio.AioRpcError as error:
            raise error_of_call(error, address) from None
        finally:
            call.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """How the attempt of one querier ended."""

    answer: bytes | None = None
    error: Exception | None = None
    is_final: bool = False
    """Whether another querier would say the same."""


@dataclass(slots=True)
class _Race:
    """The attempts for one job."""

    shipment: Shipment
    order: list[Member]
    """Who has not been asked yet, the next first."""
    show: Show | None
    outcomes: asyncio.Queue[_Outcome] = field(default_factory=asyncio.Queue)
    attempts: list[asyncio.Task[None]] = field(default_factory=list)
    running: int = 0
    shower: Member | None = None
    """Whose partial answers are shown: those of another may be behind them."""


class Dispatcher:
    """Has jobs done. Used from one event loop."""

    def __init__(
        self,
        settings: FrontendSettings,
        queriers: Queriers,
        calls: Calls,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._queriers = queriers
        self._calls = calls
        self._metrics = metrics
        self._clock = clock

    async def run(self, shipment: Shipment, show: Show | None = None) -> bytes:
        """Get the answer of a job.

        Args:
            show: takes partial answers, one after another, of one querier only.

        Raises: UnreachableError if live tables that the job needs are gone: a new snapshot helps;
            UnavailableError if no querier answers; what the job raises.
        """
        race = _Race(shipment=shipment, order=self._order(shipment.key), show=show)
        async with asyncio.TaskGroup() as tasks:
            try:
                outcome = await self._decide(race, tasks)
            finally:
                for attempt in race.attempts:
                    attempt.cancel()
        self._metrics.job_retries.observe(max(0, len(race.attempts) - 1))
        if outcome.answer is not None:
            return outcome.answer
        assert outcome.error is not None
        raise outcome.error

    def _order(self, key: str) -> list[Member]:
        members = sorted(self._queriers.living(), key=lambda member: member.key)
        names = [member.identity.instance for member in members]
        return [members[place] for place in rank_names(key, names)] if members else []

    async def _decide(self, race: _Race, tasks: asyncio.TaskGroup) -> _Outcome:
        """Ask queriers until one answers, or it is known that none will."""
        last = _Outcome(error=UnavailableError(NOBODY))
        while True:
            if race.running == 0:
                if not self._may_ask(race):
                    return last
                self._ask_next(race, tasks)
            outcome = await self._next(race)
            if outcome is None:
                self._metrics.hedged_jobs.inc()
                self._ask_next(race, tasks)
                continue
            race.running -= 1
            if outcome.answer is not None or outcome.is_final:
                return outcome
            last = outcome

    def _may_ask(self, race: _Race) -> bool:
        return bool(race.order) and len(race.attempts) < self._settings.attempts_max

    def _ask_next(self, race: _Race, tasks: asyncio.TaskGroup) -> None:
        race.running += 1
        race.attempts.append(tasks.create_task(self._attempt(race, race.order.pop(0))))

    async def _next(self, race: _Race) -> _Outcome | None:
        """Wait for the end of an attempt; None if it takes so long that another should begin."""
        wait_s = self._settings.hedge_after_s
        may_hedge = wait_s > 0 and race.running < RIVALS and self._may_ask(race)
        try:
            async with asyncio.timeout(wait_s if may_hedge else None):
                return await race.outcomes.get()
        except TimeoutError:
            return None

    async def _attempt(self, race: _Race, member: Member) -> None:
        """Ask one querier; the outcome goes to the race."""
        try:
            outcome = await self._ask(race, member)
        except TracestoreError as error:
            outcome = self._failed(member, error)
        except Exception as error:  # noqa: BLE001 - carried around the task group, raised by run
            outcome = _Outcome(error=error, is_final=True)
        race.outcomes.put_nowait(outcome)

    async def _ask(self, race: _Race, member: Member) -> _Outcome:
        left_s = self._left_s(race.shipment)
        request = race.shipment.encode(left_s)
        timeout_s = None if left_s is None else left_s + SLACK_S
        async with aclosing(self._calls.run(member.address, request, timeout_s)) as frames:
            async for kind, content in frames:
                if kind is FrameKind.ANSWER:
                    return _Outcome(answer=content)
                if kind is FrameKind.FAILURE:
                    return _judged(read_error(content))
                if race.show is not None and race.shower in (None, member):
                    race.shower = member
                    try:
                        await race.show(content)
                    except TracestoreError as error:
                        return _Outcome(error=error, is_final=True)
        raise UnreachableError(f"querier {member.identity.instance} sent no answer")

    def _failed(self, member: Member, error: TracestoreError) -> _Outcome:
        """Judge an attempt that never came to evaluate its job."""
        name = member.identity.instance
        log.info("a querier did not do a job", extra={"querier": name, "reason": str(error)})
        if isinstance(error, LimitExceededError):
            return _Outcome(error=error)  # its queue is full
        if isinstance(error, UnreachableError):
            self._queriers.suspect(member, str(error))
        # of a class of its own: live tables may well be there, and the question be right
        return _Outcome(error=UnavailableError(f"querier {name} did not do its job: {error}"))

    def _left_s(self, shipment: Shipment) -> float | None:
        if shipment.deadline_ns is None:
            return None
        return max(0.0, (shipment.deadline_ns - self._clock.monotonic_ns()) / 1e9)


def _judged(error: TracestoreError) -> _Outcome:
    """Judge how the evaluation of a job failed.

    What could not be read of disk or bucket may be read elsewhere; live tables that are gone are
    gone for all.
    """
    may_help = isinstance(error, UnavailableError | CorruptionError)
    return _Outcome(error=error, is_final=not may_help or isinstance(error, UnreachableError))

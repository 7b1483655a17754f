"""Jobs at queriers: the next one asked, a rival for a slow one, everything else cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from tracestore.clock import SystemClock
from tracestore.codec.job_wire import FrameKind
from tracestore.errors import (
    CorruptionError,
    DeadlineError,
    InvalidRequestError,
    LimitExceededError,
    TracestoreError,
    UnavailableError,
    UnreachableError,
)
from tracestore.services.frontend.dispatch import Dispatcher, Shipment
from tracestore.services.members.member import Identity, Member
from tracestore.services.placement import rank_names
from tracestore.services.rpc import write_error
from tracestore.settings.frontend_tree import FrontendSettings
from tracestore.telemetry import Metrics

KEY = "a job"
NAMES = ["one", "two", "three", "four"]


def in_order() -> list[str]:
    names = sorted(NAMES)
    return [names[place] for place in rank_names(KEY, names)]


@dataclass
class Cluster:
    """Queriers by name, each with what it does when it is asked; who is not named answers."""

    does: dict[str, Callable[[], Awaitable[list[tuple[FrameKind, bytes]]]]] = field(
        default_factory=dict
    )
    asked: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=lambda: list(NAMES))

    def living(self) -> Sequence[Member]:
        return [
            Member(
                identity=Identity(process=name, instance=name, address=name, roles=frozenset()),
                address=name,
            )
            for name in self.names
        ]

    def suspect(self, member: Member, reason: str) -> None:
        self.suspects.append(member.address)

    async def run(
        self, address: str, request: bytes, timeout_s: float | None
    ) -> AsyncGenerator[tuple[FrameKind, bytes], None]:
        self.asked.append(address)
        try:
            frames = await self.does.get(address, answer)()
        except asyncio.CancelledError:
            self.cancelled.append(address)
            raise
        for frame in frames:
            yield frame

    def ask(
        self, hedge_after_s: float = 0.0, show: Callable[[bytes], Awaitable[None]] | None = None
    ) -> bytes:
        """Have the job done."""
        made = FrontendSettings(hedge_after_s=hedge_after_s, attempts_max=3)
        dispatcher = Dispatcher(made, self, self, Metrics(version="test"), SystemClock())
        shipment = Shipment(key=KEY, encode=lambda _: b"job", deadline_ns=None)
        return asyncio.run(dispatcher.run(shipment, show))


async def answer() -> list[tuple[FrameKind, bytes]]:
    return [(FrameKind.ANSWER, b"the answer")]


async def hang() -> list[tuple[FrameKind, bytes]]:
    await asyncio.Event().wait()
    return []


def refuse(error: TracestoreError) -> Callable[[], Awaitable[list[tuple[FrameKind, bytes]]]]:
    async def refused() -> list[tuple[FrameKind, bytes]]:
        raise error

    return refused


def fail(error: TracestoreError) -> Callable[[], Awaitable[list[tuple[FrameKind, bytes]]]]:
    async def failed() -> list[tuple[FrameKind, bytes]]:
        return [(FrameKind.FAILURE, write_error(error))]

    return failed


def test_the_first_in_order_is_asked_alone() -> None:
    cluster = Cluster()

    assert cluster.ask(hedge_after_s=5) == b"the answer"
    assert cluster.asked == in_order()[:1]


@pytest.mark.parametrize(
    "does",
    [
        refuse(UnreachableError("gone")),
        refuse(UnavailableError("starting")),
        refuse(LimitExceededError("job queue full", limit="queue")),
        refuse(InvalidRequestError("of another version")),
        fail(UnavailableError("the bucket does not answer")),
        fail(CorruptionError("a bad disk", key="k")),
    ],
)
def test_what_another_may_do_is_asked_of_the_next_in_order(
    does: Callable[[], Awaitable[list[tuple[FrameKind, bytes]]]],
) -> None:
    first, second, *_ = in_order()
    cluster = Cluster(does={first: does})

    assert cluster.ask() == b"the answer"
    assert cluster.asked == [first, second]


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequestError("no query"),
        LimitExceededError("too many bytes", limit="max_bytes_read"),
        DeadlineError("out of time"),
        UnreachableError("live tables are gone"),
    ],
)
def test_what_any_querier_would_say_ends_the_job(error: TracestoreError) -> None:
    cluster = Cluster(does=dict.fromkeys(NAMES, fail(error)))

    with pytest.raises(type(error), match=str(error)):
        cluster.ask()

    assert len(cluster.asked) == 1


def test_attempts_are_bounded_and_a_silent_querier_is_no_silent_ingester() -> None:
    cluster = Cluster(does=dict.fromkeys(NAMES, refuse(UnreachableError("gone"))))

    with pytest.raises(UnavailableError) as raised:
        cluster.ask()

    assert not isinstance(raised.value, UnreachableError)  # no new snapshot would help
    assert cluster.asked == in_order()[:3]
    assert cluster.suspects == cluster.asked


def test_without_queriers_a_job_is_refused_as_retryable() -> None:
    with pytest.raises(UnavailableError, match="no querier"):
        Cluster(names=[]).ask()


def test_a_slow_querier_gets_one_rival_and_is_cancelled_when_that_answers() -> None:
    first, second, *_ = in_order()
    cluster = Cluster(does={first: hang})

    assert cluster.ask(hedge_after_s=0.01) == b"the answer"
    assert cluster.asked == [first, second]
    assert cluster.cancelled == [first]


def test_a_rival_that_fails_is_replaced_while_the_slow_one_goes_on() -> None:
    first, second, third, _ = in_order()
    cluster = Cluster(does={first: hang, second: refuse(UnreachableError("gone"))})

    assert cluster.ask(hedge_after_s=0.01) == b"the answer"
    assert cluster.asked == [first, second, third]
    assert cluster.cancelled == [first]


def test_a_cancelled_job_cancels_its_calls() -> None:
    cluster = Cluster(does=dict.fromkeys(NAMES, hang))

    async def run() -> None:
        made = FrontendSettings(hedge_after_s=0.01, attempts_max=3)
        dispatcher = Dispatcher(made, cluster, cluster, Metrics(version="test"), SystemClock())
        shipment = Shipment(key=KEY, encode=lambda _: b"job", deadline_ns=None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await dispatcher.run(shipment)

    asyncio.run(run())
    assert cluster.cancelled == cluster.asked == in_order()[:2]


def test_partial_answers_of_one_querier_alone_are_shown() -> None:
    first, second, *_ = in_order()
    shown: list[bytes] = []

    async def show(partial: bytes) -> None:
        shown.append(partial)

    async def says() -> list[tuple[FrameKind, bytes]]:
        return [(FrameKind.SHOWN, b"a"), (FrameKind.SHOWN, b"ab")]  # and is cut off

    async def again() -> list[tuple[FrameKind, bytes]]:
        return [(FrameKind.SHOWN, b"A"), (FrameKind.ANSWER, b"abc")]

    cluster = Cluster(does={first: says, second: again})

    assert cluster.ask(show=show) == b"abc"
    assert shown == [b"a", b"ab"]

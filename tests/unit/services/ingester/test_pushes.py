"""Shares of requests as an ingester takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.clocks import ManualClock
from support.otlp import request, span
from support.pushing import KeptRequests

from tracestore.errors import (
    InvalidRequestError,
    MalformedError,
    TracestoreError,
    UnavailableError,
    UnreachableError,
)
from tracestore.services.blocking import BlockingPool
from tracestore.services.ingester.pushes import INLINE_BYTES_MAX, Pushes
from tracestore.services.rpc import TENANT_KEY
from tracestore.telemetry import Metrics

BODY = request(resource={}, spans=[span(trace=1, id=1)])
LARGE = request(resource={"k": "x" * INLINE_BYTES_MAX}, spans=[span(trace=1, id=1)])
TENANT = {TENANT_KEY: "shop"}


class Setup:
    def __init__(self, *, bytes_max: int = 1 << 20, has_others: bool = True) -> None:
        self.ingester = KeptRequests()
        self.clock = ManualClock()
        self.pool = BlockingPool("p", threads=1, waiting_max=4, refusal="full")
        self.pushes = Pushes(
            self.ingester,
            self.pool,
            Metrics(version="0"),
            self.clock,
            bytes_max=bytes_max,
            leave_s=2.0,
            has_others=lambda: has_others,
        )


@pytest.fixture
def make() -> Callable[..., Setup]:
    return Setup


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("known", [True, False])
def test_a_request_is_stored_as_it_is(make: Callable[..., Setup], body: bytes, known: bool) -> None:
    setup = make()
    setup.ingester.known = known

    assert asyncio.run(setup.pushes.push(body, TENANT)) == b""

    assert setup.ingester.taken == [("shop", body)]


def test_nothing_is_stored_of_nothing(make: Callable[..., Setup]) -> None:
    setup = make()

    asyncio.run(setup.pushes.push(b"", TENANT))

    assert setup.ingester.taken == []


@pytest.mark.parametrize(
    ("body", "metadata", "error"),
    [
        (BODY[:-1], TENANT, MalformedError),
        (BODY, {}, InvalidRequestError),
        (BODY, {TENANT_KEY: "../x"}, InvalidRequestError),
        (request(resource={}, spans=[span(trace=0, id=1)]), TENANT, InvalidRequestError),
    ],
)
def test_what_no_distributor_sends_is_refused(
    make: Callable[..., Setup],
    body: bytes,
    metadata: dict[str, str],
    error: type[TracestoreError],
) -> None:
    setup = make()

    with pytest.raises(error):
        asyncio.run(setup.pushes.push(body, metadata))

    assert setup.ingester.taken == []


def test_before_the_replay_others_should_be_asked(make: Callable[..., Setup]) -> None:
    setup = make()
    setup.ingester.is_ready = False

    with pytest.raises(UnreachableError, match="the ingester is starting"):
        asyncio.run(setup.pushes.push(BODY, TENANT))


def test_bytes_that_wait_are_bounded(make: Callable[..., Setup]) -> None:
    setup = make(bytes_max=len(BODY) + 1)
    setup.ingester.is_stuck = True

    async def scenario() -> None:
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(setup.pushes.push(BODY, TENANT))
            await asyncio.sleep(0)
            with pytest.raises(UnavailableError, match="bytes of requests wait for the log"):
                await setup.pushes.push(BODY, TENANT)
            first.cancel()
        setup.ingester.is_stuck = False
        await setup.pushes.push(BODY, TENANT)

    asyncio.run(scenario())


@pytest.mark.parametrize("has_others", [True, False])
def test_at_the_end_others_are_let_go_before_they_are_refused(
    make: Callable[..., Setup], has_others: bool
) -> None:
    setup = make(has_others=has_others)
    began_ns = setup.clock.monotonic_ns()

    asyncio.run(setup.pushes.drain())

    waited_s = (setup.clock.monotonic_ns() - began_ns) / 1e9
    assert waited_s == (2.0 if has_others else 0.0)
    with pytest.raises(UnreachableError, match="the ingester is shutting down"):
        asyncio.run(setup.pushes.push(BODY, TENANT))

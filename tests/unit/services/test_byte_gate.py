"""Bytes let in some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tracestore.errors import UnavailableError
from tracestore.services.byte_gate import ByteGate


def gate(*, waiting_max: int = 10, wait_s: float = 30.0) -> ByteGate:
    return ByteGate("requests", bytes_max=10, waiting_max=waiting_max, wait_s=wait_s)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Holders:
    """Tasks that hold some bytes until they are let go."""

    def __init__(self, gate: ByteGate, tasks: asyncio.TaskGroup) -> None:
        self.gate = gate
        self.tasks = tasks
        self.inside: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    def enter(self, name: str, size: int) -> asyncio.Task[None]:
        self.ends[name] = asyncio.Event()
        return self.tasks.create_task(self._hold(name, size))

    async def _hold(self, name: str, size: int) -> None:
        async with self.gate.hold(size):
            self.inside.append(name)
            await self.ends[name].wait()
            self.inside.remove(name)


def play(scenario: Callable[[Holders], Awaitable[None]], made: ByteGate) -> None:
    async def run() -> None:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            await scenario(Holders(made, tasks))

    asyncio.run(run())


def test_what_does_not_fit_waits_its_turn() -> None:
    async def scenario(holders: Holders) -> None:
        holders.enter("a", 6)
        holders.enter("b", 6)
        holders.enter("c", 1)  # would fit, but b came first
        await settle()
        assert (holders.inside, holders.gate.held, holders.gate.waiting) == (["a"], 6, 2)
        holders.ends["a"].set()
        await settle()
        assert (holders.inside, holders.gate.held) == (["b", "c"], 7)
        holders.ends["b"].set()
        holders.ends["c"].set()
        await settle()
        assert holders.gate.held == 0

    play(scenario, gate())


def test_one_alone_may_be_larger_than_the_bound() -> None:
    async def scenario(holders: Holders) -> None:
        holders.enter("a", 100)
        holders.enter("b", 1)
        await settle()
        assert holders.inside == ["a"]
        holders.ends["a"].set()
        holders.ends["b"].set()

    play(scenario, gate())


def test_too_many_are_refused() -> None:
    async def scenario(holders: Holders) -> None:
        holders.enter("a", 10)
        holders.enter("b", 10)
        await settle()
        with pytest.raises(UnavailableError, match="10 bytes of requests are in flight, the limit"):
            async with holders.gate.hold(1):
                pass
        holders.ends["a"].set()
        holders.ends["b"].set()

    play(scenario, gate(waiting_max=1))


def test_who_waits_too_long_is_refused_and_lets_smaller_ones_by() -> None:
    async def scenario(holders: Holders) -> None:
        holders.enter("a", 6)
        await settle()
        with pytest.raises(UnavailableError, match=r"waited for 0\.01 s"):
            async with holders.gate.hold(10):
                pass
        assert (holders.gate.waiting, holders.gate.held) == (0, 6)
        holders.enter("b", 4)
        await settle()
        assert holders.inside == ["a", "b"]
        holders.ends["a"].set()
        holders.ends["b"].set()

    play(scenario, gate(wait_s=0.01))


def test_who_gives_up_leaves_no_bytes_behind() -> None:
    async def scenario(holders: Holders) -> None:
        holders.enter("a", 10)
        waiting = holders.enter("b", 10)
        late = holders.enter("c", 5)
        await settle()
        waiting.cancel()
        await settle()
        holders.ends["a"].set()
        await asyncio.sleep(0)
        late.cancel()  # at the moment at which it may be let in
        await settle()
        assert (holders.gate.held, holders.gate.waiting) == (0, 0)

    play(scenario, gate())

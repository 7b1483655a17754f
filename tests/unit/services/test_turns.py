import asyncio
from collections.abc import Callable, Coroutine

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracestore.errors import LimitExceededError
from tracestore.services.turns import Turns


class Run:
    """Queries that hold their turn until they are told to end."""

    def __init__(self, slots: int = 1, waiting_max: int = 10) -> None:
        self.turns = Turns(slots, waiting_max=waiting_max, refusal="job queue full")
        self.begun: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.ends: dict[str, asyncio.Event] = {}

    async def ask(self, name: str) -> None:
        """Begin a query; the first letter is its tenant."""
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._query(name))  # noqa: TID251 - the test awaits it
        await asyncio.sleep(0)

    async def _query(self, name: str) -> None:
        async with self.turns.turn(name[0]):
            self.begun.append(name)
            await self.ends[name].wait()

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)

    async def end_all(self) -> list[str]:
        """End whatever is running, one after another. Returns the order of all that began."""
        ended: set[str] = set()
        while running := [name for name in self.begun if name not in ended]:
            ended.add(running[0])
            await self.end(running[0])
        return self.begun


def run(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(scenario())


def test_tenants_take_turns_and_each_keeps_its_order() -> None:
    async def scenario() -> None:
        queries = Run()
        for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1"):
            await queries.ask(name)

        assert queries.turns.waiting("a") == 3
        assert await queries.end_all() == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]

    run(scenario)


def test_one_tenant_that_fills_its_queue_leaves_room_for_others() -> None:
    async def scenario() -> None:
        queries = Run(waiting_max=2)
        for name in ("a1", "a2", "a3", "a4", "b1"):
            await queries.ask(name)

        with pytest.raises(LimitExceededError, match=r"^job queue full$"):
            await queries.tasks["a4"]
        assert await queries.end_all() == ["a1", "a2", "b1", "a3"]

    run(scenario)


def test_all_queues_together_are_bounded() -> None:
    async def scenario() -> None:
        queries = Run(waiting_max=1)
        for tenant in "abcdefghijk":
            await queries.ask(f"{tenant}1")
        await queries.ask("l1")

        with pytest.raises(LimitExceededError):
            await queries.tasks["l1"]
        assert len(await queries.end_all()) == 11

    run(scenario)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=25))
def test_no_turn_is_lost_whatever_is_cancelled(steps: list[tuple[str, int]]) -> None:
    async def scenario() -> None:
        queries = Run(slots=2)
        for number, (tenant, action) in enumerate(steps):
            await queries.ask(f"{tenant}{number}")
            if action == 1:
                name = sorted(queries.tasks)[number // 2]
                queries.tasks[name].cancel()
            elif action == 2 and queries.begun:
                queries.ends[queries.begun[-1]].set()
            await asyncio.sleep(0)
        for end in queries.ends.values():
            end.set()
        await asyncio.gather(*queries.tasks.values(), return_exceptions=True)

        for name in ("x1", "x2"):
            await queries.ask(name)
        assert queries.begun[-2:] == ["x1", "x2"]
        assert [queries.turns.waiting(tenant) for tenant in "abc"] == [0, 0, 0]
        await queries.ask("x3")
        assert queries.begun[-1] == "x2"
        for name in ("x1", "x2", "x3"):
            queries.ends[name].set()
        await asyncio.gather(*(queries.tasks[name] for name in ("x1", "x2", "x3")))

    run(scenario)

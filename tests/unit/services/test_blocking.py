import asyncio
import contextlib
import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from tracestore.errors import LimitExceededError
from tracestore.services.blocking import BlockingPool, Completions


def test_what_a_function_returns_or_raises_comes_back() -> None:
    async def check() -> None:
        pool = BlockingPool("p", threads=1, waiting_max=1, refusal="full")
        assert await pool.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await pool.run(divmod, 7, 0)
        pool.close()

    asyncio.run(check())


def test_beyond_the_queue_work_is_refused_and_taken_again_later() -> None:
    async def check() -> None:
        pool = BlockingPool("p", threads=1, waiting_max=1, refusal="job queue full")
        gate = threading.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pool.run(gate.wait))
            tasks.create_task(pool.run(gate.wait))
            await asyncio.sleep(0)
            with pytest.raises(LimitExceededError, match=r"^job queue full$"):
                await pool.run(int)
            gate.set()
        await asyncio.sleep(0)
        assert pool.outstanding == 0
        assert await pool.run(int) == 0
        pool.close()

    asyncio.run(check())


def test_a_waiting_function_whose_caller_is_gone_never_runs() -> None:
    async def check() -> None:
        pool = BlockingPool("p", threads=1, waiting_max=2, refusal="full")
        gate = threading.Event()
        ran = []
        running = asyncio.ensure_future(pool.run(gate.wait))
        waiting = asyncio.ensure_future(pool.run(ran.append, 1))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        gate.set()
        await running
        pool.close()
        assert not ran

    asyncio.run(check())


def test_an_error_leaves_nothing_behind_for_the_collector() -> None:
    """Requests are large; those that are refused must be gone at once."""
    kept: list[weakref.ref[BlockingPool]] = []

    def fail() -> None:
        large = BlockingPool("large", threads=1, waiting_max=1, refusal="")
        kept.append(weakref.ref(large))
        raise ValueError(str(large.outstanding))

    async def check() -> None:
        pool = BlockingPool("p", threads=1, waiting_max=1, refusal="full")
        with contextlib.suppress(ValueError):
            await pool.run(fail)
        await pool.run(int)
        pool.close()

    gc.disable()
    try:
        asyncio.run(check())
        assert [ref() for ref in kept] == [None]
    finally:
        gc.enable()


def test_futures_that_complete_together_wake_the_loop_once() -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        wakes: list[object] = []
        wake = loop.call_soon_threadsafe

        def counted_wake(tell: Callable[[], None]) -> asyncio.Handle:
            wakes.append(tell)
            return wake(tell)

        loop.call_soon_threadsafe = counted_wake  # type: ignore[method-assign, assignment]
        completions = Completions()
        works: list[Future[int]] = [Future() for _ in range(5)]
        waiting = [asyncio.ensure_future(completions.wait(work)) for work in works]
        await asyncio.sleep(0)
        for number, work in enumerate(works[:4]):
            work.set_result(number)
        works[4].set_exception(ValueError("five"))

        assert await asyncio.gather(*waiting[:4]) == [0, 1, 2, 3]
        with pytest.raises(ValueError, match="five"):
            await waiting[4]
        assert len(wakes) == 1

    asyncio.run(check())


def test_a_caller_that_goes_cancels_the_future_and_its_end_is_told() -> None:
    async def check() -> None:
        completions = Completions()
        work: Future[int] = Future()
        ended: list[bool] = []
        waiting = asyncio.ensure_future(completions.wait(work, lambda: ended.append(True)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await asyncio.sleep(0)

        assert waiting.cancelled()
        assert work.cancelled()
        assert ended == [True]

    asyncio.run(check())

"""The feed of partial answers: when one is due, and who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support.clocks import ManualClock

from tracestore.api.feed import Feed, stream
from tracestore.settings.tree import StreamingSettings

SETTINGS = StreamingSettings(interval_s=0.5, busy_max=0.1, waiting_max=2)


def run(check: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(check())  # type: ignore[arg-type]  # a coroutine is what it is


def make(clock: ManualClock, cost_s: float = 0.0) -> Feed[bytes]:
    def render(partial: bytes) -> list[bytes]:
        clock.advance(cost_s)
        return [partial]

    return Feed(render, SETTINGS, clock)


def test_an_answer_is_due_once_more_than_the_interval_has_passed() -> None:
    async def check() -> None:
        clock = ManualClock()
        feed = make(clock)
        assert not feed.is_due()
        clock.advance(0.5)
        assert not feed.is_due()
        clock.advance(0.001)
        assert feed.is_due()
        feed.show(b"1")
        assert not feed.is_due()

    run(check)


def test_an_answer_that_takes_long_to_make_is_made_less_often() -> None:
    async def check() -> None:
        clock = ManualClock()
        feed = make(clock, cost_s=1.0)
        clock.advance(0.6)
        assert feed.is_due()
        feed.show(b"1")
        clock.advance(8.9)
        assert not feed.is_due()
        clock.advance(0.2)
        assert feed.is_due()

    run(check)


def test_no_answer_is_due_while_a_slow_client_has_not_taken_those_there_are() -> None:
    sent: list[bytes] = []
    may_send = asyncio.Semaphore(0)

    async def send(packet: bytes) -> None:
        await may_send.acquire()
        sent.append(packet)

    async def check() -> None:
        clock = ManualClock()
        feed = make(clock)
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(feed.send_all(send))
            for number in (b"1", b"2"):
                clock.advance(0.6)
                assert feed.is_due()
                feed.show(number)
            clock.advance(100)
            assert not feed.is_due()
            may_send.release()
            async with asyncio.timeout(30):
                while not feed.is_due():
                    await asyncio.sleep(0)
            assert sent == [b"1"]
            may_send.release()
            feed.end()
            await sending

    run(check)
    assert sent == [b"1", b"2"]


def test_the_last_messages_follow_all_others_and_a_failure_is_raised_as_it_is() -> None:
    sent: list[bytes] = []

    async def send(packet: bytes) -> None:
        sent.append(packet)

    async def check() -> None:
        clock = ManualClock()
        feed = make(clock)

        async def work(cancelled: object) -> list[bytes]:
            await asyncio.to_thread(feed.show, b"1")
            return [b"2", b"3"]

        await stream(work, feed, send)
        assert sent == [b"1", b"2", b"3"]

        async def fail(cancelled: object) -> list[bytes]:
            raise KeyError("broken")

        with pytest.raises(KeyError, match="broken"):
            await stream(fail, make(clock), send)

    run(check)


def test_a_client_that_takes_no_more_cancels_the_work() -> None:
    async def send(packet: bytes) -> None:
        raise ConnectionError("gone")

    async def check() -> None:
        feed = make(ManualClock())
        seen = []

        async def work(cancelled: object) -> list[bytes]:
            seen.append(cancelled)
            await asyncio.to_thread(feed.show, b"1")
            await asyncio.Event().wait()
            return []

        with pytest.raises(ConnectionError, match="gone"):
            await stream(work, feed, send)
        assert seen[0].is_set()

    run(check)

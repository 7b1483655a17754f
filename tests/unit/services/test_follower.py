"""The follower of a process: commits of others by polling, own ones at once, read your writes."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import pytest
from support.blocks import block_meta
from support.counting import CountingStore
from support.server import wait_until

from tracestore.clock import SystemClock
from tracestore.errors import UnavailableError
from tracestore.model.ids import TenantId
from tracestore.services.blocking import BlockingPool
from tracestore.services.follower import IndexFollower
from tracestore.services.tenant_labels import TenantLabels
from tracestore.storage.index.commits import CommitLog
from tracestore.storage.objects.layout import commit_key
from tracestore.telemetry import Metrics

SHOP = TenantId("shop")


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


def open_log(store: CountingStore, seed: int) -> CommitLog:
    return CommitLog(store, SystemClock(), random.Random(seed), writer="test")


def follow(store: CountingStore, interval_s: float = 0.01) -> IndexFollower:
    return IndexFollower(
        open_log(store, 1),
        BlockingPool("index", threads=1, waiting_max=4, refusal="full"),
        Metrics(version="test"),
        SystemClock(),
        interval_s=interval_s,
        labels=TenantLabels(10),
    )


def test_commits_of_others_are_seen_by_one_request_a_poll(store: CountingStore) -> None:
    async def scenario() -> None:
        follower = follow(store)
        await follower.start()
        other = open_log(store, 2)
        other.commit(other.new_change(add=[block_meta("a")]))
        store.take_asked()
        for _ in range(5):
            await follower.poll_once()
        assert follower.current().sequence == 1
        expected = [commit_key(n) for n in (1, 2, 2, 2, 2, 2)]
        assert store.take_asked() == [("get", key) for key in expected]

    asyncio.run(scenario())


def test_own_commits_are_in_the_list_without_a_further_request(store: CountingStore) -> None:
    async def scenario() -> None:
        follower = follow(store)
        await follower.start()
        store.take_asked()
        follower.add_block(block_meta("a"))
        assert [meta.id for meta in follower.current().blocks(SHOP)] == ["a"]
        assert store.take_asked() == [("put_if_absent", commit_key(1))]

    asyncio.run(scenario())


def test_at_least_asks_only_if_it_has_to_and_waits_within_its_time(store: CountingStore) -> None:
    async def scenario() -> None:
        follower = follow(store)
        await follower.start()
        other = open_log(store, 2)
        other.commit(other.new_change(add=[block_meta("a")]))
        assert follower.at_least(1).sequence == 1
        store.take_asked()
        assert follower.at_least(1).sequence == 1
        assert store.take_asked() == []
        with pytest.raises(UnavailableError, match="commit 2 is not there"):
            follower.at_least(2)
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            follower.at_least(2, timeout_s=0.1)
        assert time.monotonic() - began >= 0.1

        seen: list[int] = []
        waiting = threading.Thread(
            target=lambda: seen.append(follower.at_least(2, timeout_s=30).sequence)
        )
        waiting.start()
        store.take_asked()
        wait_until(lambda: len(store.asked) > 1, 10)
        other.commit(other.new_change(add=[block_meta("b")]))
        waiting.join(30)
        assert seen == [2]

    asyncio.run(scenario())


def test_a_store_that_is_away_leaves_the_last_list_and_its_age_grows(store: CountingStore) -> None:
    async def scenario() -> None:
        follower = follow(store)
        follower.add_block(block_meta("a"))
        await follower.start()

        def no_answer(key: str) -> bytes:
            raise UnavailableError("no answer")

        store.get = no_answer  # type: ignore[method-assign]  # the store goes away
        await follower.poll_once()
        assert follower.current().sequence == 1
        with pytest.raises(UnavailableError):
            follower.fresh(age_s=0)

    asyncio.run(scenario())

"""Leases: one holder at a time, others by waiting a whole term, tokens that grow."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.clocks import ManualClock
from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures

from tracestore.clock import SystemClock
from tracestore.errors import CorruptionError, UnavailableError
from tracestore.storage.leases import LeaseStore
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import lease_key
from tracestore.storage.objects.local import LocalObjectStore
from tracestore.storage.objects.memory import MemoryObjectStore

TTL_S = 10.0


@pytest.fixture(params=["memory", "local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "s3":
        place: S3Place = request.getfixturevalue("s3")
        return place.store()
    return MemoryObjectStore() if request.param == "memory" else LocalObjectStore(tmp_path)


def process(store: ObjectStore, clock: ManualClock, seed: int) -> LeaseStore:
    return LeaseStore(store, clock, random.Random(seed), holder=f"process-{seed}")


def test_one_has_it_until_it_lets_go(store: ObjectStore) -> None:
    clock = ManualClock()
    one, two = process(store, clock, 1), process(store, clock, 2)
    first = one.acquire("work", TTL_S)
    assert first is not None
    assert first.token == 1
    assert two.acquire("work", TTL_S) is None
    assert one.acquire("work", TTL_S) is None
    first.release()
    assert not first.is_held
    assert not first.renew()
    second = two.acquire("work", TTL_S)
    assert second is not None
    assert second.token == 2


def test_who_does_not_renew_loses_it_after_a_whole_term(store: ObjectStore) -> None:
    clock, other_clock = ManualClock(), ManualClock(now_ns=5)  # clocks that have nothing in common
    one, two = process(store, clock, 1), process(store, other_clock, 2)
    lease = one.acquire("work", TTL_S)
    assert lease is not None
    assert two.acquire("work", TTL_S) is None
    for _ in range(5):
        other_clock.advance(TTL_S - 1)
        clock.advance(TTL_S - 1)
        assert lease.is_held
        assert lease.renew()
        assert two.acquire("work", TTL_S) is None
    other_clock.advance(TTL_S - 1)
    assert two.acquire("work", TTL_S) is None
    clock.advance(TTL_S + 1)
    other_clock.advance(2)
    assert not lease.is_held
    taken = two.acquire("work", TTL_S)
    assert taken is not None
    assert taken.token == 2
    assert not lease.renew()
    lease.release()  # does no harm
    assert taken.renew()


def test_a_longer_term_of_the_holder_counts(store: ObjectStore) -> None:
    clock = ManualClock()
    one, two = process(store, clock, 1), process(store, clock, 2)
    assert one.acquire("work", 100.0) is not None
    assert two.acquire("work", 1.0) is None
    clock.advance(50)
    assert two.acquire("work", 1.0) is None
    clock.advance(51)
    assert two.acquire("work", 1.0) is not None


def test_of_many_at_once_one_gets_it(store: ObjectStore) -> None:
    def contend(seed: int) -> int:
        leases = LeaseStore(store, SystemClock(), random.Random(seed), holder=str(seed))
        return sum(leases.acquire(f"work-{n}", 60.0) is not None for n in range(10))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(contend, range(8))) == 10


class LostAnswers(MemoryObjectStore):
    """Writes, and then says that it did not."""

    lose = False

    def put_if_match(self, key: str, content: bytes | memoryview, etag: str) -> str:
        written = super().put_if_match(key, content, etag)
        if self.lose:
            raise UnavailableError("no answer")
        return written


def test_a_renewal_without_an_answer_is_repeated() -> None:
    clock, store = ManualClock(), LostAnswers()
    lease = process(store, clock, 1).acquire("work", TTL_S)
    assert lease is not None
    store.lose = True
    with pytest.raises(UnavailableError):
        lease.renew()
    assert lease.is_held
    store.lose = False
    assert lease.renew()
    assert lease.is_held
    store.lose = True
    with pytest.raises(UnavailableError):
        lease.renew()
    store.lose = False
    clock.advance(2 * TTL_S)
    two = process(store, clock, 2)
    assert two.acquire("work", TTL_S) is None
    clock.advance(2 * TTL_S)
    taken = two.acquire("work", TTL_S)
    assert taken is not None
    assert not lease.renew()
    assert taken.renew()


def test_damage_is_named(store: ObjectStore) -> None:
    store.put(lease_key("work"), b"{}")
    with pytest.raises(CorruptionError, match=r"leases/work\.json"):
        process(store, ManualClock(), 1).acquire("work", TTL_S)

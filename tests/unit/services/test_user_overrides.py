import asyncio

import pytest
from support.clocks import ManualClock

from tracestore.errors import ConflictError, NotFoundError
from tracestore.model.ids import TenantId
from tracestore.services.blocking import BlockingPool
from tracestore.services.user_overrides import UserOverridesFollower, UserOverridesStore
from tracestore.storage.objects.memory import MemoryObjectStore
from tracestore.telemetry import Metrics

A, B = TenantId("a"), TenantId("b")
ONE, TWO = {"forwarders": ["1"]}, {"forwarders": ["2"]}


@pytest.fixture
def objects() -> MemoryObjectStore:
    return MemoryObjectStore()


@pytest.fixture
def store(objects: MemoryObjectStore) -> UserOverridesStore:
    return UserOverridesStore(objects)


def test_each_change_needs_the_version_that_it_is_for(store: UserOverridesStore) -> None:
    first = store.put(A, ONE, "0")
    with pytest.raises(ConflictError, match="version does not match"):
        store.put(A, TWO, "0")
    with pytest.raises(ConflictError):
        store.put(A, TWO, "other")
    second = store.put(A, TWO, first)
    with pytest.raises(ConflictError):
        store.delete(A, first)

    assert store.get(A).limits == TWO
    assert store.get(A).version == second != first
    with pytest.raises(NotFoundError):
        store.get(B)


def test_what_is_deleted_is_gone_and_may_come_back(store: UserOverridesStore) -> None:
    first = store.put(A, ONE, "0")
    store.delete(A, first)

    with pytest.raises(NotFoundError):
        store.get(A)
    with pytest.raises(NotFoundError):
        store.delete(A, first)
    with pytest.raises(ConflictError):
        store.put(A, TWO, first)
    assert store.all() == {}
    store.put(A, TWO, "0")
    assert store.all() == {A: TWO}


def test_a_patch_needs_no_version_and_begins_with_nothing(store: UserOverridesStore) -> None:
    created = store.patch(A, {"forwarders": ["1"], "cost_attribution": {"max_cardinality": 5}})
    changed = store.patch(A, {"forwarders": None})

    assert created.limits == {"forwarders": ["1"], "cost_attribution": {"max_cardinality": 5}}
    assert changed.limits == {"cost_attribution": {"max_cardinality": 5}}
    assert store.get(A) == changed


def test_others_changes_are_seen_and_a_bad_object_keeps_what_was(
    objects: MemoryObjectStore, store: UserOverridesStore
) -> None:
    metrics = Metrics(version="0")
    pool = BlockingPool("p", threads=1, waiting_max=1, refusal="full")
    follower = UserOverridesFollower(store, pool, metrics, ManualClock(), interval_s=1)
    store.put(A, ONE, "0")

    asyncio.run(follower.start())
    assert follower.current() == {A: ONE}
    store.put(B, TWO, "0")
    asyncio.run(follower.poll_once())
    assert follower.current() == {A: ONE, B: TWO}
    objects.put("overrides/a/overrides.json", b"no json")
    asyncio.run(follower.poll_once())

    assert follower.current() == {A: ONE, B: TWO}
    failed = "tempo_overrides_user_configurable_overrides_reload_failed_total"
    assert metrics.value(failed) == 1

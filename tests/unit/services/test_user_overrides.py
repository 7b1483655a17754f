import asyncio
import json

import pytest
from support.clocks import ManualClock

from tracestore.errors import ConflictError, NotFoundError
from tracestore.model.ids import TenantId
from tracestore.services.blocking import BlockingPool
from tracestore.services.user_overrides import UserOverridesFollower, UserOverridesStore
from tracestore.storage.objects.memory import MemoryObjectStore
from tracestore.telemetry import Metrics

A, B = TenantId("a"), TenantId("b")
SPANS = {"metrics_generator": {"processors": ["span-metrics"]}}
KEY = "metrics_generator.processors"
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
    assert store.all() == {A: json.dumps(TWO, separators=(",", ":")).encode()}


def test_a_patch_needs_no_version_and_begins_with_nothing(store: UserOverridesStore) -> None:
    created = store.patch(A, {"forwarders": ["1"], "cost_attribution": {"max_cardinality": 5}})
    changed = store.patch(A, {"forwarders": None})

    assert created.limits == {"forwarders": ["1"], "cost_attribution": {"max_cardinality": 5}}
    assert changed.limits == {"cost_attribution": {"max_cardinality": 5}}
    assert store.get(A) == changed


def test_others_changes_are_seen_and_a_bad_object_keeps_what_its_tenant_had(
    objects: MemoryObjectStore, store: UserOverridesStore
) -> None:
    def seen() -> dict[str, object]:
        return {tenant: block.values.get(KEY) for tenant, block in follower.current().items()}

    metrics = Metrics(version="0")
    pool = BlockingPool("p", threads=1, waiting_max=1, refusal="full")
    follower = UserOverridesFollower(store, pool, metrics, ManualClock(), interval_s=1)
    store.put(A, SPANS, "0")

    asyncio.run(follower.start())
    first = follower.current()
    assert seen() == {A: ("span-metrics",)}
    asyncio.run(follower.poll_once())
    assert follower.current() is first
    store.put(B, SPANS, "0")
    asyncio.run(follower.poll_once())
    assert seen() == {A: ("span-metrics",), B: ("span-metrics",)}
    objects.put("overrides/a/overrides.json", b"no json")
    store.patch(B, {"metrics_generator": {"processors": []}})
    asyncio.run(follower.poll_once())

    assert seen() == {A: ("span-metrics",), B: ()}
    failed = "tempo_overrides_user_configurable_overrides_reload_failed_total"
    assert metrics.value(failed) == 1
    asyncio.run(follower.poll_once())
    assert metrics.value(failed) == 1

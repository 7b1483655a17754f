"""Heads of tenants with a policy: what becomes a block, what late spans do, what a crash does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from support.clocks import ManualClock
from support.generator import Counted
from support.otlp import request, span, trace_id
from support.sampling import Bucket, Node, is_kept_by

from tracestore.errors import NotFoundError, UnavailableError
from tracestore.model.ids import SINGLE_TENANT
from tracestore.model.results import QueryStats
from tracestore.services.compactor.garbage import Garbage
from tracestore.services.follower import IndexFollower
from tracestore.services.generator.service import HeadTap
from tracestore.settings.limits import TenantLimits
from tracestore.settings.sampling_tree import SamplingSettings
from tracestore.storage.objects.layout import block_key

ERRORS = "keep: { status = error }"
SLOW = "keep: { trace:duration > 2s }"
HEALTH = '{ span.http.target = "/health" }'
Make = Callable[..., Node]


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def make(bucket: Bucket, tmp_path: Path) -> Make:
    return lambda *sampling, **more: Node(bucket, tmp_path, *sampling, **more)


def one(
    trace: int,
    id: int = 1,
    *,
    status: str | None = None,
    target: str = "",
    ms: float = 1,
    at: float = 0,
) -> bytes:
    attributes = {"http.target": target} if target else {}
    made = span(
        trace=trace, id=id, status=status, duration_ms=ms, start_ms=at, attributes=attributes
    )
    return request(resource={"service.name": "shop"}, spans=[made])


def searchable(node: Node, trace: int) -> bool:
    views = node.tenant.sources()
    return any(view.find_trace(trace_id(trace), QueryStats()) is not None for view in views)


def test_traces_are_kept_by_what_they_are_and_the_rest_goes(make: Make, bucket: Bucket) -> None:
    node = make(ERRORS, SLOW)
    for request_ in (one(1), one(2, status="error"), one(3, ms=3000), one(4, ms=2000)):
        node.tenant.append(request_)
    assert all(searchable(node, trace) for trace in (1, 2, 3, 4))

    node.flush()

    assert bucket.traces() == {2: 1.0, 3: 1.0}
    assert not searchable(node, 1)
    assert node.counted("traces", "kept") == 2
    assert node.counted("spans", "dropped") == 2


def test_a_trace_is_judged_with_its_spans_in_all_live_tables(make: Make, bucket: Bucket) -> None:
    node = make(ERRORS, SLOW)
    node.tenant.append(one(1, 1))
    node.tenant.append(one(2, 1))
    node.tenant.cut()
    node.tenant.append(one(1, 2, at=2500))  # together they take longer than two seconds
    (head,) = node.tenant.cut_heads

    node.tenant.flush(head)
    assert bucket.traces() == {1: 1.0}
    node.flush()
    assert bucket.traces() == {1: 1.0}
    assert sum(meta.spans for meta in bucket.blocks) == 2
    assert node.counted("late_spans", "kept") == 1


@pytest.mark.parametrize(
    ("sampling", "drop", "kept"),
    [
        ((), (HEALTH,), {1, 4}),
        ((ERRORS,), (HEALTH,), {4}),
        ((ERRORS, f"drop: {HEALTH}", "keep_ratio: 1"), (), {1, 3, 4}),
        ((f"drop: {HEALTH}", ERRORS, "keep_ratio: 1"), (), {1, 4}),
        (("keep_ratio: 1", f"drop: {HEALTH}"), (), {1, 4}),
        (("keep_ratio: 0",), (), set()),
        ((f"drop: {HEALTH}",), (), {1, 4}),
        ((), (), {1, 2, 3, 4}),
    ],
)
def test_the_first_rule_decides_and_the_ratio_is_for_the_rest(
    make: Make, bucket: Bucket, sampling: tuple[str, ...], drop: tuple[str, ...], kept: set[int]
) -> None:
    node = make(*sampling, drop=drop)
    node.tenant.append(one(1))
    node.tenant.append(one(2, target="/health"))
    node.tenant.append(one(3, target="/health", status="error"))
    node.tenant.append(one(4, status="error"))

    node.flush()

    assert bucket.traces() == dict.fromkeys(kept, 1.0)


def test_a_share_is_kept_by_hash_with_its_weight_and_all_nodes_agree(
    make: Make, tmp_path: Path
) -> None:
    expected = {
        trace: 4.0 for trace in range(1, 200) if is_kept_by(0.25, trace.to_bytes(16, "big"))
    }
    assert 20 < len(expected) < 80
    for seed in (1, 2):
        bucket = Bucket()
        node = Node(bucket, tmp_path, ERRORS, "keep_ratio: 0.25", seed=seed)
        order = range(1, 200) if seed == 1 else range(199, 0, -1)
        for trace in order:
            node.tenant.append(one(trace, status="error" if trace == 7 else None))
        node.flush()
        assert bucket.traces() == expected | {7: 1.0}


def test_late_spans_follow_the_decision_of_their_trace(make: Make, bucket: Bucket) -> None:
    kept = next(n for n in range(1, 99) if is_kept_by(0.5, n.to_bytes(16, "big")))
    dropped = next(n for n in range(1, 99) if not is_kept_by(0.5, n.to_bytes(16, "big")))
    node = make(ERRORS, "keep_ratio: 0.5")
    for trace in (kept, dropped, 500):
        node.tenant.append(one(trace, status="error" if trace == 500 else None))
    node.flush()

    for trace in (kept, dropped, 500):
        node.tenant.append(one(trace, 2, status="error" if trace == dropped else None))
    node.flush()

    assert bucket.traces() == {kept: 2.0, 500: 1.0}
    assert [meta.spans for meta in bucket.blocks] == [2, 2]
    assert node.counted("late_spans", "dropped") == 1
    assert node.counted("late_spans", "kept_by_ratio") == 1
    assert node.counted("traces", "dropped") == 1
    assert node.metrics.value("tracestore_sampling_remembered_traces", tenant=SINGLE_TENANT) == 3


def test_decisions_are_forgotten_in_time_and_by_number(make: Make, bucket: Bucket) -> None:
    few = SamplingSettings(remembered_traces_max=1, remember_s=100.0)
    node = make(ERRORS, settings=few)
    node.tenant.append(one(1))
    node.flush()
    node.tenant.append(one(1, 2, status="error"))
    node.flush()
    assert bucket.traces() == {}
    node.clock.advance(101)
    node.tenant.append(one(1, 3, status="error"))
    node.flush()
    assert bucket.traces() == {1: 1.0}
    node.tenant.append(one(2))
    node.flush()
    node.tenant.append(one(3))
    node.flush()
    node.tenant.append(one(2, 2, status="error"))
    node.flush()
    assert bucket.traces() == {1: 1.0, 2: 1.0}


def test_after_a_restart_late_spans_follow_as_before(
    make: Make, bucket: Bucket, tmp_path: Path
) -> None:
    by_ratio = [n for n in range(1, 99) if is_kept_by(0.5, n.to_bytes(16, "big"))]
    others = [n for n in range(1, 99) if not is_kept_by(0.5, n.to_bytes(16, "big"))]
    clock = ManualClock()
    node = make(ERRORS, "keep_ratio: 0.5", clock=clock)
    node.tenant.append(one(by_ratio[0]))
    node.tenant.append(one(others[0], status="error"))
    node.tenant.append(one(others[1]))
    node.flush()
    before = bucket.traces()

    again = make(ERRORS, "keep_ratio: 0.5", clock=clock, seed=2)
    again.tenant.append(one(by_ratio[0], 2, status="error"))
    again.tenant.append(one(others[0], 2))
    again.tenant.append(one(others[1], 2, status="error"))
    again.flush()

    assert bucket.traces() == before == {by_ratio[0]: 2.0, others[0]: 1.0}
    assert again.counted("late_spans", "dropped") == 1
    assert [meta.spans for meta in bucket.blocks] == [2, 2]


def test_blocks_of_long_ago_are_not_asked(make: Make, bucket: Bucket) -> None:
    clock = ManualClock()
    node = make("keep_ratio: 1", clock=clock)
    node.tenant.append(one(1))
    node.flush()
    asked = []
    clock.advance(3601)
    again = make(ERRORS, clock=clock, seed=2)
    bucket.open = asked.append
    again.tenant.append(one(1, 2))
    again.flush()
    assert asked == []


def test_a_block_that_is_gone_is_passed_over_and_a_silent_store_is_waited_for(
    make: Make, bucket: Bucket
) -> None:
    clock = ManualClock()
    node = make("keep_ratio: 1", clock=clock)
    node.tenant.append(one(1))
    node.flush()
    (meta,) = bucket.blocks
    again = make(ERRORS, clock=clock, seed=2)
    again.tenant.append(one(1, 2))
    again.tenant.cut()
    (head,) = again.tenant.cut_heads
    get_range = bucket.store.get_range

    def fail(*args: object) -> bytes:
        raise UnavailableError("no answer")

    bucket.store.get_range = fail
    bucket.store.get = fail
    with pytest.raises(UnavailableError):
        again.tenant.flush(head)
    assert searchable(again, 1)
    del bucket.store.get
    bucket.store.get_range = get_range
    bucket.store.delete(block_key(SINGLE_TENANT, meta.id, "filters"))
    with pytest.raises(NotFoundError):
        bucket.open(meta).filters(QueryStats())
    again.tenant.flush(head)
    assert not searchable(again, 1)
    assert bucket.blocks == [meta]


def test_a_head_of_which_nothing_stays_lets_its_segments_go(make: Make, bucket: Bucket) -> None:
    node = make(ERRORS)
    node.tenant.append(one(1))
    node.flush()
    assert bucket.blocks == []
    assert node.wal.dropped == ["segment-0"]
    assert node.tenant.is_empty


def test_a_flush_that_failed_decides_once(make: Make, bucket: Bucket) -> None:
    node = make(ERRORS)
    node.tenant.append(one(1))
    node.tenant.append(one(2, status="error"))
    node.commit_error = UnavailableError("no answer")
    with pytest.raises(UnavailableError):
        node.flush()
    assert node.wal.dropped == []
    assert node.counted("traces", "dropped") == 0
    node.tenant.append(one(1, 2, status="error"))
    node.commit_error = None
    node.flush()
    assert bucket.traces() == {2: 1.0}
    assert node.counted("traces", "dropped") == 1
    assert node.counted("late_spans", "dropped") == 1


def test_heads_wait_for_late_spans_while_there_is_room(make: Make) -> None:
    node = make(ERRORS)
    node.tenant.append(one(1))
    node.tenant.cut()
    (head,) = node.tenant.cut_heads
    now_ns = node.clock.monotonic_ns()
    assert node.tenant.is_waiting(head, now_ns)
    assert not node.tenant.is_waiting(head, now_ns + 10 * 10**9)
    node.tenant.append(one(2))
    node.tenant.cut()
    assert not any(node.tenant.is_waiting(head, now_ns) for head in node.tenant.cut_heads)


def test_without_a_policy_nothing_waits_and_nothing_changes(make: Make, bucket: Bucket) -> None:
    node = make()
    node.tenant.append(one(1))
    node.tenant.cut()
    (head,) = node.tenant.cut_heads
    assert not node.tenant.is_waiting(head, node.clock.monotonic_ns())
    node.tenant.flush(head)
    plain = Bucket()
    other = Node(plain, Path("unused"))
    other.tenant._sampling = None
    other.tenant.append(one(1))
    other.flush()
    (meta,), (same,) = bucket.blocks, plain.blocks
    assert (meta.object_bytes, meta.checksums) == (same.object_bytes, same.checksums)
    assert node.counted("spans", "kept") == 0


def test_pinned_traces_stay(make: Make, bucket: Bucket) -> None:
    bucket.pinned = frozenset({trace_id(1)})
    node = make(ERRORS)
    node.tenant.append(one(1))
    node.tenant.append(one(2))
    node.flush()
    assert bucket.traces() == {1: 1.0}


def test_a_policy_holds_from_the_next_head_on(make: Make, bucket: Bucket) -> None:
    node = make()
    node.tenant.append(one(1))
    node.flush()
    node.limits = TenantLimits(sampling=(ERRORS,))
    node.tenant.append(one(2))
    node.flush()
    assert bucket.traces() == {1: 1.0}
    node.limits = TenantLimits(sampling=("keep: { . }",))
    node.tenant.append(one(3))
    node.flush()
    assert bucket.traces() == {1: 1.0, 3: 1.0}


def test_metrics_from_spans_count_all_of_them(make: Make, bucket: Bucket) -> None:
    counted = Counted(("span-metrics-count",))
    tap = partial(HeadTap, SINGLE_TENANT, lambda tenant: counted.tenant, counted.metrics)
    node = make(ERRORS, tap=tap)
    for requests in ([one(1), one(2, status="error")], [one(1, 2, status="error"), one(3)]):
        for each in requests:
            node.tenant.append(each)
        node.tenant.live.decode()
        node.flush()
    assert sum(meta.spans for meta in bucket.blocks) == 1
    assert sum(counted.values().values()) == 4


def test_blocks_whose_decisions_are_remembered_are_not_asked(make: Make, bucket: Bucket) -> None:
    node = make("keep_ratio: 1", ERRORS)
    asked: list[object] = []
    open_block = bucket.open
    bucket.open = lambda meta: asked.append(meta) or open_block(meta)
    for trace in (1, 2, 1):
        node.tenant.append(one(trace, len(bucket.blocks) + 1))
        node.flush()
    assert len(bucket.blocks) == 3
    assert asked == []


def dropped(bucket: Bucket) -> list[str]:
    return [info.key for info in bucket.store.list("dropped/")]


def test_what_was_dropped_is_listed_for_others_and_goes_in_time(make: Make, bucket: Bucket) -> None:
    clock = ManualClock()
    node = make(ERRORS, clock=clock)
    other = make(ERRORS, clock=clock, seed=2)
    other.tenant.append(one(9, status="error"))
    other.flush()  # it has looked, and there was nothing
    node.tenant.append(one(1))
    node.flush()
    (key,) = dropped(bucket)
    table = pq.read_table(pa.BufferReader(bucket.store.get(key)))
    assert table.to_pydict() == {"trace_hash": [xxhash.xxh64_intdigest(trace_id(1))]}

    head = other.new_head()
    head.load(one(1, 2, status="error"))
    other.tenant.adopt(head)
    other.tenant.flush(head)
    assert bucket.traces() == {9: 1.0}

    bucket.store.put(key, b"damaged")
    third = make(ERRORS, clock=clock, seed=3)
    third.tenant.append(one(1, 3, status="error"))
    third.flush()
    assert bucket.traces() == {1: 1.0, 9: 1.0}
    clock.advance(3601)
    third.tenant.append(one(2, status="error"))
    third.flush()
    assert dropped(bucket) == []


def test_nothing_is_let_go_before_what_was_dropped_is_listed(make: Make, bucket: Bucket) -> None:
    node = make(ERRORS)
    node.tenant.append(one(1))
    put = bucket.store.put

    def fail(key: str, content: bytes | memoryview) -> str:
        raise UnavailableError("no answer")

    bucket.store.put = fail
    with pytest.raises(UnavailableError):
        node.flush()
    assert searchable(node, 1)
    assert node.wal.dropped == []
    bucket.store.put = put
    node.flush()
    assert bucket.traces() == {}
    assert len(dropped(bucket)) == 1


def test_lists_that_nobody_asks_for_any_more_go_with_the_garbage(
    make: Make, bucket: Bucket
) -> None:
    node = make(ERRORS)
    node.tenant.append(one(1))
    node.flush()
    garbage = Garbage(bucket.store, cast("IndexFollower", None), node.clock)
    node.clock.advance(86_000)
    assert garbage.delete_dropped(86_400) == 0
    node.clock.advance(500)
    assert garbage.delete_dropped(86_400) == 1
    assert dropped(bucket) == []

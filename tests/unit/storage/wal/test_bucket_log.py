import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.clocks import ManualClock
from support.faulty_store import FaultyStore, keys

from tracestore.clock import Clock, SystemClock
from tracestore.codec.wal_tombstone import Tombstone
from tracestore.errors import UnavailableError
from tracestore.model.ids import TenantId, WriterId
from tracestore.settings.wal_tree import BucketWalSettings, WalSettings
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import wal_key
from tracestore.storage.objects.memory import MemoryObjectStore
from tracestore.storage.wal.bucket_log import BucketLog
from tracestore.storage.wal.bucket_put import LogLostError, ObjectPut
from tracestore.storage.wal.bucket_reader import (
    LogDecoder,
    first_free,
    list_numbers,
    look_at_log,
    read_objects,
    seal_log,
)
from tracestore.storage.wal.ranges import WalRange, parse_range

WRITER = WriterId("0193a000-0000-7000-8000-000000000001")
SHOP, BANK = TenantId("shop"), TenantId("bank")
TOMBSTONE = Tombstone(owner="somebody", epoch=2)


class Lost:
    """What the log tells of its end."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@contextmanager
def open_log(
    store: ObjectStore,
    *,
    on_lost: Lost | None = None,
    clock: Clock | None = None,
    ours: bool = True,
    **settings: float,
) -> Iterator[BucketLog]:
    bucket = BucketWalSettings(**{"commit_interval_s": 0.05, **settings})  # type: ignore[arg-type]
    log = BucketLog(
        store,
        WRITER,
        WalSettings(store="bucket", bucket=bucket),
        clock or SystemClock(),
        is_ours=lambda: ours,
        on_lost=on_lost or Lost(),
    )
    try:
        yield log
    finally:
        log.close()


def stored(store: ObjectStore, *, until: int | None = None) -> list[tuple[str, bytes]]:
    """Tenant and payload of every record, in order, as an adopter reads them."""
    extent = look_at_log(store, WRITER, held_last=0)
    decoder = LogDecoder(store, WRITER)
    return [
        (record.tenant, record.payload)
        for number, content in read_objects(store, WRITER, extent.numbers)
        if content is not None and (until is None or number < until)
        for record in decoder.records(number, content, keep_damage=True)
    ]


def wait_for(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "not true in time"
        time.sleep(0.002)


def test_a_lone_record_is_acknowledged_once_it_is_in_the_bucket() -> None:
    store = MemoryObjectStore()
    with open_log(store, commit_interval_s=600) as log:
        position = log.append(SHOP, b"one" * 100).result(10)
        assert position.segment == f"{WRITER}/{1:020d}"
        assert stored(store) == [("shop", b"one" * 100)]
        log.append(SHOP, b"two").result(10)
    assert keys(store) == [wal_key(WRITER, 1), wal_key(WRITER, 2)]


def test_what_waits_while_a_put_is_under_way_shares_the_next_object() -> None:
    store = FaultyStore(MemoryObjectStore())
    store.gate.clear()
    with open_log(store, puts_in_flight_max=1) as log:
        waiting = [log.append(SHOP if i % 2 else BANK, b"%d" % i) for i in range(20)]
        assert not any(each.done() for each in waiting)
        store.gate.set()
        for each in waiting:
            each.result(10)
    assert len(list_numbers(store, WRITER)) <= 3
    assert [payload for _, payload in stored(store)] == [b"%d" % i for i in range(20)]


def test_several_senders_are_gathered_for_the_interval() -> None:
    go_on = threading.Event()
    store = FaultyStore(MemoryObjectStore(), lambda op, key: "" if go_on.wait(30) else "refuse")
    with open_log(store, commit_interval_s=600, answer_wait_s=600) as log:
        waiting = [log.append(SHOP, b"0")]
        wait_for(lambda: ("put_if_absent", wal_key(WRITER, 1)) in store.requests)
        waiting += [log.append(SHOP, b"%d" % i) for i in range(1, 10)]
        go_on.set()
        for each in waiting:
            each.result(10)
        assert list_numbers(store, WRITER) == [1, 2]  # a lone record is followed at once
        late = log.append(SHOP, b"10")
        with pytest.raises(TimeoutError):
            late.result(0.2)
    assert len(stored(store)) == 11  # closing writes what waits


def test_senders_that_all_wait_are_not_kept_waiting() -> None:
    store = MemoryObjectStore()
    with open_log(store, commit_interval_s=0.3) as log:
        began, rounds, senders = time.monotonic(), 24, 6
        for _ in range(rounds):
            for each in [log.append(SHOP, b"x" * 50) for _ in range(senders)]:
                each.result(10)
        passed = time.monotonic() - began
    # one round of eight waits for the interval, to see whether there are more senders
    assert passed < rounds * 1.0 * 0.7
    assert len(list_numbers(store, WRITER)) < rounds * senders  # some went together


def test_bytes_cut_an_object_without_waiting() -> None:
    store = MemoryObjectStore()
    with open_log(store, commit_interval_s=600, commit_bytes_max=2000) as log:
        for _ in range(3):
            payloads = [random.Random(i).randbytes(900) for i in range(12)]
            for each in [log.append(SHOP, payload) for payload in payloads[:10]]:
                if each.done():
                    each.result()
    assert len(stored(store)) == 30
    assert max(info.bytes for info in store.list("wal/")) <= 2000 + 16


def test_nothing_is_acknowledged_before_what_came_before_it() -> None:
    blocked = threading.Event()

    def plan(operation: str, key: str) -> str:
        return "refuse" if key == wal_key(WRITER, 1) and not blocked.is_set() else ""

    store = FaultyStore(MemoryObjectStore(), plan)
    with open_log(store, commit_interval_s=0.001) as log:
        first = log.append(SHOP, b"first")
        wait_for(lambda: ("put_if_absent", wal_key(WRITER, 1)) in store.requests)
        second = log.append(SHOP, b"second")
        wait_for(lambda: wal_key(WRITER, 2) in keys(store.inner))
        assert not first.done()
        assert not second.done()
        # whoever seals the log now finds none of both
        assert first_free(list_numbers(store.inner, WRITER), held_last=0) == 1
        blocked.set()
        assert first.result(10).segment < second.result(10).segment


@pytest.mark.parametrize("fault", ["lose", "refuse", "twice"])
def test_a_put_whose_answer_is_lost_is_asked_again(fault: str) -> None:
    failures = iter([fault, fault])
    store = FaultyStore(
        MemoryObjectStore(), lambda op, key: next(failures, "") if op.startswith("put") else ""
    )
    with open_log(store) as log:
        log.append(SHOP, b"a").result(10)
        log.append(SHOP, b"b").result(10)
    assert stored(store) == [("shop", b"a"), ("shop", b"b")]
    assert list_numbers(store, WRITER) == [1, 2]


def test_senders_are_refused_while_the_bucket_does_not_answer_and_taken_again_afterwards() -> None:
    away = threading.Event()
    away.set()
    store = FaultyStore(MemoryObjectStore(), lambda op, key: "refuse" if away.is_set() else "")
    with open_log(store, answer_wait_s=0.2, puts_in_flight_max=1) as log:
        waiting = [log.append(SHOP, b"early"), log.append(SHOP, b"queued")]
        for each in waiting:
            with pytest.raises(UnavailableError, match="did not answer"):
                each.result(10)
        with pytest.raises(UnavailableError, match="does not answer"):
            log.append(SHOP, b"refused")
        away.clear()

        def takes() -> bool:
            try:
                return bool(log.append(SHOP, b"late").result(10))
            except UnavailableError:
                return False

        wait_for(takes)
    found = [payload for _, payload in stored(store)]
    assert b"late" in found
    assert b"refused" not in found


def test_the_queue_is_bounded() -> None:
    store = FaultyStore(MemoryObjectStore())
    store.gate.clear()
    with open_log(store, queue_bytes_max=3000, puts_in_flight_max=1) as log:
        payloads = [random.Random(i).randbytes(1000) for i in range(4)]
        taken = [log.append(SHOP, payload) for payload in payloads[:2]]
        with pytest.raises(UnavailableError, match="waiting for the bucket"):
            log.append(SHOP, payloads[2])
        store.gate.set()
        for each in taken:
            each.result(10)
        log.append(SHOP, payloads[3]).result(10)


def test_a_rotation_names_one_range_and_later_records_are_in_others() -> None:
    store = FaultyStore(MemoryObjectStore())
    with open_log(store, commit_interval_s=0.001) as log:
        assert log.request_rotation(SHOP).result(10) == ()
        store.gate.clear()
        log.append(BANK, b"0")
        early = [log.append(SHOP, b"%d" % i) for i in range(5)]
        rotation = log.request_rotation(SHOP)
        late = [log.append(SHOP, b"%d" % i) for i in range(5, 9)]
        assert not rotation.done()
        store.gate.set()
        (name,) = rotation.result(10)
        early_names = {each.result(10).segment for each in early}
        late_names = {each.result(10).segment for each in late}
    found = parse_range(name)
    assert found is not None
    numbers = {int(each.rpartition("/")[2]) for each in early_names}
    assert (found.first, found.last) == (min(numbers), max(numbers))
    assert not early_names & late_names
    assert all(int(each.rpartition("/")[2]) > found.last for each in late_names)


def test_objects_go_once_all_tenants_have_blocks_and_the_last_stays() -> None:
    store = MemoryObjectStore()
    with open_log(store) as log:
        for tenant in (BANK, SHOP, SHOP, SHOP):
            log.append(tenant, b"x").result(10)
        log.drop(SHOP, log.request_rotation(SHOP).result(10))
        assert list_numbers(store, WRITER) == [1, 2, 3, 4]
        log.drop(BANK, log.request_rotation(BANK).result(10))
        assert list_numbers(store, WRITER) == [4]
        log.append(SHOP, b"y").result(10)
        last = log.request_rotation(SHOP).result(10)
        assert last == (str(WalRange(WRITER, 5, 5)),)
        log.drop(SHOP, last)
        assert list_numbers(store, WRITER) == [5]
        log.close()
        log.delete_all()
    assert keys(store) == []


def test_objects_of_unflushed_records_survive_every_drop() -> None:
    store = MemoryObjectStore()
    with open_log(store) as log:
        log.append(BANK, b"kept").result(10)
        rotated = log.request_rotation(BANK).result(10)
        log.append(SHOP, b"x").result(10)
        log.drop(SHOP, log.request_rotation(SHOP).result(10))
        assert ("bank", b"kept") in stored(store)
        log.close()
        log.delete_all()
        assert ("bank", b"kept") in stored(store)
        log.drop(BANK, rotated)


def test_a_sealed_log_takes_nothing_more_and_says_so_once() -> None:
    store, lost = MemoryObjectStore(), Lost()
    with open_log(store, on_lost=lost) as log:
        log.append(SHOP, b"before").result(10)
        extent = seal_log(store, WRITER, TOMBSTONE, held_last=0)
        assert (extent.numbers, extent.end) == ((1,), 2)
        with pytest.raises(UnavailableError, match="sealed"):
            log.append(SHOP, b"after").result(10)
        with pytest.raises(UnavailableError, match="lost to a peer"):
            log.append(SHOP, b"later")
        with pytest.raises(UnavailableError, match="lost to a peer"):
            log.request_rotation(SHOP)
        log.drop(SHOP, (str(WalRange(WRITER, 1, 1)),))
    assert lost.times == 1
    assert stored(store) == [("shop", b"before")]
    again = seal_log(store, WRITER, Tombstone(owner="next", epoch=3), held_last=0)
    assert (again.numbers, again.end) == ((1,), 2)


def test_a_seal_lands_in_the_hole_that_a_put_under_way_has_left() -> None:
    store = MemoryObjectStore()
    with open_log(store) as log:
        for payload in (b"1", b"2", b"3"):
            log.append(SHOP, payload).result(10)
    store.put(wal_key(WRITER, 5), b"never acknowledged")
    extent = seal_log(store, WRITER, TOMBSTONE, held_last=0)
    assert (extent.numbers, extent.end) == ((1, 2, 3), 4)


@pytest.mark.parametrize(
    ("numbers", "held_last", "expected"),
    [
        ([], 0, 1),
        ([], 7, 8),
        ([1, 2, 3], 0, 4),
        ([90, 95, 100], 100, 101),
        ([*range(50, 101), 103], 40, 101),
        ([*range(1, 101)], 100, 101),
    ],
)
def test_where_a_log_ends(numbers: list[int], held_last: int, expected: int) -> None:
    assert first_free(numbers, held_last=held_last) == expected


def test_damage_is_kept_aside_and_the_rest_is_read() -> None:
    store = FaultyStore(MemoryObjectStore())
    store.gate.clear()
    with open_log(store) as log:
        waiting = [log.append(SHOP, b"%d" % i) for i in range(6)]
        store.gate.set()
        for each in waiting:
            each.result(10)
    key = wal_key(WRITER, list_numbers(store, WRITER)[-1])
    content = bytearray(store.get(key))
    content[content.rindex(b"shop") + 4] ^= 1
    store.put(key, bytes(content))
    assert [payload for _, payload in stored(store)] == [b"%d" % i for i in range(5)]
    assert len(keys(store, "wal-quarantine/")) == 1


def test_a_writer_that_slept_asks_the_index_before_it_writes() -> None:
    store, clock, asked = MemoryObjectStore(), ManualClock(), []

    def is_ours() -> bool:
        asked.append(clock.time_ns)
        return len(asked) < 2

    put = ObjectPut(store, WRITER, is_ours, clock)
    put.attempt(1, b"a")
    assert asked == []
    clock.advance(61)
    put.attempt(2, b"b")
    assert len(asked) == 1
    clock.advance(61)
    with pytest.raises(LogLostError, match="adopted"):
        put.attempt(3, b"c")  # the number is free, the tombstone may have been collected
    assert list_numbers(store, WRITER) == [1, 2]


def test_a_put_that_took_too_long_is_not_acknowledged_unasked() -> None:
    store, clock = FaultyStore(MemoryObjectStore()), ManualClock()

    def plan(operation: str, key: str) -> str:
        clock.advance(61)
        return ""

    store.plan = plan
    with pytest.raises(LogLostError, match="adopted"):
        ObjectPut(store, WRITER, lambda: False, clock).attempt(1, b"a")


@pytest.mark.parametrize("seed", range(6))
def test_under_faults_every_acknowledged_record_is_there_once_and_in_order(seed: int) -> None:
    store = FaultyStore(MemoryObjectStore())
    store.random_faults(seed, 0.3)
    rng = random.Random(seed)
    acknowledged: list[tuple[str, bytes]] = []
    with open_log(store, commit_interval_s=0.002, answer_wait_s=30) as log:
        waiting = []
        for i in range(60):
            tenant = rng.choice([SHOP, BANK])
            waiting.append(((tenant, b"%d" % i), log.append(tenant, b"%d" % i)))
            if rng.random() < 0.3:
                waiting[-1][1].result(30)
        for record, each in waiting:
            each.result(30)
            acknowledged.append(record)
    extent = seal_log(store.inner, WRITER, TOMBSTONE, held_last=0)
    assert stored(store.inner, until=extent.end) == acknowledged


def test_a_process_that_dies_leaves_all_that_it_acknowledged() -> None:
    for dies_at in range(1, 8):
        store = FaultyStore(MemoryObjectStore())
        store.dies_at = dies_at
        acknowledged = []
        with open_log(store, answer_wait_s=0.1, commit_interval_s=0.001) as log:
            for i in range(15):
                try:
                    log.append(SHOP, b"%d" % i).result(0.3)
                except (UnavailableError, TimeoutError):
                    break
                acknowledged.append(("shop", b"%d" % i))
        extent = seal_log(store.inner, WRITER, TOMBSTONE, held_last=0)
        found = stored(store.inner, until=extent.end)
        assert found[: len(acknowledged)] == acknowledged
        assert len(set(found)) == len(found)

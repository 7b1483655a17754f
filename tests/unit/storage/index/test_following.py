"""What following the log costs, and how it goes on from far behind, from damage, from a gap."""

from __future__ import annotations

import itertools
import random

import pytest
from support.blocks import block_meta
from support.clocks import ManualClock
from support.counting import CountingStore

from tracestore.errors import ConflictError, CorruptionError, UnavailableError
from tracestore.model.ids import TenantId
from tracestore.storage.index.blocklist import BlockList, ref_of
from tracestore.storage.index.commits import CommitLog, CommitSettings
from tracestore.storage.index.objects import read_latest
from tracestore.storage.index.rebuild import rebuild
from tracestore.storage.objects.layout import (
    CHECKPOINTS_PREFIX,
    LATEST_KEY,
    checkpoint_key,
    commit_key,
    meta_key,
)

SHOP = TenantId("shop")
SEEDS = itertools.count()


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def open_log(store: CountingStore, clock: ManualClock, **settings: int) -> CommitLog:
    return CommitLog(
        store,
        clock,
        random.Random(next(SEEDS)),
        writer="test",
        settings=CommitSettings(**settings),
        sleep=lambda _: None,
    )


def add(log: CommitLog, *names: str) -> int:
    return max(log.commit(log.new_change(add=[block_meta(name)])) for name in names)


def names(blocks: BlockList) -> set[str]:
    return {meta.id for meta in blocks.blocks(SHOP)}


def test_a_commit_is_one_request_and_so_is_a_poll(store: CountingStore, clock: ManualClock) -> None:
    log, follower = open_log(store, clock), open_log(store, clock)
    add(log, "first")
    follower.catch_up()
    store.take_asked()

    add(log, "a")
    assert store.take_asked() == [("put_if_absent", commit_key(2))]
    follower.catch_up()
    assert store.take_asked() == [("get", commit_key(2)), ("get", commit_key(3))]
    follower.catch_up()
    assert store.take_asked() == [("get", commit_key(3))]
    follower.catch_up(at_least=2)
    assert store.take_asked() == []
    add(follower, "b")
    assert store.take_asked() == [("put_if_absent", commit_key(3))]
    add(log, "c")
    assert store.take_asked() == [
        ("put_if_absent", commit_key(3)),
        ("get", commit_key(3)),
        ("get", commit_key(4)),
        ("put_if_absent", commit_key(4)),
    ]


def test_who_is_far_behind_reads_the_checkpoint(store: CountingStore, clock: ManualClock) -> None:
    log = open_log(store, clock, checkpoint_commits=10)
    sleeper = open_log(store, clock, far_behind_commits=5)
    add(log, "first")
    sleeper.catch_up()
    add(log, *(f"{n}" for n in range(204)))
    store.take_asked()

    assert sleeper.catch_up().sequence == 205
    asked = store.take_asked()
    assert asked[5:7] == [("get", LATEST_KEY), ("get", checkpoint_key(200))]
    assert len(asked) == 5 + 2 + 5 + 1
    assert names(sleeper.known()) == {"first", *(f"{n}" for n in range(204))}
    assert sleeper.known() == log.known()


def test_a_start_on_a_long_log_is_quick(store: CountingStore, clock: ManualClock) -> None:
    log = open_log(store, clock)
    add(log, *(f"{n}" for n in range(300)))
    store.take_asked()

    assert open_log(store, clock).catch_up().sequence == 300
    assert len(store.take_asked()) == 2 + 300 - 256 + 1


def test_old_checkpoints_are_deleted(store: CountingStore, clock: ManualClock) -> None:
    log = open_log(store, clock, checkpoint_commits=2, checkpoints_kept=3)
    add(log, *(f"{n}" for n in range(20)))

    kept = [info.key for info in store.list(CHECKPOINTS_PREFIX)]
    assert kept == [checkpoint_key(n) for n in (16, 18, 20)]
    assert read_latest(store).earlier == (16, 18)
    assert len(names(open_log(store, clock).catch_up())) == 20


def test_a_checkpoint_replaced_while_it_is_read_is_no_damage(
    store: CountingStore, clock: ManualClock
) -> None:
    log = open_log(store, clock, checkpoint_commits=2, checkpoints_kept=1)
    add(log, "a", "b")
    get = store.get

    def get_late(key: str) -> bytes:
        if key == checkpoint_key(2):
            store.get = get  # type: ignore[method-assign]  # once: others go on meanwhile
            add(log, "c", "d")
        return get(key)

    store.get = get_late  # type: ignore[method-assign]  # as above
    assert names(open_log(store, clock).catch_up()) == {"a", "b", "c", "d"}


def test_who_dies_before_its_checkpoint_is_replaced(
    store: CountingStore, clock: ManualClock
) -> None:
    class DeadError(Exception):
        pass

    def die(key: str, content: bytes | memoryview) -> str:
        raise DeadError

    put = store.put
    log, other = (open_log(store, clock, checkpoint_commits=4) for _ in range(2))
    add(log, "a", "b", "c")
    store.put = die  # type: ignore[method-assign]  # the process ends while it writes it
    with pytest.raises(DeadError):
        add(log, "d")
    store.put = put  # type: ignore[method-assign]  # others can write
    add(other, "e", "f", "g")

    assert read_latest(store).checkpoint == 0
    add(other, "h")
    assert read_latest(store).checkpoint == 8


def test_a_process_before_damage_goes_on_after_a_rebuild(
    store: CountingStore, clock: ManualClock
) -> None:
    log, reader = open_log(store, clock), open_log(store, clock)
    add(log, "a")
    reader.catch_up()
    add(log, "b", "c")
    for name in "abc":
        store.put(meta_key(SHOP, block_meta(name).id), block_meta(name).to_json())
    store.put(commit_key(2), b"{")
    with pytest.raises(CorruptionError, match=commit_key(2)):
        reader.catch_up()
    assert rebuild(store, clock, random.Random(1), writer="test").sequence == 4

    assert names(reader.catch_up()) == {"a", "b", "c"}
    assert add(reader, "d") == 5
    assert names(log.catch_up()) == {"a", "b", "c", "d"}


def test_a_gap_is_noticed_by_the_pointer(store: CountingStore, clock: ManualClock) -> None:
    log = open_log(store, clock, checkpoint_commits=4)
    reader, writer = (open_log(store, clock) for _ in range(2))
    add(log, "a")
    reader.catch_up()
    writer.catch_up()
    add(log, "b", "c", "d", "e")
    for sequence in (1, 2, 3, 4):
        store.delete(commit_key(sequence))  # nobody should, and a rule of a bucket may

    assert names(reader.catch_up()) == {"a"}
    clock.advance(60)
    assert names(reader.catch_up()) == {"a", "b", "c", "d", "e"}
    assert add(writer, "f") == 6
    assert names(log.catch_up()) == {"a", "b", "c", "d", "e", "f"}


def test_a_stale_list_refuses_nothing_by_itself(store: CountingStore, clock: ManualClock) -> None:
    log, stale = open_log(store, clock), open_log(store, clock)
    stale.catch_up()
    add(log, "a")

    assert stale.commit(stale.new_change(remove=[ref_of(block_meta("a"))])) == 2
    add(log, "b")
    with pytest.raises(ConflictError):
        stale.commit(stale.new_change(remove=[ref_of(block_meta("never"))]))
    assert stale.known().sequence == 3


def test_the_age_is_that_of_the_last_look(store: CountingStore, clock: ManualClock) -> None:
    log = open_log(store, clock)
    log.catch_up()
    began_ns = clock.time_ns
    clock.advance(5)
    log.catch_up(at_least=0)
    assert log.read_ns == began_ns
    get = store.get

    def no_answer(key: str) -> bytes:
        raise UnavailableError("no answer")

    store.get = no_answer  # type: ignore[method-assign]  # the store goes away
    with pytest.raises(UnavailableError):
        log.catch_up()
    assert log.read_ns == began_ns
    store.get = get  # type: ignore[method-assign]  # it is back
    add(log, "a")
    assert log.read_ns == clock.time_ns


def test_a_damaged_pointer_stops_nobody_who_runs(store: CountingStore, clock: ManualClock) -> None:
    log = open_log(store, clock, checkpoint_commits=2)
    reader = open_log(store, clock, far_behind_commits=1)
    reader.catch_up()
    add(log, "a", "b", "c")
    store.put(LATEST_KEY, b"{")

    assert add(log, "d") == 4
    assert names(reader.catch_up()) == {"a", "b", "c", "d"}
    clock.advance(60)
    assert reader.catch_up().sequence == 4
    with pytest.raises(CorruptionError, match=LATEST_KEY):
        open_log(store, clock).catch_up()

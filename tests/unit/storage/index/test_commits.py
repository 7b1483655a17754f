import random

import pytest
from support.blocks import block_meta
from support.clocks import ManualClock

from tracestore.errors import (
    ConflictError,
    CorruptionError,
    NotFoundError,
    OutdatedBlockError,
    UnavailableError,
)
from tracestore.model.ids import TenantId
from tracestore.storage.index.blocklist import ref_of
from tracestore.storage.index.commits import CommitLog, CommitSettings
from tracestore.storage.index.objects import read_latest
from tracestore.storage.index.rebuild import rebuild
from tracestore.storage.objects.layout import LATEST_KEY, checkpoint_key, commit_key
from tracestore.storage.objects.memory import MemoryObjectStore

SHOP = TenantId("shop")


class OpenOutcome(MemoryObjectStore):
    """Answers conditional creation with an error, once, after or before it has happened."""

    def __init__(self) -> None:
        super().__init__()
        self.fail: str | None = None
        self.gets: list[str] = []

    def put_if_absent(self, key: str, content: bytes | memoryview) -> str:
        fail, self.fail = self.fail, None
        if fail == "before":
            raise UnavailableError("no answer")
        etag = super().put_if_absent(key, content)
        if fail == "after":
            raise UnavailableError("no answer")
        return etag

    def get(self, key: str) -> bytes:
        self.gets.append(key)
        return super().get(key)


@pytest.fixture
def store() -> OpenOutcome:
    return OpenOutcome()


def open_log(store: MemoryObjectStore, seed: int = 1, **settings: int) -> CommitLog:
    return CommitLog(
        store,
        ManualClock(),
        random.Random(seed),
        writer=f"writer {seed}",
        settings=CommitSettings(**settings),
        sleep=lambda seconds: None,
    )


def names(log: CommitLog) -> list[str]:
    return sorted(meta.id for meta in log.load().blocks(SHOP))


def test_an_empty_store_has_an_empty_list(store: OpenOutcome) -> None:
    assert open_log(store).load().sequence == 0
    assert open_log(store).read_after(0) == []


def test_commits_are_numbered_and_read_back(store: OpenOutcome) -> None:
    log = open_log(store)
    first, second = block_meta("a"), block_meta("b")

    assert log.commit(log.new_change(add=[first])) == 1
    assert log.commit(log.new_change(add=[second], remove=[ref_of(first)])) == 2
    commits = log.read_after(0)
    assert [commit.sequence for commit in commits] == [1, 2]
    assert commits[1].add == (second,)
    assert commits[1].remove == (ref_of(first),)
    assert commits[0].writer == "writer 1"
    assert log.read_after(1) == commits[1:]
    assert names(open_log(store)) == ["b"]


def test_a_reader_asks_for_the_next_number_and_nothing_else(store: OpenOutcome) -> None:
    log = open_log(store)
    log.commit(log.new_change(add=[block_meta("a")]))
    store.gets.clear()
    log.read_after(0)

    assert store.gets == [commit_key(1), commit_key(2)]


def test_who_loses_reads_the_winner_and_takes_the_next_number(store: OpenOutcome) -> None:
    one, other = open_log(store, 1), open_log(store, 2)
    one.commit(one.new_change(add=[block_meta("a")]))
    other.commit(other.new_change(add=[block_meta("b")]))

    assert one.commit(one.new_change(add=[block_meta("c")])) == 3
    assert names(other) == ["a", "b", "c"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_change_of_unknown_outcome_is_made_once(store: OpenOutcome, moment: str) -> None:
    log = open_log(store)
    log.commit(log.new_change(add=[block_meta("a")]))
    change = log.new_change(add=[block_meta("b")], remove=[ref_of(block_meta("a"))])
    store.fail = moment
    if moment == "before":
        with pytest.raises(UnavailableError):
            log.commit(change)

    assert log.commit(change) == 2
    assert log.commit(change) == 2
    assert open_log(store, 2).commit(change) == 2
    assert len(log.read_after(0)) == 2
    assert names(log) == ["b"]


def test_a_change_whose_answer_and_check_are_lost_is_known_again(store: OpenOutcome) -> None:
    log = open_log(store)
    change = log.new_change(add=[block_meta("a")])
    log.load()
    put, get = store.put_if_absent, store.get

    def put_without_answer(key: str, content: bytes | memoryview) -> str:
        put(key, content)
        store.get = no_answer  # type: ignore[method-assign]  # the store goes away at this moment
        raise UnavailableError("no answer")

    def no_answer(key: str) -> bytes:
        raise UnavailableError("no answer")

    store.put_if_absent = put_without_answer  # type: ignore[method-assign]  # as above
    with pytest.raises(UnavailableError):
        log.commit(change)
    store.put_if_absent, store.get = put, get  # type: ignore[method-assign]  # it is back
    other = open_log(store, 2)
    other.commit(other.new_change(remove=[ref_of(block_meta("a"))]))

    assert log.commit(change) == 1
    assert names(log) == []


def test_adding_a_block_that_is_or_was_there_is_done_already(store: OpenOutcome) -> None:
    log = open_log(store)
    first = block_meta("a")
    log.commit(log.new_change(add=[first]))

    assert log.commit(log.new_change(add=[first])) == 1
    log.commit(log.new_change(remove=[ref_of(first)]))
    assert log.commit(log.new_change(add=[first])) == 2
    assert log.commit(log.new_change(remove=[ref_of(first)])) == 2
    assert names(log) == []


def test_contradictions_are_refused(store: OpenOutcome) -> None:
    log = open_log(store)
    log.commit(log.new_change(add=[block_meta("a"), block_meta("b")]))
    log.commit(log.new_change(add=[block_meta("ab")], remove=[ref_of(block_meta("a"))]))

    with pytest.raises(ConflictError, match=r"block a .*other content"):
        log.commit(log.new_change(add=[block_meta("b"), block_meta("a", end_ns=5)]))
    with pytest.raises(ConflictError, match=r"block a .*not in the index"):
        log.commit(log.new_change(add=[block_meta("x")], remove=[ref_of(block_meta("a"))]))
    with pytest.raises(ConflictError, match="block never"):
        log.commit(log.new_change(remove=[ref_of(block_meta("never"))]))
    assert names(log) == ["ab", "b"]


def test_two_compactions_of_the_same_blocks_do_not_both_happen(store: OpenOutcome) -> None:
    one, other = open_log(store, 1), open_log(store, 2)
    one.commit(one.new_change(add=[block_meta("a"), block_meta("b")]))
    gone = [ref_of(block_meta("a")), ref_of(block_meta("b"))]
    first = one.new_change(add=[block_meta("one")], remove=gone)
    second = other.new_change(add=[block_meta("other")], remove=gone)
    other.commit(second)

    with pytest.raises(ConflictError):
        one.commit(first)
    assert names(one) == ["other"]


def test_attempts_are_bounded(store: OpenOutcome) -> None:
    log = open_log(store, attempts_max=3)
    tried = []

    def always_lost(key: str, content: bytes | memoryview) -> str:
        tried.append(key)
        raise ConflictError(key)

    store.put_if_absent = always_lost  # type: ignore[method-assign]  # a race lost each time
    with pytest.raises(ConflictError, match="lost 3 races"):
        log.commit(log.new_change(add=[block_meta("a")]))
    assert len(tried) == 3


def test_the_log_is_folded_and_a_start_reads_only_what_came_after(store: OpenOutcome) -> None:
    log = open_log(store, checkpoint_commits=4)
    for number in range(10):
        log.commit(log.new_change(add=[block_meta(f"{number}")]))

    assert read_latest(store).checkpoint == 8
    store.gets.clear()
    blocks = open_log(store, 2).load()
    assert store.gets == [checkpoint_key(8), commit_key(9), commit_key(10), commit_key(11)]
    assert blocks.sequence == 10
    assert len(blocks.blocks(SHOP)) == 10


def test_a_checkpoint_that_fails_is_made_by_the_next_commit(store: OpenOutcome) -> None:
    log = open_log(store, checkpoint_commits=2)
    put = store.put

    def full(key: str, content: bytes | memoryview) -> str:
        raise UnavailableError("full")

    store.put = full  # type: ignore[method-assign]  # checkpoints alone are put unconditionally
    for number in range(3):
        log.commit(log.new_change(add=[block_meta(f"{number}")]))
    assert read_latest(store).checkpoint == 0
    store.put = put  # type: ignore[method-assign]  # there is space again
    log.commit(log.new_change(add=[block_meta("3")]))

    assert read_latest(store).checkpoint == 4
    assert names(open_log(store)) == ["0", "1", "2", "3"]


def test_the_pointer_never_goes_back(store: OpenOutcome) -> None:
    slow, fast = open_log(store, 1, checkpoint_commits=3), open_log(store, 2, checkpoint_commits=3)
    slow.commit(slow.new_change(add=[block_meta("s")]))
    for number in range(9):
        fast.commit(fast.new_change(add=[block_meta(f"{number}")]))
    newest = read_latest(store).checkpoint
    slow.commit(slow.new_change(add=[block_meta("t")]))

    assert read_latest(store).checkpoint >= newest
    assert len(open_log(store).load().blocks(SHOP)) == 11


@pytest.mark.parametrize("key", [commit_key(3), LATEST_KEY, checkpoint_key(2)])
def test_damage_is_named(store: OpenOutcome, key: str) -> None:
    log = open_log(store, checkpoint_commits=2)
    for number in range(3):
        log.commit(log.new_change(add=[block_meta(f"{number}")]))
    store.put(key, b"{broken")

    with pytest.raises(CorruptionError, match=key):
        open_log(store).load()
    store.delete(checkpoint_key(2))
    with pytest.raises((CorruptionError, NotFoundError)):
        open_log(store).load()


def test_a_commit_under_a_wrong_number_is_damage(store: OpenOutcome) -> None:
    log = open_log(store)
    log.commit(log.new_change(add=[block_meta("a")]))
    store.put(commit_key(2), store.get(commit_key(1)))

    with pytest.raises(CorruptionError, match="says that it is 1"):
        log.load()


def test_blocks_older_than_the_floor_are_refused_for_ever(store: OpenOutcome) -> None:
    first, second = open_log(store, 1), open_log(store, 2)
    first.commit(first.new_change(add=[block_meta("known", end_ns=5)]))
    late = second.new_change(add=[block_meta("late", end_ns=99)])
    again = second.new_change(add=[block_meta("known", end_ns=5)])
    second.catch_up()

    first.commit(first.new_change(floor_ns=100))
    first.commit(first.new_change(floor_ns=50))  # it never falls

    with pytest.raises(OutdatedBlockError, match="block late of tenant shop"):
        second.commit(late)
    assert second.commit(again) <= 3  # it was added long before
    second.commit(second.new_change(add=[block_meta("new", end_ns=100)]))
    assert names(first) == ["known", "new"]


def test_the_floor_outlives_checkpoints_and_rebuilds(store: OpenOutcome) -> None:
    log = open_log(store, checkpoint_commits=2)
    log.commit(log.new_change(floor_ns=100))
    log.commit(log.new_change(add=[block_meta("a", end_ns=100)]))
    assert read_latest(store).checkpoint == 2
    assert open_log(store).load().floor_ns == 100

    rebuild(store, ManualClock(), random.Random(3), writer="rebuild")
    other = open_log(store, 4)
    with pytest.raises(OutdatedBlockError):
        other.commit(other.new_change(add=[block_meta("late", end_ns=99)]))


def test_a_floor_whose_answer_was_lost_is_committed_once(store: OpenOutcome) -> None:
    log = open_log(store)
    change = log.new_change(floor_ns=7)
    store.fail = "before"
    with pytest.raises(UnavailableError):
        log.commit(change)
    assert log.commit(change) == log.commit(change) == 1
    assert log.current.floor_ns == 7

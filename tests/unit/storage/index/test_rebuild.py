import random
from collections.abc import Iterator
from dataclasses import replace

from support.blocks import block_meta
from support.clocks import ManualClock

from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import TenantId
from tracestore.storage.index.blocklist import BlockList, ref_of
from tracestore.storage.index.commits import CommitLog, CommitSettings
from tracestore.storage.index.rebuild import RebuildReport, rebuild
from tracestore.storage.objects.interface import ObjectInfo
from tracestore.storage.objects.layout import INDEX_PREFIX, LATEST_KEY, commit_key, meta_key
from tracestore.storage.objects.memory import MemoryObjectStore

SHOP = TenantId("shop")


def fill(store: MemoryObjectStore) -> CommitLog:
    """Commit the blocks a, b and c, then put d in the place of a and b."""
    log = open_log(store)
    for name in "abcd":
        meta = block_meta(name)
        store.put(meta_key(meta.tenant, meta.id), meta.to_json())
    log.commit(log.new_change(add=[block_meta("a"), block_meta("b")]))
    log.commit(log.new_change(add=[block_meta("c")]))
    gone = [ref_of(block_meta("a")), ref_of(block_meta("b"))]
    log.commit(log.new_change(add=[block_meta("d")], remove=gone))
    return log


def open_log(store: MemoryObjectStore) -> CommitLog:
    settings = CommitSettings(checkpoint_commits=2)
    return CommitLog(store, ManualClock(), random.Random(1), writer="test", settings=settings)


def run(store: MemoryObjectStore) -> RebuildReport:
    return rebuild(store, ManualClock(), random.Random(2), writer="rebuild")


def names(blocks: BlockList) -> list[str]:
    return sorted(meta.id for meta in blocks.blocks(SHOP))


def test_a_sound_log_gives_the_same_list_again() -> None:
    store = MemoryObjectStore()
    log = fill(store)
    before = log.load()
    report = run(store)

    assert (report.sequence, report.blocks, report.removed, report.unreadable) == (4, 2, 2, ())
    after = log.load()
    assert names(after) == names(before) == ["c", "d"]
    assert set(after.removed) == set(before.removed)
    assert before.apply_all(log.read_after(3)) == after
    assert log.commit(log.new_change(add=[block_meta("e")])) == 5


def test_a_damaged_log_is_replaced_and_what_it_still_says_is_kept() -> None:
    store = MemoryObjectStore()
    log = fill(store)
    store.put(commit_key(2), b"damaged")
    store.put(LATEST_KEY, b"damaged")
    report = run(store)

    assert report.unreadable == (commit_key(2),)
    assert names(open_log(store).load()) == ["c", "d"]
    assert names(log.load()) == ["c", "d"]


def test_without_any_log_all_metas_count() -> None:
    store = MemoryObjectStore()
    fill(store)
    for info in list(store.list(INDEX_PREFIX)):
        store.delete(info.key)
    broken = meta_key(SHOP, block_meta("broken").id)
    store.put(broken, b"{")
    store.put("blocks/shop/moved/meta.json", block_meta("x").to_json())
    report = run(store)

    assert report.sequence == 1
    assert names(open_log(store).load()) == ["a", "b", "c", "d"]
    assert report.unreadable == tuple(sorted([broken, "blocks/shop/moved/meta.json"]))


def put_meta(store: MemoryObjectStore, meta: BlockMeta) -> BlockMeta:
    store.put(meta_key(meta.tenant, meta.id), meta.to_json())
    return meta


def test_what_a_whole_log_does_not_know_was_written_and_not_committed() -> None:
    store = MemoryObjectStore()
    log = fill(store)
    flushed = replace(block_meta("e"), wal_segments=("w1",))
    log.commit(log.new_change(add=[put_meta(store, flushed)]))
    put_meta(store, replace(block_meta("output"), level=1))
    put_meta(store, replace(block_meta("again"), wal_segments=("w1",)))
    put_meta(store, replace(block_meta("new"), wal_segments=("w2",)))
    # the end of the log may be lost without a trace: what is younger than all of it is taken
    put_meta(store, replace(block_meta("young"), level=1, created_ns=ManualClock().now_ns()))
    report = run(store)

    assert report.was_whole
    assert [ref.id for ref in report.uncommitted] == ["again", "output"]
    assert names(open_log(store).load()) == ["c", "d", "e", "new", "young"]


def test_of_a_damaged_log_all_blocks_are_taken_that_it_did_not_remove() -> None:
    store = MemoryObjectStore()
    fill(store)
    put_meta(store, replace(block_meta("output"), level=1))
    store.delete(commit_key(1))
    store.delete(commit_key(3))
    for info in list(store.list("index/checkpoints/")):
        store.delete(info.key)
    report = run(store)

    assert not report.was_whole
    assert names(open_log(store).load()) == ["a", "b", "c", "d", "output"]


def test_lost_metas_are_told_and_removed_blocks_are_remembered_without_theirs() -> None:
    store = MemoryObjectStore()
    log = fill(store)
    removed = set(log.load().removed)
    store.delete(meta_key(SHOP, block_meta("a").id))
    store.delete(meta_key(SHOP, block_meta("c").id))
    report = run(store)

    assert [ref.id for ref in report.lost] == ["c"]
    after = open_log(store).load()
    assert names(after) == ["d"]
    assert set(after.removed) == removed


def test_a_block_committed_while_it_runs_is_kept() -> None:
    store = MemoryObjectStore()
    log = fill(store)
    list_, has_committed = store.list, []

    def list_late(prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        yield from list_(prefix, after=after)
        if not has_committed:
            has_committed.append(True)
            log.commit(log.new_change(add=[put_meta(store, block_meta("late"))]))

    store.list = list_late  # type: ignore[method-assign]  # another process goes on
    report = run(store)

    assert report.sequence == 5
    assert names(open_log(store).load()) == ["c", "d", "late"]


def test_compacted_blocks_are_back_if_the_whole_log_is_lost() -> None:
    store = MemoryObjectStore()
    put_meta(store, replace(block_meta("output"), level=1))
    report = run(store)

    assert not report.was_whole
    assert names(open_log(store).load()) == ["output"]


def test_blocks_below_the_floor_that_were_never_committed_are_left_out() -> None:
    store = MemoryObjectStore()
    log = fill(store)
    log.commit(log.new_change(floor_ns=1000))
    put_meta(store, replace(block_meta("old"), created_ns=999))
    put_meta(store, replace(block_meta("recent"), created_ns=1000))
    report = run(store)

    assert [ref.id for ref in report.uncommitted] == ["old"]
    after = open_log(store).load()
    assert names(after) == ["c", "d", "recent"]
    assert after.floor_ns == 1000

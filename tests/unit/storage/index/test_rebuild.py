import random

from support.blocks import block_meta
from support.clocks import ManualClock

from tracestore.model.ids import TenantId
from tracestore.storage.index.blocklist import BlockList, ref_of
from tracestore.storage.index.commits import CommitLog, CommitSettings
from tracestore.storage.index.rebuild import RebuildReport, rebuild
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

"""Checking an index: what is whole passes, each kind of damage is named, leftovers are listed."""

from __future__ import annotations

import random

import pytest
from support.blocks import block_meta
from support.clocks import ManualClock

from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import TenantId, WriterId
from tracestore.storage.index.blocklist import ref_of
from tracestore.storage.index.check import CheckReport, check_index
from tracestore.storage.index.commits import CommitLog, CommitSettings
from tracestore.storage.index.objects import read_checkpoint
from tracestore.storage.index.rebuild import rebuild
from tracestore.storage.index.writers import WalHome, Writer, WriterChange
from tracestore.storage.objects.layout import (
    LATEST_KEY,
    block_key,
    checkpoint_key,
    commit_key,
    meta_key,
    wal_key,
)
from tracestore.storage.objects.memory import MemoryObjectStore

SHOP = TenantId("shop")
PRESENT = WriterId("018bcfe5-6800-7209-a29f-6fbed82c07cd")
GONE = WriterId("018bcfe5-6800-7209-a29f-6fbed82c07ce")


@pytest.fixture
def store() -> MemoryObjectStore:
    """An index of blocks 0 to 9, of which 0 was replaced by 9, and one open writer."""
    store = MemoryObjectStore()
    log = CommitLog(
        store,
        ManualClock(),
        random.Random(1),
        writer="test",
        settings=CommitSettings(checkpoint_commits=4),
    )
    for number in range(9):
        log.commit(log.new_change(add=[put_block(store, str(number))]))
    replaced = [ref_of(block_meta("0"))]
    log.commit(log.new_change(add=[put_block(store, "9")], remove=replaced))
    writer = Writer(id=PRESENT, instance="a", address="", wal=WalHome.BUCKET, owner=PRESENT)
    log.commit(log.new_change(writers=WriterChange(open=(writer,))))
    store.put(wal_key(PRESENT, 1), b"12")
    return store


def put_block(store: MemoryObjectStore, name: str) -> BlockMeta:
    meta = block_meta(name)
    store.put(block_key(SHOP, meta.id, "spans.parquet"), b"x" * 100)
    store.put(meta_key(SHOP, meta.id), meta.to_json())
    return meta


def problems(report: CheckReport) -> dict[str, str]:
    return {problem.key: problem.text for problem in report.problems}


def test_what_is_whole_has_no_problems(store: MemoryObjectStore) -> None:
    report = check_index(store)
    assert report.problems == ()
    assert report.orphans == ()
    assert (report.sequence, report.checkpoint) == (11, 8)
    assert (report.blocks, report.block_bytes) == (9, 900)
    assert (report.removed, report.removed_bytes) == (1, 100)
    assert [(w.writer.id, w.wal_objects, w.wal_bytes) for w in report.writers] == [(PRESENT, 1, 2)]


def test_an_empty_bucket_has_no_problems() -> None:
    assert check_index(MemoryObjectStore()).problems == ()


def test_objects_of_blocks_are_looked_for(store: MemoryObjectStore) -> None:
    three, four, five = (block_key(SHOP, block_meta(n).id, "spans.parquet") for n in "345")
    store.delete(three)
    store.put(four, b"x" * 99)
    store.put(five, b"x" * 101)
    store.delete(meta_key(SHOP, block_meta("6").id))
    store.delete(block_key(SHOP, block_meta("0").id, "spans.parquet"))  # removed: may go
    assert problems(check_index(store)) == {
        three: "the object is missing",
        four: "the object has 99 bytes and not 100",
        five: "the object has 101 bytes and not 100",
        meta_key(SHOP, block_meta("6").id): "the object is missing",
    }


def test_leftovers_are_listed_and_no_problems(store: MemoryObjectStore) -> None:
    left = ["blocks/shop/dead/spans.parquet", wal_key(GONE, 1), checkpoint_key(7)]
    for key in left:
        store.put(key, b"123")
    report = check_index(store)
    assert report.problems == ()
    assert {orphan.key for orphan in report.orphans} == set(left)
    assert report.orphan_bytes == 9


@pytest.mark.parametrize("number", [2, 6, 9, 10])
def test_a_missing_commit_is_named(store: MemoryObjectStore, number: int) -> None:
    store.delete(commit_key(number))
    assert problems(check_index(store)) == {commit_key(number): "the commit is missing"}


@pytest.mark.parametrize("number", [6, 9, 11])
def test_a_damaged_commit_is_named(store: MemoryObjectStore, number: int) -> None:
    store.put(commit_key(number), b"{")
    found = problems(check_index(store))
    assert found.keys() == {commit_key(number)}
    assert "not JSON" in found[commit_key(number)]


@pytest.mark.parametrize("number", [4, 8])
def test_a_checkpoint_has_to_say_what_the_log_says(store: MemoryObjectStore, number: int) -> None:
    other = MemoryObjectStore()
    log = CommitLog(other, ManualClock(), random.Random(1), writer="test")
    for name in range(number):
        log.commit(log.new_change(add=[block_meta(f"other-{name}")]))
    wrong = log.load().to_json(time_ns=1)
    store.put(checkpoint_key(number), wrong)
    found = problems(check_index(store))
    assert found[checkpoint_key(number)] == "is not what the commits add up to"


def test_a_lost_pointer_and_a_lost_checkpoint_are_named(store: MemoryObjectStore) -> None:
    store.delete(checkpoint_key(8))
    assert problems(check_index(store)) == {checkpoint_key(8): "the newest checkpoint is missing"}
    store.put(LATEST_KEY, b"[]")
    assert LATEST_KEY in problems(check_index(store))


@pytest.mark.parametrize(
    "damaged", [commit_key(3), commit_key(6), commit_key(10), commit_key(11), LATEST_KEY]
)
@pytest.mark.parametrize("is_gone", [True, False])
def test_after_a_rebuild_all_is_well(store: MemoryObjectStore, damaged: str, is_gone: bool) -> None:
    if is_gone:
        store.delete(damaged)
    else:
        store.put(damaged, b"{")
    rebuild(store, ManualClock(), random.Random(2), writer="rebuild")
    report = check_index(store)
    assert problems(report) == {}
    if damaged != commit_key(10):  # which alone says that 0 was replaced
        assert report.blocks == 9
    last = max(int(key.key[-25:-5]) for key in store.list("index/checkpoints/"))
    assert read_checkpoint(store, last).sequence == last

"""Writers in the index: opened, adopted, closed, and what a fence refuses."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from support.blocks import block_meta
from support.clocks import ManualClock

from tracestore.errors import ConflictError, FencedError
from tracestore.model.ids import WriterId
from tracestore.storage.index.blocklist import BlockList, Commit
from tracestore.storage.index.commits import CommitLog, CommitSettings
from tracestore.storage.index.rebuild import rebuild
from tracestore.storage.index.writers import Adoption, Fence, WalHome, Writer, WriterChange
from tracestore.storage.objects.memory import MemoryObjectStore

ONE, TWO = WriterId("writer-1"), WriterId("writer-2")


def make_writer(id: WriterId) -> Writer:
    return Writer(
        id=id, instance=f"{id}.pod", address="10.0.0.1:9095", wal=WalHome.BUCKET, owner=id
    )


def make_log(store: MemoryObjectStore, **settings: int) -> CommitLog:
    return CommitLog(
        store,
        ManualClock(),
        random.Random(1),
        writer="test",
        settings=CommitSettings(**settings),
        sleep=lambda _: None,
    )


def opened(*ids: WriterId) -> WriterChange:
    return WriterChange(open=tuple(make_writer(id) for id in ids))


ADOPTED = WriterChange(adopt=(Adoption(writer=ONE, owner=TWO, epoch=1),))


def test_writers_come_and_go() -> None:
    store = MemoryObjectStore()
    log = make_log(store)
    log.commit(log.new_change(writers=opened(ONE, TWO)))
    assert set(log.load().writers) == {ONE, TWO}
    log.commit(log.new_change(writers=WriterChange(close=(ONE,))))
    assert log.load().writers == {TWO: make_writer(TWO)}


def test_a_fence_holds_until_the_writer_is_adopted() -> None:
    store = MemoryObjectStore()
    log, other = make_log(store), make_log(store)
    log.commit(log.new_change(writers=opened(ONE, TWO)))
    fence = Fence(writer=ONE, epoch=0)
    log.commit(log.new_change(add=[block_meta("a")], fence=fence))
    other.commit(other.new_change(writers=ADOPTED))
    with pytest.raises(FencedError, match="adopted by writer-2"):
        log.commit(log.new_change(add=[block_meta("b")], fence=fence))
    log.commit(log.new_change(add=[block_meta("c")], fence=replace(fence, epoch=1)))
    other.commit(other.new_change(writers=WriterChange(close=(ONE,))))
    with pytest.raises(FencedError, match="is closed"):
        log.commit(log.new_change(add=[block_meta("d")], fence=replace(fence, epoch=1)))
    assert {meta.id for meta in log.load().blocks(block_meta("a").tenant)} == {
        block_meta("a").id,
        block_meta("c").id,
    }


def test_of_two_adopters_one_wins() -> None:
    store = MemoryObjectStore()
    log, other = make_log(store), make_log(store)
    log.commit(log.new_change(writers=opened(ONE, TWO)))
    log.commit(log.new_change(writers=ADOPTED))
    rival = WriterChange(adopt=(Adoption(writer=ONE, owner=WriterId("writer-3"), epoch=1),))
    with pytest.raises(ConflictError):
        other.commit(other.new_change(writers=rival))
    assert log.load().writers[ONE].owner == TWO


def test_a_change_made_twice_happens_once() -> None:
    store = MemoryObjectStore()
    log, other = make_log(store), make_log(store)
    change = log.new_change(writers=opened(ONE))
    assert log.commit(change) == log.commit(change) == other.commit(change) == 1
    adoption = log.new_change(writers=ADOPTED)
    assert log.commit(adoption) == other.commit(adoption) == 2


def test_checkpoints_and_commits_keep_writers() -> None:
    store = MemoryObjectStore()
    log = make_log(store, checkpoint_commits=2)
    log.commit(log.new_change(writers=opened(ONE, TWO)))
    log.commit(log.new_change(writers=ADOPTED))
    log.commit(log.new_change(add=[block_meta("a")]))
    expected = {ONE: replace(make_writer(ONE), owner=TWO, epoch=1), TWO: make_writer(TWO)}
    assert log.load().writers == expected
    assert rebuild(store, ManualClock(), random.Random(2), writer="test").sequence == 4
    assert log.load().writers == expected


def test_objects_without_writers_are_read() -> None:
    old = Commit(sequence=1, id="a", time_ns=1, writer="w").to_json()
    assert b"writers" not in old
    assert not BlockList().apply(Commit.from_json(old, key="k")).writers
    folded = BlockList().to_json(time_ns=1).replace(b',"writers":[]', b"")
    assert b"writers" not in folded
    assert BlockList.from_json(folded, key="k") == BlockList()

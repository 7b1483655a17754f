import json

import pytest
from support.blocks import block_meta

from tracestore.errors import CorruptionError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import BlockId, TenantId
from tracestore.storage.index.blocklist import BlockList, BlockRef, Commit, ref_of

SHOP = TenantId("shop")
BANK = TenantId("bank")


def commit(
    sequence: int,
    *,
    add: tuple[BlockMeta, ...] = (),
    remove: tuple[BlockMeta, ...] = (),
    forget: tuple[BlockMeta, ...] = (),
    reset: bool = False,
) -> Commit:
    return Commit(
        sequence=sequence,
        id=f"commit {sequence}",
        time_ns=sequence * 1000,
        writer="test",
        add=add,
        remove=tuple(map(ref_of, remove)),
        forget=tuple(map(ref_of, forget)),
        reset=reset,
    )


def test_blocks_are_kept_per_tenant_newest_first() -> None:
    old, new, same = (block_meta(name, end_ns=end) for name, end in (("a", 1), ("b", 9), ("c", 9)))
    other = block_meta("d", tenant="bank", end_ns=5)
    blocks = BlockList().apply(commit(1, add=(old, other, new))).apply(commit(2, add=(same,)))

    assert blocks.sequence == 2
    assert blocks.blocks(SHOP) == (same, new, old)
    assert blocks.blocks(BANK) == (other,)
    assert blocks.blocks(TenantId("nobody")) == ()
    assert blocks.find(BlockRef(SHOP, old.id)) == old
    assert blocks.find(BlockRef(BANK, old.id)) is None


def test_a_snapshot_does_not_change_when_the_next_is_made() -> None:
    first = block_meta("a")
    before = BlockList().apply(commit(1, add=(first,)))
    after = before.apply(commit(2, add=(block_meta("b"),), remove=(first,)))

    assert before.blocks(SHOP) == (first,)
    assert dict(before.removed) == {}
    assert [meta.id for meta in after.blocks(SHOP)] == ["b"]
    with pytest.raises(TypeError):
        after.tenants[SHOP] = ()  # type: ignore[index]  # proves that it is read-only


def test_a_removed_block_is_remembered_until_it_is_forgotten() -> None:
    first, second = block_meta("a", wal_segments=("w1",)), block_meta("b", wal_segments=("w2",))
    blocks = BlockList().apply(commit(1, add=(first, second))).apply(commit(2, remove=(first,)))

    assert blocks.wal_segments(SHOP) == {"w1", "w2"}
    assert blocks.removed_before(2000) == []
    assert [removed.meta for removed in blocks.removed_before(2001)] == [first]
    forgotten = blocks.apply(commit(3, forget=(first,)))
    assert forgotten.removed_before(10**9) == []
    assert forgotten.wal_segments(SHOP) == {"w2"}


def test_a_tenant_without_blocks_is_no_tenant() -> None:
    only = block_meta("a")
    blocks = BlockList().apply(commit(1, add=(only,))).apply(commit(2, remove=(only,)))

    assert dict(blocks.tenants) == {}


def test_a_commit_out_of_order_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        BlockList().apply(commit(2))


def test_a_reset_states_the_whole_list() -> None:
    gone, kept, removed = block_meta("a"), block_meta("b"), block_meta("c")
    blocks = BlockList().apply(commit(1, add=(gone,)))
    blocks = blocks.apply(commit(9, add=(kept, removed), remove=(removed,), reset=True))

    assert blocks.sequence == 9
    assert blocks.blocks(SHOP) == (kept,)
    assert list(blocks.removed) == [ref_of(removed)]


def test_commits_and_checkpoints_are_read_back_as_written() -> None:
    first, second = block_meta("a", end_ns=3), block_meta("b", tenant="bank")
    change = commit(1, add=(first, second), remove=(first,), forget=(second,), reset=True)
    blocks = BlockList().apply(commit(1, add=(first, second))).apply(commit(2, remove=(second,)))

    assert Commit.from_json(change.to_json(), key="k") == change
    assert BlockList.from_json(blocks.to_json(time_ns=5), key="k") == blocks


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"{}",
        json.dumps({"format_version": 2}).encode(),
        json.dumps({"format_version": 1, "sequence": "x"}).encode(),
        json.dumps({"format_version": 1, "sequence": 1, "add": 3, "blocks": [4]}).encode(),
    ],
)
def test_what_is_no_commit_is_corruption_that_names_its_key(content: bytes) -> None:
    with pytest.raises(CorruptionError, match="index/7"):
        Commit.from_json(content, key="index/7")
    with pytest.raises(CorruptionError, match="index/7"):
        BlockList.from_json(content, key="index/7")


def test_a_reference_is_of_one_tenant() -> None:
    assert BlockRef(SHOP, BlockId("a")) != BlockRef(BANK, BlockId("a"))

import pytest
from support.blocks import block_meta

from tracestore.model.ids import TenantId, WriterId
from tracestore.storage.index.blocklist import BlockList
from tracestore.storage.wal.ranges import WalRange, held_by_blocks, parse_range

WRITER = WriterId("0193a000-0000-7000-8000-000000000001")
OTHER = WriterId("0193a000-0000-7000-8000-000000000002")
SHOP, BANK = TenantId("shop"), TenantId("bank")


def test_a_range_comes_back_from_its_name() -> None:
    name = str(WalRange(WRITER, 1, 1200))
    assert name == f"{WRITER}/1-1200"
    assert parse_range(name) == WalRange(WRITER, 1, 1200)


@pytest.mark.parametrize("name", ["", WRITER, f"{WRITER}/1", f"{WRITER}/1-2-3", f"shop/{1}-{2}"])
def test_a_segment_on_disk_is_no_range(name: str) -> None:
    assert parse_range(name) is None


def test_what_blocks_hold_is_told_by_tenant_and_writer() -> None:
    metas = {
        SHOP: (
            block_meta("a", wal_segments=(f"{WRITER}/5-9", "segment on disk")),
            block_meta("b", wal_segments=(f"{WRITER}/1-3", f"{OTHER}/4-4")),
            block_meta("c", wal_segments=(f"{WRITER}/10-12",)),
        ),
        BANK: (block_meta("d", tenant="bank", wal_segments=(f"{WRITER}/2-20",)),),
    }
    held = held_by_blocks(BlockList(tenants=metas), WRITER)
    assert [n for n in range(25) if n in held.of(SHOP)] == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]
    assert [n for n in range(25) if n in held.of(BANK)] == list(range(2, 21))
    assert 1 not in held.of(TenantId("nobody"))
    assert held.last == 20
    assert held_by_blocks(BlockList(), WRITER).last == 0

from tracestore.model.ids import BlockId, TenantId
from tracestore.storage.objects import layout

TENANT = TenantId("shop")
BLOCK = BlockId("0190a5b2-0000-7000-8000-000000000001")


def test_keys_are_those_of_the_format_description() -> None:
    assert layout.block_key(TENANT, BLOCK, "spans.parquet") == f"blocks/shop/{BLOCK}/spans.parquet"
    assert layout.meta_key(TENANT, BLOCK) == f"blocks/shop/{BLOCK}/meta.json"
    assert layout.commit_key(7) == "index/00000000000000000007.json"
    assert layout.checkpoint_key(7) == "index/checkpoints/00000000000000000007.json"


def test_keys_are_read_back_and_others_are_not_mistaken_for_them() -> None:
    assert layout.parse_commit_key(layout.commit_key(12)) == 12
    assert layout.parse_checkpoint_key(layout.checkpoint_key(12)) == 12
    assert layout.parse_meta_key(layout.meta_key(TENANT, BLOCK)) == (TENANT, BLOCK)
    for key in (layout.LATEST_KEY, layout.checkpoint_key(1), "index/1.json"):
        assert layout.parse_commit_key(key) is None
    assert layout.parse_checkpoint_key(layout.commit_key(1)) is None
    assert layout.parse_meta_key(layout.block_key(TENANT, BLOCK, "filters")) is None


def test_byte_order_of_commit_keys_is_their_order() -> None:
    sequences = [1, 9, 10, 99, 100, 10**19]

    assert sorted(map(layout.commit_key, sequences)) == [layout.commit_key(n) for n in sequences]

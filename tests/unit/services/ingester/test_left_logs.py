import asyncio
from pathlib import Path

import pytest
from support.bucket_nodes import SHOP, HastyClock, Node
from support.faulty_store import keys

from tracestore.codec.wal_tombstone import Tombstone
from tracestore.model.ids import WriterId
from tracestore.services.ingester.left_logs import TOMBSTONE_LIFE_S, LeftLogs
from tracestore.storage.index.writers import WalHome
from tracestore.storage.objects.layout import wal_key
from tracestore.storage.objects.memory import MemoryObjectStore

LEFT = WriterId("0193a000-0000-7000-8000-000000000001")


class Tomorrow(HastyClock):
    """The clock of a later day."""

    def now_ns(self) -> int:
        return super().now_ns() + int(TOMBSTONE_LIFE_S * 1e9) + 1


class Bucket:
    """A bucket with a node that is in the index."""

    def __init__(self, directory: Path) -> None:
        self.store = MemoryObjectStore()
        self.node = Node(self.store, directory, "one", 1)

    def left(self, clock: HastyClock | None = None) -> LeftLogs:
        node = self.node
        return LeftLogs(self.store, node.follower, node.pools[0], clock or HastyClock())


@pytest.fixture
def bucket(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = Bucket(tmp_path)

    async def begin() -> None:
        await made.node.start()
        await made.node.append(SHOP, 1)

    asyncio.run(begin())
    yield made
    made.node.dispose()


def test_a_tombstone_stays_for_a_day(bucket: Bucket) -> None:
    bucket.store.put(wal_key(LEFT, 7), Tombstone(owner="x", epoch=1).to_bytes())
    bucket.store.put(wal_key(LEFT, 8), b"put when the log was sealed")

    bucket.left().look()
    assert wal_key(LEFT, 7) in keys(bucket.store)

    bucket.left(Tomorrow()).look()
    assert not keys(bucket.store, f"wal/{LEFT}/")
    assert len(keys(bucket.store, "wal/")) == 1, "the log of an open writer was deleted"


def test_a_log_that_the_index_has_lost_is_in_it_again_and_adopted(
    bucket: Bucket, tmp_path: Path
) -> None:
    bucket.node.log.close()
    for key in keys(bucket.store, "index/"):
        bucket.store.delete(key)
    other = Node(bucket.store, tmp_path, "two", 2)

    async def scenario() -> None:
        await other.start()
        left = LeftLogs(bucket.store, other.follower, other.pools[0], HastyClock())
        left.look()
        lost = bucket.node.writer.id
        assert lost not in other.follower.current().writers  # it may just be going away
        left.look()
        assert other.follower.current().writers[lost].wal is WalHome.BUCKET
        await other.adopt(lost)
        assert [meta.spans for meta in other.follower.current().blocks(SHOP)] == [1]

    try:
        asyncio.run(scenario())
    finally:
        other.dispose()


def test_the_log_of_an_open_writer_is_left_alone(bucket: Bucket) -> None:
    before = keys(bucket.store)
    left = bucket.left(Tomorrow())
    left.look()
    left.look()
    assert keys(bucket.store) == before

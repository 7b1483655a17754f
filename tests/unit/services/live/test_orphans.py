"""Logs that nobody answers for, as sources of queries."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import MappingProxyType

import pytest
from support.blocks import block_meta
from support.bucket_nodes import BANK, SHOP, body, in_sources
from support.faulty_store import FaultyStore

from tracestore.clock import SystemClock
from tracestore.codec.wal_tombstone import Tombstone
from tracestore.errors import UnavailableError
from tracestore.model.ids import TenantId, WriterId
from tracestore.model.tables import Table
from tracestore.services.live.orphans import BucketOrphans
from tracestore.settings.wal_tree import BucketWalSettings, WalSettings
from tracestore.storage.index.blocklist import BlockList
from tracestore.storage.index.writers import WalHome, Writer
from tracestore.storage.objects.layout import wal_key
from tracestore.storage.objects.memory import MemoryObjectStore
from tracestore.storage.wal.bucket_log import BucketLog
from tracestore.storage.wal.bucket_reader import seal_log
from tracestore.storage.wal.ranges import WalRange

ID = WriterId("0193a000-0000-7000-8000-000000000001")
WRITER = Writer(id=ID, instance="gone", address="", wal=WalHome.BUCKET, owner=ID)
OPEN = MappingProxyType({ID: WRITER})
NUMBERS = range(1, 40)


class Log:
    """A log, and who reads it."""

    def __init__(self, bytes_max: int = 1 << 30) -> None:
        self.bucket = MemoryObjectStore()
        self.store = FaultyStore(self.bucket)
        self.log = BucketLog(
            self.bucket,
            ID,
            WalSettings(store="bucket", bucket=BucketWalSettings(commit_interval_s=0.001)),
            SystemClock(),
            is_ours=lambda: True,
            on_lost=lambda: None,
        )
        self.orphans = BucketOrphans(self.store, attribute_columns_max=64, bytes_max=bytes_max)

    def append(self, tenant: TenantId, *numbers: int) -> None:
        """Each in an object of its own."""
        for number in numbers:
            self.log.append(tenant, body(number)).result(10)

    def seen(self, *tenants: TenantId, blocks: BlockList | None = None) -> list[int]:
        """The spans that a query finds, each as often as it is in a source."""
        blocks = BlockList(writers=OPEN) if blocks is None else blocks
        sources = self.orphans.sources(WRITER, tenants or (SHOP,), blocks)
        found = in_sources(sources, NUMBERS)
        assert sum(source.rows(Table.SPANS) for source in sources) == found.total()
        return sorted(found.elements())

    def requests(self) -> Sequence[str]:
        """Operations since the last call."""
        made = [operation for operation, _ in self.store.requests]
        self.store.requests.clear()
        return made


@pytest.fixture
def log():  # type: ignore[no-untyped-def]
    made = Log()
    yield made
    made.log.close()


def test_each_tenant_finds_what_was_acknowledged(log: Log) -> None:
    log.append(SHOP, 1, 2)
    log.append(BANK, 3)
    assert log.seen(SHOP) == [1, 2]
    assert log.seen(BANK) == [3]
    assert log.seen(SHOP, BANK) == [1, 2, 3]
    assert log.seen(TenantId("nobody")) == []


def test_a_log_is_listed_once_and_an_object_read_once(log: Log) -> None:
    log.append(SHOP, *range(1, 13))
    assert log.seen() == [*range(1, 13)]
    assert log.requests().count("list") == 1
    log.append(SHOP, 13)
    assert log.seen() == [*range(1, 14)]
    assert log.requests() == ["get", "get"]  # the new one, and the one that is not there
    seal_log(log.bucket, ID, Tombstone(owner="peer", epoch=1), held_last=0)
    assert log.seen() == [*range(1, 14)]
    assert log.requests() == ["get"]
    assert log.seen() == [*range(1, 14)]
    assert log.requests() == []


def test_what_a_block_holds_is_left_out_also_when_its_objects_are_gone(log: Log) -> None:
    log.append(SHOP, 1, 2, 3)
    assert log.seen() == [1, 2, 3]
    name = str(WalRange(ID, 1, 3))
    held = BlockList(writers=OPEN, tenants={SHOP: (block_meta("a", wal_segments=(name,)),)})
    assert log.seen(blocks=held) == []
    for number in (1, 2):
        log.bucket.delete(wal_key(ID, number))
    log.append(SHOP, 4)
    fresh = BucketOrphans(log.store, attribute_columns_max=64, bytes_max=1 << 30)
    log.orphans = fresh
    assert log.seen(blocks=held)[-1:] == [4]


def test_a_bucket_that_fails_half_way_leaves_nothing_double(log: Log) -> None:
    log.append(SHOP, *range(1, 13))
    key = wal_key(ID, 7)
    log.store.plan = lambda operation, asked: "refuse" if asked == key else ""
    with pytest.raises(UnavailableError):
        log.seen()
    log.store.plan = lambda operation, asked: ""
    assert log.seen() == [*range(1, 13)]


def test_more_than_memory_allows_is_refused_not_left_out(log: Log) -> None:
    log.append(SHOP, 1, 2, 3)
    log.orphans = BucketOrphans(
        log.store, attribute_columns_max=64, bytes_max=len(body(1)) * 2 + 10
    )
    for _ in range(2):
        with pytest.raises(UnavailableError, match="orphan_bytes_max"):
            log.seen()


def test_many_queries_at_once_see_the_same(log: Log) -> None:
    log.append(SHOP, *range(1, 31))
    found: list[list[int]] = []
    threads = [threading.Thread(target=lambda: found.append(log.seen())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[*range(1, 31)]] * 8

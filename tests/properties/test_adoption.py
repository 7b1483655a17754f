"""Processes die at any request to the bucket, adopters too: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import pytest
from support.bucket_nodes import BANK, ENDS, SHOP, Node, body, in_blocks, in_sources
from support.server import wait_until

from tracestore.model.ids import TenantId
from tracestore.services.live.orphans import BucketOrphans
from tracestore.storage.objects.layout import wal_key
from tracestore.storage.objects.memory import MemoryObjectStore
from tracestore.storage.wal.bucket_reader import list_numbers

REQUESTS = 14
NUMBERS = range(1, REQUESTS + 1)
TENANTS = (SHOP, BANK)


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dead adopter holds is free soon."""
    monkeypatch.setattr("tracestore.services.ingester.adoption.LEASE_S", 0.2)
    monkeypatch.setattr("tracestore.services.ingester.adoption.LOOK_S", 0.02)


def tenant_of(number: int) -> TenantId:
    return TENANTS[number % 3 == 0]


class Cluster:
    """A bucket, and what was acknowledged."""

    def __init__(self, directory: Path, *, samples: bool = False) -> None:
        """Args: samples: whether a policy drops the traces of odd numbers."""
        self.samples = samples
        self.bucket = MemoryObjectStore()
        self.directory = directory
        self.acknowledged: set[int] = set()
        self._seed = 0
        self._orphans = BucketOrphans(self.bucket, attribute_columns_max=64, bytes_max=1 << 30)

    def node(self, instance: str, dies_at: int | None = None) -> Node:
        self._seed += 1
        size = 1 << 20 if self._seed % 2 else len(body(1))  # all at once, or bit by bit
        policy = ("keep: { name = `even` }",) if self.samples else ()
        node = Node(
            *(self.bucket, self.directory, instance, self._seed),
            block_bytes_max=size,
            sampling=policy,
        )
        node.store.dies_at = dies_at
        return node

    async def write(self, node: Node, rng: random.Random) -> None:
        """Write and flush until done or dead."""
        with suppress(*ENDS):
            await node.start()
            for number in NUMBERS:
                await node.append(tenant_of(number), number)
                self.acknowledged.add(number)
                if rng.random() < 0.12:
                    await node.ingester.flush_all()

    def expected(self, tenant: TenantId) -> set[int]:
        """Name what has to be found, whoever dies."""
        known = {number for number in self.acknowledged if tenant_of(number) == tenant}
        return {number for number in known if not (self.samples and number % 2)}

    def see(self, node: Node) -> None:
        """Look with the eyes of a query: blocks, and the logs that nobody answers for."""
        blocks = node.follower.refresh()
        for tenant in TENANTS:
            expected = self.expected(tenant)
            stored = in_blocks(self.bucket, blocks, tenant, NUMBERS)
            live = [
                source
                for writer in blocks.writers.values()
                for source in self._orphans.sources(writer, [tenant], blocks)
            ]
            assert expected <= (stored + in_sources(live, NUMBERS)).keys()

    async def end(self, node: Node, writers: list[Node]) -> None:
        """Adopt what is left, and see that all is in blocks, once, and no log is open."""
        for writer in writers:
            await node.adopt_at_last(writer.writer.id)
        blocks = node.follower.refresh()
        assert set(blocks.writers) == {node.writer.id}
        for tenant in TENANTS:
            expected = self.expected(tenant)
            found = in_blocks(self.bucket, blocks, tenant, NUMBERS)
            assert expected <= found.keys()
            assert set(found.values()) <= {1}
            if self.samples:
                assert not any(number % 2 for number in found)
        for writer in writers:
            assert len(list_numbers(self.bucket, writer.writer.id)) <= 1  # the tombstone


async def scenario(directory: Path, seed: int, *, samples: bool) -> None:
    rng = random.Random(seed)
    cluster = Cluster(directory, samples=samples)
    nodes = [cluster.node("one", dies_at=rng.randint(2, 110))]
    try:
        await cluster.write(nodes[0], rng)
        nodes[0].store.dead = True
        observer = cluster.node("observer")
        nodes.append(observer)
        cluster.see(observer)
        for _ in range(rng.randint(0, 2)):
            nodes.append(cluster.node("adopter", dies_at=rng.randint(4, 60)))
            with suppress(*ENDS):
                await nodes[-1].start()
                await nodes[-1].adopt(nodes[0].writer.id)
            nodes[-1].store.dead = True
            cluster.see(observer)
        last = cluster.node("last")
        nodes.append(last)
        await last.start()
        dead = [node for node in nodes if node is not last and node is not observer]
        cluster_writers = last.follower.refresh().writers
        await cluster.end(last, [node for node in dead if node.writer.id in cluster_writers])
        cluster.see(observer)
        await last.stop()
        assert not last.follower.refresh().writers
    finally:
        for node in nodes:
            node.dispose()


@pytest.mark.parametrize("seed", range(12))
def test_whoever_dies_each_acknowledged_span_is_in_one_block_in_the_end(
    tmp_path: Path, seed: int
) -> None:
    asyncio.run(scenario(tmp_path, seed, samples=False))


@pytest.mark.parametrize("seed", range(8))
def test_whoever_dies_what_a_policy_keeps_is_in_one_block_and_nothing_else(
    tmp_path: Path, seed: int
) -> None:
    asyncio.run(scenario(tmp_path, seed, samples=True))


async def wakes_up(directory: Path, seed: int) -> None:
    """A writer is adopted while it lives, and goes on as if nothing had happened."""
    rng = random.Random(seed)
    cluster = Cluster(directory)
    sleeper, adopter = cluster.node("sleeper"), cluster.node("adopter")
    try:
        await cluster.write(sleeper, rng)
        # a put that was under way when the log was sealed, and arrived later
        cluster.bucket.put(wal_key(sleeper.writer.id, sleeper.log.acknowledged + 2), b"late")
        await adopter.start()
        await adopter.adopt(sleeper.writer.id)
        assert list_numbers(cluster.bucket, sleeper.writer.id) == [sleeper.log.acknowledged + 1]
        for number in NUMBERS:
            with suppress(*ENDS):
                await sleeper.append(SHOP, 100 + number)
                pytest.fail("a fenced writer acknowledged a span")
        with suppress(*ENDS):
            await sleeper.ingester.flush_all()
        wait_until(lambda: sleeper.own.is_lost)
        cluster.see(adopter)
        await cluster.end(adopter, [sleeper])
    finally:
        sleeper.dispose()
        adopter.dispose()


@pytest.mark.parametrize("seed", range(3))
def test_a_writer_that_was_declared_dead_can_do_no_harm(tmp_path: Path, seed: int) -> None:
    asyncio.run(wakes_up(tmp_path, seed))


async def race(directory: Path) -> None:
    """Several adopt at once; their requests to the bucket fail now and then."""
    cluster = Cluster(directory)
    writer = cluster.node("one")
    adopters = [cluster.node(f"adopter-{i}") for i in range(3)]
    last = cluster.node("last")
    try:
        await cluster.write(writer, random.Random(7))
        for i, node in enumerate(adopters):
            await node.start()
            node.store.random_faults(i, 0.1)

        async def attempt(node: Node) -> None:
            with suppress(*ENDS):
                await node.adopt(writer.writer.id)

        await asyncio.gather(*(attempt(node) for node in adopters))
        cluster.see(last)
        await last.start()
        for node in adopters:
            node.store.dead = True
        left = [n for n in (writer, *adopters) if n.writer.id in last.follower.refresh().writers]
        await cluster.end(last, left)
    finally:
        for node in (writer, *adopters, last):
            node.dispose()


def test_of_several_adopters_one_does_it(tmp_path: Path) -> None:
    asyncio.run(race(tmp_path))

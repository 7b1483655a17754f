"""A cluster of compactors over one bucket in memory, and blocks that come into it: for properties.

The wall clock stands still until a test moves it; a compactor may die at any request.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.clocks import ManualClock
from support.faulty_store import FaultyStore, StoppedError
from support.otlp import request

from tracestore.kernel import build_tables
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import TenantId, new_block_id
from tracestore.query.block_source import BlockSource
from tracestore.services.blocking import BlockingPool
from tracestore.services.compactor.garbage import Garbage
from tracestore.services.compactor.merging import BlockWork
from tracestore.services.compactor.service import Compactor
from tracestore.services.follower import IndexFollower
from tracestore.services.tenant_labels import TenantLabels
from tracestore.settings.compactor_tree import CompactionSettings, CompactorSettings
from tracestore.settings.limits import CompactionLimits, TenantLimits
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.table_reader import SpanTablesReader
from tracestore.storage.block.writer import BlockIdentity, BlockWriter
from tracestore.storage.index.blocklist import BlockList
from tracestore.storage.index.commits import CommitLog
from tracestore.storage.leases import LeaseStore
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.memory import MemoryObjectStore
from tracestore.storage.pins import Pins
from tracestore.telemetry import Metrics

TENANT = TenantId("shop")
BLOCKS = BlockSettings(row_group_spans=6)
SETTINGS = CompactionSettings(
    min_input_blocks=2, max_input_blocks=4, spans_max=30, garbage_interval_s=30.0
)


class CompactorNode:
    """One compactor, as in a process of its own."""

    def __init__(
        self,
        bucket: ObjectStore,
        clock: ManualClock,
        seed: int,
        *,
        limits: CompactionLimits,
        settings: CompactionSettings = SETTINGS,
    ) -> None:
        rng, metrics = random.Random(seed), Metrics(version="0")
        self.store = FaultyStore(bucket)
        self._pools = [
            BlockingPool(name, threads=1, waiting_max=8, refusal="full")
            for name in ("index", "compact")
        ]
        labels = TenantLabels(10)
        self.index = IndexFollower(
            CommitLog(self.store, clock, rng, writer=f"node {seed}", sleep=lambda seconds: None),
            *(self._pools[0], metrics, clock),
            interval_s=1.0,
            labels=labels,
        )
        work = BlockWork(
            store=self.store,
            index=self.index,
            leases=LeaseStore(self.store, clock, rng, holder=f"node {seed}"),
            pins=Pins(self.store, clock, pins_max=10),
            block_settings=BLOCKS,
            settings=settings,
            clock=clock,
            rng=rng,
            is_stopping=lambda: False,
        )
        self.compactor = Compactor(
            CompactorSettings(compaction=settings),
            *(self.index, work, Garbage(self.store, self.index, clock)),
            *(self._pools[1], metrics, clock, rng),
            limits=lambda tenant: replace(TenantLimits(), compaction=limits),
            labels=labels,
        )
        self.metrics = metrics

    def cycle(self) -> bool:
        """Do what is to be done. Returns: False if the process died over it."""

        async def once() -> None:
            await self.index.poll_once()
            await self.compactor.cycle_once()

        with suppress(StoppedError):
            asyncio.run(once())
        return not self.store.dead

    def close(self) -> None:
        """End its threads."""
        for pool in self._pools:
            pool.close()


class Bucket:
    """A bucket into which blocks are flushed."""

    def __init__(self, seed: int) -> None:
        self.clock = ManualClock()
        self.rng = random.Random(seed)
        self.store = MemoryObjectStore(self.clock)
        self._writer = BlockWriter(self.store, BLOCKS, self.clock)

    def write(self, spans: Sequence[Span]) -> BlockMeta:
        """Write the objects of a block; it is not committed."""
        tables = build_tables([request(resource={"service.name": "shop"}, spans=list(spans))])
        identity = BlockIdentity(id=new_block_id(self.clock.now_ns(), self.rng), tenant=TENANT)
        return self._writer.write(SpanTablesReader(tables), identity)

    def log(self) -> CommitLog:
        """Open the index."""
        return CommitLog(
            self.store, self.clock, self.rng, writer="flush", sleep=lambda seconds: None
        )

    def commit(self, meta: BlockMeta) -> None:
        """Let a block be seen. Raises: as ``CommitLog.commit``."""
        log = self.log()
        log.commit(log.new_change(add=[meta]))

    def flush(self, spans: Sequence[Span]) -> BlockMeta:
        """Write a block and let it be seen."""
        meta = self.write(spans)
        self.commit(meta)
        return meta

    def blocks(self) -> BlockList:
        """Read the index."""
        return self.log().load()

    def sources(self) -> list[BlockSource]:
        """Open the blocks that queries see."""
        return [
            BlockSource(self.store, meta, BlockCache(1 << 20))
            for meta in self.blocks().blocks(TENANT)
        ]

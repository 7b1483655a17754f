"""Ingesters with their logs in one bucket, of the real parts, that die where a test says so."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from support.faulty_store import FaultyStore, StoppedError
from support.otlp import request, span

from tracestore.clock import SystemClock
from tracestore.errors import ConflictError, UnavailableError
from tracestore.kernel import check
from tracestore.model.ids import TenantId, WriterId
from tracestore.model.results import QueryStats
from tracestore.query.block_source import BlockSource
from tracestore.query.source import SpanSource
from tracestore.services.blocking import BlockingPool
from tracestore.services.follower import IndexFollower
from tracestore.services.ingester.adoption import Adopter
from tracestore.services.ingester.flush import Flusher
from tracestore.services.ingester.own_writer import OwnWriter, new_writer_id
from tracestore.services.ingester.quarantine import Quarantine
from tracestore.services.ingester.sampling import Sampling, Stored
from tracestore.services.ingester.service import Durables, Ingester, IngesterPools
from tracestore.services.tenant_labels import TenantLabels
from tracestore.settings.limits import TenantLimits
from tracestore.settings.sampling_tree import SamplingSettings
from tracestore.settings.tree import BlockSettings, IngesterSettings
from tracestore.settings.wal_tree import BucketWalSettings, WalSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.writer import BlockWriter
from tracestore.storage.decisions import DroppedTraces
from tracestore.storage.index.blocklist import BlockList
from tracestore.storage.index.commits import CommitLog
from tracestore.storage.index.writers import WalHome, Writer
from tracestore.storage.leases import LeaseStore
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.wal.bucket_log import BucketLog
from tracestore.storage.wal.metrics import NO_WAL_METRICS
from tracestore.storage.wal.replay import Replay
from tracestore.telemetry import Metrics

SHOP, BANK = TenantId("shop"), TenantId("bank")
ENDS = (StoppedError, UnavailableError, ConflictError, TimeoutError)
"""How work ends in a process that dies, or is declared dead."""


class _DoneError(Exception):
    """Ends a group of tasks."""


class HastyClock(SystemClock):
    """The clock of the machine for whoever does not like to sleep."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.002))


def body(number: int) -> bytes:
    """A request with one span, of the trace of that number; odd ones are named otherwise."""
    name = "odd" if number % 2 else "even"
    return request(resource={"service.name": "s"}, spans=[span(trace=number, id=number, name=name)])


class Node:
    """One life of an ingester."""

    def __init__(
        self,
        bucket: ObjectStore,
        directory: Path,
        instance: str,
        seed: int,
        *,
        block_bytes_max: int = 1 << 20,
        sampling: tuple[str, ...] = (),
    ) -> None:
        clock, rng, metrics = HastyClock(), random.Random(seed), Metrics(version="0")
        self.store = FaultyStore(bucket)
        self.pools = [
            BlockingPool(name, threads=1, waiting_max=64, refusal="full")
            for name in ("index", "decode", "flush", "adopt")
        ]
        index, decode, flush, adopt = self.pools
        labels = TenantLabels(10)
        self.follower = IndexFollower(
            CommitLog(self.store, clock, rng, writer=instance),
            *(index, metrics, clock),
            interval_s=0.01,
            labels=labels,
        )
        id = new_writer_id(clock, rng)
        self.writer = Writer(id=id, instance=instance, address="", wal=WalHome.BUCKET, owner=id)
        self.own = OwnWriter(
            *(self.writer, self.follower, index, clock),
            holds_spans=lambda: self.ingester.holds_spans,
            expects_others=False,
            known_after_s=0.0,
        )
        wal = WalSettings(
            store="bucket",
            bucket=BucketWalSettings(commit_interval_s=0.001, answer_wait_s=0.3),
        )
        self.log = BucketLog(
            *(self.store, id, wal, clock), is_ours=self.own.is_ours, on_lost=self.own.lose
        )
        self.own.watch(self.log)
        self.ingester = Ingester(
            IngesterSettings(wal=wal, flush_retry_s=0.01, max_block_bytes=block_bytes_max),
            BlockSettings(),
            Durables(
                open_log=self.log.tenant,
                logged=list,
                replay=lambda tenant: Replay(directory / tenant),
                quarantine=Quarantine(directory),
                fence=lambda: self.own.fence,
            ),
            Flusher(
                BlockWriter(self.store, BlockSettings(), clock),
                *(self.follower.add_block, metrics, clock),
            ),
            IngesterPools(decode=decode, flush=flush),
            *(metrics, clock, rng),
            labels=labels,
            sampling=self._sampling(sampling, metrics),
        )
        self.adopter = Adopter(
            *(self.store, self.follower),
            LeaseStore(self.store, clock, rng, holder=instance),
            *(self.own, self.ingester, adopt, clock),
            is_alive=lambda writer: False,
            adopt_after_s=0.0,
            metrics=NO_WAL_METRICS,
        )

    def _sampling(self, policy: tuple[str, ...], metrics: Metrics) -> Sampling:
        return Sampling(
            SamplingSettings(decision_wait_s=0.0),
            lambda tenant: TenantLimits(sampling=policy),
            Stored(
                blocks=lambda tenant: self.follower.current().blocks(tenant),
                open=lambda meta: BlockSource(self.store, meta, BlockCache(1 << 20)),
                pinned=lambda tenant: frozenset(),
                dropped=DroppedTraces(self.store),
            ),
            *(metrics, HastyClock()),
            labels=TenantLabels(10),
        )

    async def start(self) -> None:
        """Become a writer."""
        await self.follower.start()
        await self.own.start()
        await self.ingester.start()

    async def append(self, tenant: TenantId, number: int) -> None:
        """Store a span; it is acknowledged when this returns."""
        payload = body(number)
        await asyncio.wait_for(
            asyncio.wrap_future(self.ingester.append(tenant, payload, check(payload))), 5
        )

    async def adopt(self, writer: WriterId) -> None:
        """Take in the log of a writer that is gone, unless it is closed."""
        found = self.follower.refresh().writers.get(writer)
        if found is None:
            return

        async def take_in() -> None:
            await self.adopter.take_in(found)
            raise _DoneError

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.ingester.run())
                tasks.create_task(take_in())
        except* _DoneError:
            pass
        except* ENDS as ended:
            raise StoppedError from ended

    async def adopt_at_last(self, writer: WriterId) -> None:
        """Try until the log is closed: a dead adopter may hold the lease for a while."""
        for _ in range(200):
            await self.adopt(writer)
            if writer not in self.follower.refresh().writers:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"writer {writer} is not closed")

    async def stop(self) -> None:
        """Drain, as after SIGTERM."""
        await self.ingester.drain()
        await self.own.drain()

    def dispose(self) -> None:
        """End the threads, as the end of the process does."""
        self.store.dead = True
        with suppress(*ENDS):
            self.log.close()
        for pool in self.pools:
            pool.close()


def in_sources(sources: Sequence[SpanSource], numbers: Sequence[int]) -> Counter[int]:
    """Count in how many sources each span is."""
    ids = {number.to_bytes(16, "big"): number for number in numbers}
    found: Counter[int] = Counter()
    for source in sources:
        for id, number in ids.items():
            found[number] += bool(source.find_traces([id], QueryStats()))
    return +found


def in_blocks(
    bucket: ObjectStore, blocks: BlockList, tenant: TenantId, numbers: Sequence[int]
) -> Counter[int]:
    """Count in how many blocks each span is; no block may hold more than these."""
    cache = BlockCache(1 << 20)
    metas = blocks.blocks(tenant)
    found = in_sources([BlockSource(bucket, meta, cache) for meta in metas], numbers)
    assert sum(meta.spans for meta in metas) == found.total()
    return found

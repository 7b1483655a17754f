"""Tenants with a sampling policy over a store in memory, and what an oracle says of the ratio."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import xxhash
from support.clocks import ManualClock
from support.fake_wal import FakeWal

from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, new_block_id
from tracestore.model.results import QueryStats
from tracestore.model.tables import SAMPLING_WEIGHT, Table
from tracestore.query.block_source import BlockSource
from tracestore.services.ingester.flush import Flusher
from tracestore.services.ingester.head import Head, Tap
from tracestore.services.ingester.quarantine import Quarantine
from tracestore.services.ingester.sampling import Sampling, Stored
from tracestore.services.ingester.tenant import TenantLive
from tracestore.services.tenant_labels import TenantLabels
from tracestore.settings.limits import TenantLimits
from tracestore.settings.sampling_tree import SamplingSettings
from tracestore.settings.tree import BlockSettings, IngesterSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.weights import has_weights
from tracestore.storage.block.writer import BlockWriter
from tracestore.storage.decisions import DroppedTraces
from tracestore.storage.index.writers import Fence
from tracestore.storage.objects.memory import MemoryObjectStore
from tracestore.telemetry import Metrics


def is_kept_by(ratio: float, trace_id: bytes) -> bool:
    """Whether a trace is of the share: XXH64 of its ID below ``ratio`` times 2^64."""
    return ratio == 1 or xxhash.xxh64_intdigest(trace_id) / 2**64 < ratio


class Bucket:
    """What outlives a process: objects, and the blocks that were committed."""

    def __init__(self) -> None:
        self.store = MemoryObjectStore()
        self.blocks: list[BlockMeta] = []
        self.pinned: frozenset[bytes] = frozenset()

    def open(self, meta: BlockMeta) -> BlockSource:
        return BlockSource(self.store, meta, BlockCache(1 << 20))

    def traces(self) -> dict[int, float]:
        """Get the stored traces, by number, with their weights; each in one block."""
        found: dict[int, float] = {}
        for meta in self.blocks:
            block, stats = self.open(meta), QueryStats()
            weighted = has_weights(block.schema(Table.TRACES))
            names = ["trace_id", *([SAMPLING_WEIGHT.name] if weighted else [])]
            columns = [
                column.to_pylist() for column in block.read(Table.TRACES, names, None, stats)
            ]
            weights = columns[1] if weighted else [1.0] * len(columns[0])
            for trace_id, weight in zip(columns[0], weights, strict=True):
                number = int.from_bytes(trace_id, "big")
                assert found.get(number, weight) == weight, "parts have different weights"
                found[number] = weight
        return found


class Node:
    """An ingester with one tenant: the life of a process, over a bucket that outlives it."""

    def __init__(
        self,
        bucket: Bucket,
        directory: Path,
        *sampling: str,
        drop: tuple[str, ...] = (),
        clock: ManualClock | None = None,
        settings: SamplingSettings | None = None,
        seed: int = 1,
        tap: Callable[[], Tap] | None = None,
    ) -> None:
        self.bucket = bucket
        self.clock = clock or ManualClock()
        self.limits = TenantLimits(sampling=sampling, drop=drop)
        self.metrics = Metrics(version="0")
        self.wal = FakeWal()
        self._rng = random.Random(seed)
        self._tap = tap
        self._quarantine = Quarantine(directory)
        self.sampling = Sampling(
            settings or SamplingSettings(),
            lambda tenant: self.limits,
            Stored(
                blocks=lambda tenant: tuple(bucket.blocks),
                open=bucket.open,
                pinned=lambda tenant: bucket.pinned,
                dropped=DroppedTraces(bucket.store),
            ),
            self.metrics,
            self.clock,
            labels=TenantLabels(10),
        )
        writer = BlockWriter(bucket.store, BlockSettings(), self.clock)
        self.tenant = TenantLive(
            SINGLE_TENANT,
            IngesterSettings(),
            self.wal,
            Flusher(writer, self.commit, self.metrics, self.clock),
            clock=self.clock,
            new_head=self.new_head,
            on_pending=lambda: None,
            sampling=self.sampling,
        )
        self.commit_error: Exception | None = None

    def new_head(self) -> Head:
        return Head(
            new_block_id(self.clock.now_ns(), self._rng),
            attribute_columns_max=512,
            refresh_s=0.25,
            clock=self.clock,
            quarantine=self._quarantine.keep,
            tap=None if self._tap is None else self._tap(),
        )

    def commit(self, meta: BlockMeta, fence: Fence | None = None) -> None:
        if self.commit_error is not None:
            raise self.commit_error
        self.bucket.blocks.append(meta)

    def flush(self) -> None:
        """Cut the head, and write it."""
        self.tenant.cut()
        for head in self.tenant.cut_heads:
            self.tenant.flush(head)

    def counted(self, name: str, decision: str) -> float:
        return self.metrics.value(
            f"tracestore_sampling_{name}_total", tenant=SINGLE_TENANT, decision=decision
        )

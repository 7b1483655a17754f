"""One piece of work on blocks, from the lease to the commit.

The commit removes the inputs and adds the outputs in one step, and is refused if an input is not in
the list any more: so two processes that did the same work, one of them paused in between, end with
the work of one. What the other wrote belongs to no block of the index, and is deleted.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tracestore.clock import Clock
from tracestore.errors import ConflictError, TracestoreError, UnavailableError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import TenantId
from tracestore.model.results import QueryStats
from tracestore.model.tables import Table
from tracestore.model.times import TimeRange
from tracestore.query.block_source import BlockSource
from tracestore.services.compactor.planning import RULES_APPLIED, RULES_OF
from tracestore.services.compactor.retention import Keeper, Retention
from tracestore.services.follower import IndexFollower
from tracestore.settings.compactor_tree import CompactionSettings
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.compaction.merge import MergeBounds, MergeResult, merge_blocks
from tracestore.storage.index.blocklist import ref_of
from tracestore.storage.leases import Lease, LeaseStore
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import block_key, meta_key
from tracestore.storage.pins import Pins

log = logging.getLogger(__name__)

NEAR_CACHE_BYTES = 64 * 1024 * 1024
"""Memory for what is read of blocks that are not merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of some blocks."""

    removed: tuple[BlockMeta, ...]
    added: tuple[BlockMeta, ...]
    traces_joined: int
    """Traces that came out of more than one part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockWork:
    """Does it. Synchronous; used from one thread."""

    store: ObjectStore
    index: IndexFollower
    leases: LeaseStore
    pins: Pins
    block_settings: BlockSettings
    settings: CompactionSettings
    clock: Clock
    rng: random.Random
    is_stopping: Callable[[], bool]

    def lease(self, name: str) -> Lease | None:
        """Take the lease of a piece of work; None: somebody else does it."""
        return self.leases.acquire(name, self.settings.lease_s)

    def rewrite(
        self,
        tenant: TenantId,
        inputs: Sequence[BlockMeta],
        retention: Retention,
        lease: Lease,
        *,
        applied_s: float,
    ) -> Done:
        """Merge blocks, without the traces whose time is over.

        Args:
            applied_s: age up to which this retention is applied by it.

        Raises: ConflictError if an input is gone, or a trace was pinned meanwhile; UnavailableError
            if the lease was lost; CorruptionError.
        """
        pinned = self.pins.all(tenant)
        now_ns = self.clock.now_ns()
        keep = Keeper(
            retention,
            pinned=pinned,
            clock=self.clock,
            now_ns=now_ns,
            newest_ns=max(meta.created_ns for meta in inputs),
            others=self._near(tenant, inputs) if retention.rules else (),
        )
        result = merge_blocks(
            self.store,
            inputs,
            settings=self.block_settings,
            clock=self.clock,
            rng=self.rng,
            bounds=merge_bounds(self.settings),
            keep=keep,
            check=lambda: self._check(lease),
        )
        outputs = tuple(_with_applied(meta, applied_s, retention.digest) for meta in result.metas)
        try:
            for meta in outputs:
                if meta.extra:
                    self.store.put(meta_key(tenant, meta.id), meta.to_json())
            if not self.pins.all(tenant) <= pinned:
                raise ConflictError(f"a trace of tenant {tenant} was pinned meanwhile")
            self._check(lease)
            self._commit(inputs, outputs)
        except (ConflictError, UnavailableError):
            self._discard(outputs)
            raise
        return Done(removed=tuple(inputs), added=outputs, traces_joined=_joined(result))

    def _near(self, tenant: TenantId, inputs: Sequence[BlockMeta]) -> list[BlockSource]:
        """Open the blocks that may hold further parts of the traces of some blocks."""
        reach_ns = int(self.settings.trace_reach_s * 1e9)
        window = TimeRange(
            start_ns=min(meta.start_ns for meta in inputs) - reach_ns,
            end_ns=max(meta.end_ns for meta in inputs) + reach_ns,
        )
        own = {meta.id for meta in inputs}
        cache = BlockCache(NEAR_CACHE_BYTES)
        return [
            BlockSource(self.store, meta, cache)
            for meta in self.index.current().blocks(tenant)
            if meta.id not in own and window.overlaps(meta.start_ns, meta.end_ns)
        ]

    def trace_ids(self, meta: BlockMeta) -> frozenset[bytes]:
        """Read the IDs of the traces of a block. Raises: as ``BlockReader.footer``."""
        source = BlockSource(self.store, meta, BlockCache(NEAR_CACHE_BYTES))
        (ids,) = source.read(Table.TRACES, ["trace_id"], None, QueryStats())
        return frozenset(ids.to_pylist())

    def remove(self, blocks: Sequence[BlockMeta]) -> Done:
        """Take blocks out of the index. Raises: ConflictError, UnavailableError."""
        self._commit(blocks, ())
        return Done(removed=tuple(blocks), added=(), traces_joined=0)

    def _commit(self, inputs: Sequence[BlockMeta], outputs: Sequence[BlockMeta]) -> None:
        refs = [ref_of(meta) for meta in inputs]
        self.index.commit(self.index.new_change(add=outputs, remove=refs))

    def _check(self, lease: Lease) -> None:
        """Stop if the work is not this process's any more, or the process is about to end."""
        if self.is_stopping():
            raise UnavailableError("the compactor is stopping")
        if lease.remaining_s < self.settings.lease_s / 2 and not lease.renew():
            raise UnavailableError(f"lease {lease.name} was lost")

    def _discard(self, outputs: Sequence[BlockMeta]) -> None:
        """Delete what nobody will ever see, unless the commit may have happened after all."""
        try:
            listed = self.index.refresh()
            for meta in outputs:
                if listed.find(ref_of(meta)) is None and ref_of(meta) not in listed.removed:
                    delete_block(self.store, meta)
        except TracestoreError as error:
            log.warning("blocks of no use were not deleted", extra={"error": str(error)})


def merge_bounds(settings: CompactionSettings) -> MergeBounds:
    """Say what a merge may take."""
    return MergeBounds(
        spans_max=settings.spans_max,
        input_bytes_max=settings.merge_input_bytes_max,
        output_bytes_max=settings.merge_output_bytes_max,
        spool_dir=settings.spool_dir or None,
    )


def delete_block(store: ObjectStore, meta: BlockMeta) -> None:
    """Delete the objects of a block, its meta first, so that no rebuild takes it for whole."""
    store.delete(meta_key(meta.tenant, meta.id))
    store.delete_many([block_key(meta.tenant, meta.id, name) for name in meta.object_bytes])


def _with_applied(meta: BlockMeta, applied_s: float, digest: str) -> BlockMeta:
    if not applied_s:
        return meta
    return replace(meta, extra={**meta.extra, RULES_APPLIED: applied_s, RULES_OF: digest})


def _joined(result: MergeResult) -> int:
    return max(0, result.traces_in - result.traces_dropped - result.traces_out)

"""The ingester as a part of a process: the write-ahead log and the live tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracestore.api.roles.cluster import ClusterPart
from tracestore.api.roles.compactor import make_pins
from tracestore.api.roles.ground import Ground
from tracestore.api.roles.wal import WalPart
from tracestore.model.ids import SINGLE_TENANT, TenantId, WriterId
from tracestore.query.block_source import BlockSource
from tracestore.services.ingester.flush import Flusher
from tracestore.services.ingester.head import Tap
from tracestore.services.ingester.pushes import SERVICE, Pushes
from tracestore.services.ingester.sampling import Sampling, Stored
from tracestore.services.ingester.service import Ingester, IngesterPools
from tracestore.services.lifecycle import Service
from tracestore.services.live.pins import SERVICE as LIVE_SERVICE
from tracestore.services.live.pins import LivePins
from tracestore.services.members.member import Role
from tracestore.services.sampling.policy import policy_of
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.writer import BlockWriter
from tracestore.storage.decisions import DroppedTraces

STORED_CACHE_BYTES = 32 * 1024 * 1024
"""Memory for what is read of blocks to find traces that late spans belong to."""


class IngesterRole:
    """Makes the ingester, and what takes spans for it from other processes."""

    def __init__(
        self,
        ground: Ground,
        cluster: ClusterPart,
        taps: Callable[[TenantId], Tap] | None = None,
    ) -> None:
        """Args: taps: make what counts the spans of a tenant's head as they come."""
        self._wal = WalPart(ground, cluster)
        self.ingester = Ingester(
            ground.settings.ingester,
            ground.settings.storage.block,
            self._wal.durables(),
            Flusher(
                BlockWriter(ground.store, ground.settings.storage.block, ground.clock),
                ground.follower.add_block,
                ground.metrics,
                ground.clock,
            ),
            IngesterPools(decode=ground.pools.decode, flush=ground.pools.flush),
            ground.metrics,
            ground.clock,
            ground.rng,
            labels=ground.labels,
            taps=taps,
            always=() if ground.settings.multitenancy_enabled else (SINGLE_TENANT,),
            sampling=make_sampling(ground),
        )
        self._pushes = Pushes(
            self.ingester,
            ground.pools.receive,
            ground.metrics,
            ground.clock,
            bytes_max=ground.settings.ingester.push_bytes_max,
            leave_s=ground.settings.distributor.push.leave_s,
            has_others=lambda: cluster.has_others(Role.DISTRIBUTOR),
        )
        ground.rpc.add(SERVICE, self._pushes.methods)
        self.pins = LivePins(
            ground.settings.query.live,
            self.ingester.sources,
            ground.pools.live,
            ground.clock,
            ground.rng,
            is_ready=lambda: self.ingester.is_ready,
            writers=self._wal.writers,
            index_sequence=lambda: ground.follower.current().sequence,
        )
        ground.rpc.add(LIVE_SERVICE, self.pins.methods)
        ground.rpc.add_streams(LIVE_SERVICE, self.pins.streams)

    def writers(self) -> Sequence[WriterId]:
        """Name the writers for whose logs the live tables here stand."""
        return self._wal.writers()

    def services(self) -> list[Service]:
        """Get what runs, in the order of the start."""
        wal = self._wal
        return [*wal.before(), self.ingester, self._pushes, *wal.after(self.ingester)]


def make_sampling(ground: Ground) -> Sampling:
    """Make what judges traces. Raises: SettingsError for a policy that cannot be worked with."""
    policy_of(ground.settings.overrides.defaults)
    cache = BlockCache(STORED_CACHE_BYTES)
    return Sampling(
        ground.settings.ingester.sampling,
        ground.overrides.limits,
        Stored(
            blocks=lambda tenant: ground.follower.current().blocks(tenant),
            open=lambda meta: BlockSource(ground.store, meta, cache),
            pinned=make_pins(ground).all,
            dropped=DroppedTraces(ground.store),
        ),
        ground.metrics,
        ground.clock,
        labels=ground.labels,
    )

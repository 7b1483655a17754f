"""What the queries of a process look at: its own live tables, or those of the whole cluster."""

from __future__ import annotations

from collections.abc import Sequence

from tracestore.api.roles.ground import Ground
from tracestore.api.roles.ingester import IngesterRole
from tracestore.model.ids import TenantId
from tracestore.query.source import SpanSource
from tracestore.services.live.orphans import BucketOrphans
from tracestore.services.live.pins import SERVICE, LivePins
from tracestore.services.live.remote import LiveClients
from tracestore.services.live.snapshot import ClusterSnapshots
from tracestore.storage.wal.metrics import NO_WAL_METRICS


class NoLiveTables:
    """What a process without an ingester has."""

    def sources(self, tenant: TenantId) -> Sequence[SpanSource]:
        """Get nothing."""
        return ()

    def has(self, tenant: TenantId) -> bool:
        """Say so."""
        return False


class LiveReads:
    """The live tables of other processes, and what others read of this one, for its queries."""

    def __init__(self, ground: Ground, ingester: IngesterRole | None) -> None:
        self.clients = LiveClients(ground.settings.query.live)
        ground.held.callback(self.clients.close)
        self.pins = _pins_alone(ground) if ingester is None else ingester.pins
        self.snapshots = _make_snapshots(ground, ingester, self.clients)


def _pins_alone(ground: Ground) -> LivePins:
    """Make what holds sources of queries in a process that has no live tables."""
    pins = LivePins(
        ground.settings.query.live,
        NoLiveTables().sources,
        ground.pools.live,
        ground.clock,
        ground.rng,
        is_ready=lambda: True,
        writers=tuple,
        index_sequence=lambda: ground.follower.current().sequence,
    )
    ground.rpc.add(SERVICE, pins.methods)
    ground.rpc.add_streams(SERVICE, pins.streams)
    return pins


def _make_snapshots(
    ground: Ground, ingester: IngesterRole | None, clients: LiveClients
) -> ClusterSnapshots:
    return ClusterSnapshots(
        ground.settings.query.live,
        ground.follower,
        clients,
        ground.clock,
        own=None if ingester is None else ingester.ingester,
        own_writers=tuple if ingester is None else ingester.writers,
        orphans=BucketOrphans(
            ground.store,
            attribute_columns_max=ground.settings.storage.block.attribute_columns_max,
            bytes_max=ground.settings.ingester.wal.bucket.orphan_bytes_max,
            metrics=NO_WAL_METRICS,
        ),
    )

"""What the queries of a process look at: its own live tables, or those of the whole cluster."""

from __future__ import annotations

from collections.abc import Sequence

from tracestore.api.roles.ground import Ground
from tracestore.api.roles.ingester import IngesterRole
from tracestore.model.ids import TenantId
from tracestore.query.source import SpanSource
from tracestore.services.live.orphans import BucketOrphans
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


def make_snapshots(ground: Ground, ingester: IngesterRole | None) -> ClusterSnapshots | None:
    """Make what takes snapshots of the cluster; None if the store is this process's alone."""
    if not ground.is_shared:
        return None
    clients = LiveClients(ground.settings.query.live)
    ground.held.callback(clients.close)
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

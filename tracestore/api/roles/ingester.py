"""The ingester as a part of a process: the write-ahead log and the live tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tracestore.api.roles.cluster import ClusterPart
from tracestore.api.roles.ground import Ground
from tracestore.model.ids import SINGLE_TENANT, TenantId, WriterId
from tracestore.services.ingester.flush import Flusher
from tracestore.services.ingester.pushes import SERVICE, Pushes
from tracestore.services.ingester.service import Durables, Ingester, IngesterPools
from tracestore.services.ingester.tenant import Quarantine
from tracestore.services.instruments import WalInstruments
from tracestore.services.lifecycle import Service
from tracestore.services.live.pins import SERVICE as LIVE_SERVICE
from tracestore.services.live.pins import LivePins
from tracestore.services.members.member import Role
from tracestore.settings.tree import Settings
from tracestore.storage.block.writer import BlockWriter
from tracestore.storage.wal.log import WriteAheadLog
from tracestore.storage.wal.replay import (
    QUARANTINE,
    Replay,
    check_own_directory,
    list_tenants,
)


def wal_directory(settings: Settings) -> Path:
    """Where the write-ahead logs of the tenants are."""
    return Path(settings.ingester.wal.path or Path(settings.storage.path) / "wal")


class IngesterRole:
    """Makes the ingester, and what takes spans for it from other processes."""

    def __init__(self, ground: Ground, cluster: ClusterPart) -> None:
        self.ingester = Ingester(
            ground.settings.ingester,
            ground.settings.storage.block,
            _make_durables(ground),
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
            always=() if ground.settings.multitenancy_enabled else (SINGLE_TENANT,),
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
        pins = LivePins(
            ground.settings.query.live,
            self.ingester.sources,
            ground.pools.live,
            ground.clock,
            ground.rng,
            is_ready=lambda: self.ingester.is_ready,
            writers=self.writers,
            index_sequence=lambda: ground.follower.current().sequence,
        )
        ground.rpc.add(LIVE_SERVICE, pins.methods)
        ground.rpc.add_streams(LIVE_SERVICE, pins.streams)

    def writers(self) -> Sequence[WriterId]:
        """Name the writers for whose logs the live tables here stand."""
        return ()

    def services(self) -> list[Service]:
        """Get what runs, in the order of the start."""
        return [self.ingester, self._pushes]


def _make_durables(ground: Ground) -> Durables:
    settings = ground.settings
    wal = wal_directory(settings)
    instruments = WalInstruments(ground.metrics)

    def open_log(tenant: TenantId) -> WriteAheadLog:
        opened = WriteAheadLog(
            wal / tenant, settings.ingester.wal, ground.clock, tenant, metrics=instruments
        )
        check_own_directory(wal, tenant)
        return opened

    def replay(tenant: TenantId) -> Replay:
        held_by_blocks = ground.follower.current().wal_segments(tenant)
        return Replay(wal / tenant, held_by_blocks, metrics=instruments)

    return Durables(
        open_log=open_log,
        logged=lambda: list_tenants(wal),
        replay=replay,
        quarantine=Quarantine(wal / QUARANTINE),
    )

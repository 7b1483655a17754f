"""Where the write-ahead log of a process lies, and what others must know of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tracestore.api.roles.cluster import ClusterPart
from tracestore.api.roles.ground import Ground
from tracestore.errors import SettingsError
from tracestore.model.ids import TenantId, WriterId
from tracestore.services.ingester.adoption import Adopter
from tracestore.services.ingester.left_logs import LeftLogs
from tracestore.services.ingester.moved_log import MovedLog
from tracestore.services.ingester.own_writer import OwnWriter, new_writer_id, writer_id_on_disk
from tracestore.services.ingester.quarantine import Quarantine
from tracestore.services.ingester.service import Durables, Ingester
from tracestore.services.ingester.tenant import Log
from tracestore.services.instruments import WalInstruments
from tracestore.services.lifecycle import Service
from tracestore.settings.tree import Settings
from tracestore.storage.index.writers import Fence, WalHome, Writer
from tracestore.storage.leases import LeaseStore
from tracestore.storage.wal.bucket_log import BucketLog
from tracestore.storage.wal.log import WriteAheadLog
from tracestore.storage.wal.replay import QUARANTINE, Replay, check_own_directory, list_tenants


def wal_directory(settings: Settings) -> Path:
    """Where the write-ahead logs of the tenants are."""
    return Path(settings.ingester.wal.path or Path(settings.storage.path) / "wal")


class WalPart:
    """Makes the log. On a shared bucket the process is a writer of the index, too."""

    def __init__(self, ground: Ground, cluster: ClusterPart) -> None:
        """Raises: SettingsError if the log is to lie in a bucket and there is none."""
        self._ground = ground
        self._cluster = cluster
        self._instruments = WalInstruments(ground.metrics)
        self._directory = wal_directory(ground.settings)
        settings = ground.settings.ingester.wal
        in_bucket = settings.store == WalHome.BUCKET
        if in_bucket and not ground.is_shared:
            raise SettingsError(
                "ingester.wal.store is bucket, and storage.backend is local: set that to s3, or "
                "leave the log on the disk"
            )
        self._holder: list[Ingester] = []
        self._own = self._make_writer(in_bucket) if ground.is_shared else None
        self._bucket_log: BucketLog | None = None
        if in_bucket and self._own is not None:
            self._bucket_log = BucketLog(
                ground.store,
                self._own.writer.id,
                settings,
                ground.clock,
                is_ours=self._own.is_ours,
                on_lost=self._own.lose,
                metrics=self._instruments,
            )
            self._own.watch(self._bucket_log)
        self._adopter: Adopter | None = None

    def _make_writer(self, in_bucket: bool) -> OwnWriter:
        ground, cluster = self._ground, self._cluster
        if in_bucket:
            id = new_writer_id(ground.clock, ground.rng)
        else:
            id = writer_id_on_disk(self._directory, ground.clock, ground.rng)
        writer = Writer(
            id=id,
            instance=cluster.instance,
            address=cluster.address,
            wal=WalHome.BUCKET if in_bucket else WalHome.DISK,
            owner=id,
            opened_ns=ground.clock.now_ns(),
        )
        cluster.writer = lambda: id
        return OwnWriter(
            writer,
            ground.follower,
            ground.pools.index,
            ground.clock,
            holds_spans=lambda: any(ingester.holds_spans for ingester in self._holder),
            expects_others=ground.settings.members.configured,
            known_after_s=ground.settings.query.live.index_age_max_s,
        )

    def durables(self) -> Durables:
        """Get what the ingester writes to and replays from."""
        directory = self._directory

        def replay(tenant: TenantId) -> Replay:
            held_by_blocks = self._ground.follower.current().wal_segments(tenant)
            return Replay(directory / tenant, held_by_blocks, metrics=self._instruments)

        # what an earlier life left in the bucket is adopted, what it left on this disk is replayed,
        # whatever the settings say now
        return Durables(
            open_log=self._open_log,
            logged=lambda: list_tenants(directory),
            replay=replay,
            quarantine=Quarantine(
                directory / QUARANTINE,
                None if self._bucket_log is None else self._ground.store,
            ),
            fence=self._fence,
        )

    def _open_log(self, tenant: TenantId) -> Log:
        if self._bucket_log is not None:
            return self._bucket_log.tenant(tenant)
        ground = self._ground
        opened = WriteAheadLog(
            self._directory / tenant,
            ground.settings.ingester.wal,
            ground.clock,
            tenant,
            metrics=self._instruments,
        )
        check_own_directory(self._directory, tenant)
        return opened

    def _fence(self) -> Fence | None:
        return None if self._own is None else self._own.fence

    def writers(self) -> Sequence[WriterId]:
        """Name the writers for whose logs the live tables of this process stand."""
        if self._own is None or self._own.is_lost:
            return ()
        adopted = () if self._adopter is None else self._adopter.answered
        return (self._own.writer.id, *adopted)

    def before(self) -> list[Service]:
        """Get what starts before the ingester, and drains after it."""
        return [] if self._own is None else [self._own]

    def after(self, ingester: Ingester) -> list[Service]:
        """Get what starts after the ingester, and drains before it."""
        self._holder = [ingester]
        if self._own is None:
            return []
        ground, cluster = self._ground, self._cluster
        self._adopter = Adopter(
            ground.store,
            ground.follower,
            LeaseStore(ground.store, ground.clock, ground.rng, holder=cluster.instance),
            self._own,
            ingester,
            ground.pools.adopt,
            ground.clock,
            is_alive=lambda writer: cluster.members.current().of_writer(writer) is not None,
            adopt_after_s=ground.settings.ingester.wal.adopt_after_s,
            metrics=self._instruments,
        )
        left = LeftLogs(ground.store, ground.follower, ground.pools.index, ground.clock)
        services: list[Service] = [self._adopter, left]
        if self._bucket_log is not None:
            services[:0] = [
                MovedLog(
                    self._directory,
                    ground.follower,
                    self._own,
                    ground.pools.index,
                    flush_all=ingester.flush_all,
                )
            ]
        return services

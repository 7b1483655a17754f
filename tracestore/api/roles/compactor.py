"""The compactor as a part of a process, and the pins that it heeds."""

from __future__ import annotations

from tracestore.api.pins import PinRoutes
from tracestore.api.roles.cluster import ClusterPart
from tracestore.api.roles.ground import Ground
from tracestore.services.compactor.garbage import Garbage
from tracestore.services.compactor.merging import BlockWork
from tracestore.services.compactor.retention import rules_of
from tracestore.services.compactor.service import Compactor
from tracestore.services.lifecycle import Service
from tracestore.storage.leases import LeaseStore
from tracestore.storage.pins import Pins


class CompactorRole:
    """Makes the compactor. Raises: SettingsError for a retention rule that cannot be read."""

    def __init__(self, ground: Ground, cluster: ClusterPart) -> None:
        rules_of(ground.settings.overrides.defaults.compaction.retention_rules)
        settings = ground.settings.compactor
        work = BlockWork(
            store=ground.store,
            index=ground.follower,
            leases=LeaseStore(ground.store, ground.clock, ground.rng, holder=cluster.instance),
            pins=make_pins(ground),
            block_settings=ground.settings.storage.block,
            settings=settings.compaction,
            clock=ground.clock,
            rng=ground.rng,
            is_stopping=lambda: cluster.is_stopping,
        )
        self.compactor = Compactor(
            settings,
            ground.follower,
            work,
            Garbage(ground.store, ground.follower, ground.clock),
            ground.pools.compact,
            ground.metrics,
            ground.clock,
            ground.rng,
            limits=ground.overrides.limits,
            labels=ground.labels,
        )

    def services(self) -> list[Service]:
        """Get what runs."""
        return [self.compactor]


def make_pins(ground: Ground) -> Pins:
    """Make what knows the pinned traces."""
    pins_max = ground.settings.compactor.compaction.pins_max
    return Pins(ground.store, ground.clock, pins_max=pins_max)


def add_pin_routes(ground: Ground) -> None:
    """Serve the API of pins."""
    pins = PinRoutes(tenancy=ground.tenancy, pins=make_pins(ground), pool=ground.pools.index)
    pins.add_to(ground.routes, ground.prefix)

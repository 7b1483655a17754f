"""The metrics-generator as a part of a process."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from tracestore.api.roles.cluster import ClusterPart
from tracestore.api.roles.ground import Ground
from tracestore.model.collection import Collection
from tracestore.services.generator.inbox import SERVICE, GeneratorInbox
from tracestore.services.generator.service import MetricsGenerator
from tracestore.services.lifecycle import Service
from tracestore.services.members.member import Role


class GeneratorRole:
    """Makes what counts spans, and what sends the counts on."""

    def __init__(self, ground: Ground, cluster: ClusterPart) -> None:
        sinks: Sequence[Callable[[Collection], None]] = ()
        self.generator = MetricsGenerator(
            ground.settings.metrics_generator,
            ground.generators.generator,
            sinks,
            ground.pools.generate,
            ground.metrics,
            ground.clock,
            labels=ground.labels,
            instance=socket.gethostname(),
        )

        self.inbox = GeneratorInbox(
            self.generator.tap,
            ground.pools.decode,
            ground.metrics,
            ground.clock,
            bytes_max=ground.settings.metrics_generator.queue_bytes_max,
            interval_s=ground.settings.ingester.decode_interval_s,
            leave_s=ground.settings.distributor.push.leave_s,
            has_others=lambda: cluster.has_others(Role.DISTRIBUTOR),
        )
        ground.rpc.add(SERVICE, self.inbox.methods)

    def services(self) -> list[Service]:
        """Get what runs, in the order of the start: spans are counted until the last is decoded."""
        return [self.generator, self.inbox]

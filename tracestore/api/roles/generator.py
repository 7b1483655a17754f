"""The metrics-generator as a part of a process."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from tracestore.api.generated import GeneratedMetrics
from tracestore.api.roles.cluster import ClusterPart
from tracestore.api.roles.ground import Ground
from tracestore.model.ids import TenantId
from tracestore.services.generator.inbox import SERVICE, GeneratorInbox
from tracestore.services.generator.remote_write.writer import RemoteWriter, WriterParts
from tracestore.services.generator.service import MetricsGenerator
from tracestore.services.lifecycle import Service
from tracestore.services.members.member import Role


class GeneratorRole:
    """Makes what counts spans, and what sends the counts on."""

    def __init__(self, ground: Ground, cluster: ClusterPart) -> None:
        settings = ground.settings.metrics_generator

        def headers_of(tenant: TenantId) -> Mapping[str, str]:
            return dict(ground.generators.generator(tenant).limits.remote_write_headers)

        self._writer = RemoteWriter(
            WriterParts(
                settings=settings.storage,
                headers_of=headers_of,
                metrics=ground.metrics,
                labels=ground.labels,
                clock=ground.clock,
                rng=ground.rng,
            )
        )
        self.generator = MetricsGenerator(
            settings,
            ground.generators.generator,
            (self._writer.offer_waiting,),
            ground.pools.generate,
            ground.metrics,
            ground.clock,
            labels=ground.labels,
            instance=socket.gethostname(),
        )
        GeneratedMetrics(
            tenancy=ground.tenancy, latest=self.generator.latest, pool=ground.pools.generate
        ).add_to(ground.routes)

        self.inbox = GeneratorInbox(
            self.generator.tap,
            ground.pools.decode,
            ground.metrics,
            ground.clock,
            bytes_max=settings.queue_bytes_max,
            interval_s=ground.settings.ingester.decode_interval_s,
            leave_s=ground.settings.distributor.push.leave_s,
            has_others=lambda: cluster.has_others(Role.DISTRIBUTOR),
        )
        ground.rpc.add(SERVICE, self.inbox.methods)

    def services(self) -> list[Service]:
        """Get what runs, in the order of the start: spans are counted until the last is decoded,
        and what was counted last is sent."""
        return [self._writer, self.generator, self.inbox]

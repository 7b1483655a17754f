"""The metrics-generator as a part of a process."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from tracestore.api.roles.ground import Ground
from tracestore.model.collection import Collection
from tracestore.services.generator.service import MetricsGenerator
from tracestore.services.lifecycle import Service


class GeneratorRole:
    """Makes what counts spans, and what sends the counts on."""

    def __init__(self, ground: Ground) -> None:
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

    def services(self) -> list[Service]:
        """Get what runs, in the order of the start: spans are counted until the last is decoded."""
        return [self.generator]

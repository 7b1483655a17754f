"""A tenant's metrics without a process, and what a collection says as a dictionary."""

from __future__ import annotations

from collections.abc import Callable

from support.clocks import ManualClock

from tracestore.kernel import SpanBuilder
from tracestore.model.collection import Collection
from tracestore.model.ids import TenantId
from tracestore.services.generator.counts import GeneratorCounts
from tracestore.services.generator.tenant import TenantMetrics
from tracestore.services.tenant_labels import TenantLabels
from tracestore.settings.generator_limits import GeneratorLimits, TenantGenerator, TenantProcessors
from tracestore.settings.generator_storage import GeneratorStorageSettings
from tracestore.settings.generator_tree import GeneratorSettings, RegistrySettings
from tracestore.settings.tenant_generator import tenant_generator
from tracestore.telemetry import Metrics

BOTH = ("span-metrics", "service-graphs")
Labels = tuple[tuple[str, str], ...]


def settings_of(**sections: object) -> GeneratorSettings:
    """Make settings with a directory; nothing is written there by what is tested here."""
    storage = GeneratorStorageSettings(path="unused")
    return GeneratorSettings(storage=storage, **sections)  # type: ignore[arg-type]


class Counted:
    """The metrics of a tenant, fed by heads that the test grows."""

    def __init__(
        self,
        processors: tuple[str, ...] = BOTH,
        *,
        limits: GeneratorLimits | None = None,
        overrides: TenantProcessors | None = None,
        settings: GeneratorSettings | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.settings = settings or settings_of()
        self.metrics = Metrics(version="")
        limits = limits or GeneratorLimits(
            processors=processors,
            ingestion_time_range_slack_s=1e9,
            processor=overrides or TenantProcessors(),
        )
        self.config = tenant_generator(self.settings, limits)
        tenant = TenantId("single-tenant")
        self.tenant = TenantMetrics(
            tenant,
            self.settings,
            self._config,
            self.clock,
            GeneratorCounts(self.metrics, TenantLabels(10), tenant),
            instance="here",
        )
        self.begin_head()

    def _config(self) -> TenantGenerator:
        return self.config

    def reconfigure(self, limits: GeneratorLimits) -> None:
        """Have other limits from now on."""
        self.config = tenant_generator(self.settings, limits)

    def begin_head(self) -> None:
        """Go on with another head, as after a flush."""
        self.builder = SpanBuilder()
        self.reader = self.tenant.reader()

    def take(self, *requests: bytes) -> None:
        """Decode requests together, and count their spans."""
        for request in requests:
            self.builder.append(request)
        self.tenant.consume(self.reader, self.builder)

    def values(self) -> dict[Labels, float]:
        """Get the present value of every series, the label of the instance left out."""
        collection = self.tenant.latest()
        return {} if collection is None else values_of(collection)

    def value(self, name: str, **labels: str) -> float:
        """Get one value; 0 if there is no such series."""
        return self.values().get(tuple(sorted({"__name__": name, **labels}.items())), 0.0)


def values_of(
    collection: Collection, wanted: Callable[[int], bool] | None = None
) -> dict[Labels, float]:
    """Get samples by labels. Args: wanted: which, by place; None: those of the time itself."""
    found: dict[Labels, float] = {}
    for place, (number, value) in enumerate(
        zip(collection.series.tolist(), collection.values.tolist(), strict=True)
    ):
        if wanted is None and collection.times_ms[place] != collection.time_ms:
            continue
        if wanted is not None and not wanted(place):
            continue
        labels = tuple(
            pair for pair in collection.labels[number] if pair[0] != "__metrics_gen_instance"
        )
        assert labels not in found, f"two series of one name: {labels}"
        found[labels] = value
    return found


__all__ = ["BOTH", "Counted", "Labels", "RegistrySettings", "settings_of", "values_of"]

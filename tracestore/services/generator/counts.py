"""What the generator says of itself, for one tenant."""

from __future__ import annotations

from collections.abc import Iterable

from tracestore.model.ids import TenantId
from tracestore.services.generator.service_graphs import PairingCounts
from tracestore.services.tenant_labels import TenantLabels
from tracestore.telemetry import Metrics

OUTSIDE_SLACK = "outside_metrics_ingestion_slack"
SPAN_METRICS_FILTERED = "span_metrics_filtered"
SERVICE_GRAPHS_FILTERED = "service_graphs_filtered"


class GeneratorCounts:
    """Counters of a tenant. Thread-safe."""

    def __init__(self, metrics: Metrics, labels: TenantLabels, tenant: TenantId) -> None:
        self._metrics = metrics
        self._tenant = labels.of(tenant)
        self._shown: set[str] = set()

    def received(self, spans: int, size: int) -> None:
        """Count spans that came, before any filter."""
        self._metrics.generator_spans.labels(self._tenant).inc(spans)
        self._metrics.generator_bytes.labels(self._tenant).inc(size)

    def discarded(self, spans: int, reason: str, processor: str) -> None:
        """Count spans that a processor does not see."""
        if spans:
            self._metrics.generator_discarded.labels(self._tenant, reason, processor).inc(spans)

    def paired(self, counts: PairingCounts) -> None:
        """Count what became of spans that make no edge."""
        self.discarded(counts.filtered, SERVICE_GRAPHS_FILTERED, "service-graphs")
        if counts.dropped:
            self._metrics.generator_dropped_spans.labels(self._tenant).inc(counts.dropped)
        if counts.edges:
            self._metrics.generator_edges.labels(self._tenant).inc(counts.edges)
        for kind, edges in (counts.expired or {}).items():
            self._metrics.generator_expired_edges.labels(self._tenant, kind).inc(edges)

    def limited(self, observations: int) -> None:
        """Count observations for which there was no series."""
        if observations:
            self._metrics.generator_series_limited.labels(self._tenant).inc(observations)

    def active(self, series: int, most: int, processors: Iterable[str]) -> None:
        """Show how many series there are, and what runs."""
        self._metrics.generator_active_series.labels(self._tenant).set(series)
        self._metrics.generator_max_series.labels(self._tenant).set(most)
        running = set(processors)
        for name in running | self._shown:
            value = 1 if name in running else 0
            self._metrics.generator_processors.labels(self._tenant, name).set(value)
        self._shown |= running

    def added(self, series: int) -> None:
        """Count new series."""
        if series:
            self._metrics.generator_series_added.labels(self._tenant).inc(series)

    def removed(self, series: int) -> None:
        """Count series that went because nothing touched them."""
        if series:
            self._metrics.generator_series_removed.labels(self._tenant).inc(series)

    def collected(self, *, failed: bool = False) -> None:
        """Count a collection."""
        self._metrics.generator_collections.labels(self._tenant).inc()
        if failed:
            self._metrics.generator_collections_failed.labels(self._tenant).inc()

    def span_names(self, sent: int, sanitized: int) -> None:
        """Show how many names of spans there are, as sent and without IDs."""
        for form, count in (("sent", sent), ("sanitized", sanitized)):
            self._metrics.generator_span_names.labels(self._tenant, form).set(count)

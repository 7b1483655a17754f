"""The series that the metrics-generator has about itself; a part of ``telemetry.py``."""

from __future__ import annotations

from tracestore.instruments import Instruments


class GeneratorSeries(Instruments):
    """Declares them. Source: wire contract, 21.6."""

    def _declare_generator(self) -> None:
        self._declare_spans()
        self._declare_registry()
        self._declare_edges()

    def _declare_spans(self) -> None:
        by_tenant = ("tenant",)
        self.generator_spans = self._counter(
            "tempo_metrics_generator_spans_received_total",
            "Spans that metrics are made of, before any filter.",
            by_tenant,
        )
        self.generator_bytes = self._counter(
            "tempo_metrics_generator_bytes_received_total", "Bytes of those spans.", by_tenant
        )
        self.generator_discarded = self._counter(
            "tempo_metrics_generator_spans_discarded_total",
            "Spans that a processor did not count, by why.",
            ("tenant", "reason", "processor"),
        )
        self.generator_processors = self._gauge(
            "tempo_metrics_generator_active_processors",
            "1 for each processor that runs.",
            ("tenant", "processor"),
        )

    def _declare_registry(self) -> None:
        by_tenant = ("tenant",)
        self.generator_collections = self._counter(
            "tempo_metrics_generator_registry_collections_total",
            "Times that all series were written out.",
            by_tenant,
        )
        self.generator_collections_failed = self._counter(
            "tempo_metrics_generator_registry_collections_failed_total",
            "Times that this failed.",
            by_tenant,
        )
        self.generator_active_series = self._gauge(
            "tempo_metrics_generator_registry_active_series", "Series that there are.", by_tenant
        )
        self.generator_max_series = self._gauge(
            "tempo_metrics_generator_registry_max_active_series",
            "Series that there may be; 0 is any number.",
            by_tenant,
        )
        self.generator_series_added = self._counter(
            "tempo_metrics_generator_registry_series_added_total", "Series that began.", by_tenant
        )
        self.generator_series_removed = self._counter(
            "tempo_metrics_generator_registry_series_removed_total",
            "Series that went because no span touched them for long.",
            by_tenant,
        )
        self.generator_series_limited = self._counter(
            "tempo_metrics_generator_registry_series_limited_total",
            "Observations counted in a series of the label metric_overflow.",
            by_tenant,
        )

    def _declare_edges(self) -> None:
        by_tenant = ("tenant",)
        self.generator_edges = self._counter_as_gauge(
            "tempo_metrics_generator_processor_service_graphs_edges",
            "Requests that were counted in the service graph.",
            by_tenant,
        )
        self.generator_dropped_spans = self._counter_as_gauge(
            "tempo_metrics_generator_processor_service_graphs_dropped_spans",
            "Spans left out of the service graph because too many waited for their other side.",
            by_tenant,
        )
        self.generator_expired_edges = self._counter_as_gauge(
            "tempo_metrics_generator_processor_service_graphs_expired_edges",
            "Requests of which one side was never seen, and that tell of no peer.",
            ("tenant", "unmatched_span_kind"),
        )
        self.generator_failures = self._counter(
            "tracestore_generator_failures_total",
            "Times that spans could not be counted, by a mistake of ours; they are stored.",
        )
        self.generator_span_names = self._gauge(
            "tracestore_generator_span_names",
            "Names of spans with span_name_sanitization: as sent, and without IDs.",
            ("tenant", "form"),
        )

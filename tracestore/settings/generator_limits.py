"""What of the metrics from spans a tenant has otherwise, and what holds for it then.

These are limits of a tenant, below ``overrides.defaults.metrics_generator`` and in its block.

Source: wire contract, section 18.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tracestore.settings.generator_tree import DimensionMapping, FilterPolicy, ProcessorSettings
from tracestore.settings.text_map import NO_TEXTS, TextMap


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantIntrinsics:
    """Labels of span metrics that are of the span itself."""

    service: bool | None = None
    """Whether there is a label ``service``."""
    span_name: bool | None = None
    """Whether there is a label ``span_name``."""
    span_kind: bool | None = None
    """Whether there is a label ``span_kind``."""
    status_code: bool | None = None
    """Whether there is a label ``status_code``."""
    status_message: bool | None = None
    """Whether there is a label ``status_message``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSpanMetrics:
    """Metrics of every span of a tenant."""

    histogram_buckets: tuple[float, ...] | None = None
    """Upper bounds of the buckets of latency, in seconds."""
    intrinsic_dimensions: TenantIntrinsics = field(default_factory=TenantIntrinsics)
    dimensions: tuple[str, ...] | None = None
    """Attributes of resource or span that become labels."""
    dimension_mappings: tuple[DimensionMapping, ...] | None = None
    """Labels put together of several attributes."""
    enable_target_info: bool | None = None
    """Whether ``traces_target_info`` is made, and the labels ``job`` and ``instance``."""
    target_info_excluded_dimensions: tuple[str, ...] | None = None
    """Attributes of a resource that are no labels of ``traces_target_info``."""
    enable_instance_label: bool | None = None
    """Whether there is a label ``instance`` with ``enable_target_info``."""
    span_multiplier_key: str | None = None
    """Attribute with the ratio at which its sender sampled."""
    enable_tracestate_span_multiplier: bool | None = None
    """Whether the trace state says how much a span counts."""
    filter_policies: tuple[FilterPolicy, ...] | None = None
    """Which spans are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantServiceGraphs:
    """Metrics of requests between services of a tenant."""

    histogram_buckets: tuple[float, ...] | None = None
    """Upper bounds of the buckets of latency, in seconds."""
    dimensions: tuple[str, ...] | None = None
    """Attributes of resource or span that become labels."""
    enable_client_server_prefix: bool | None = None
    """Whether a dimension is two labels, ``client_`` and ``server_``, one of each side."""
    peer_attributes: tuple[str, ...] | None = None
    """Attributes of a span that name the service that it calls, the first one present."""
    enable_messaging_system_latency_histogram: bool | None = None
    """Whether the time from producer to consumer is measured."""
    enable_virtual_node_label: bool | None = None
    """Whether a label ``virtual_node`` tells which side was never seen."""
    span_multiplier_key: str | None = None
    """As for span metrics."""
    enable_tracestate_span_multiplier: bool | None = None
    """As for span metrics."""
    filter_policies: tuple[FilterPolicy, ...] | None = None
    """Which spans take part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantHostInfo:
    """A metric that names the hosts that send spans of a tenant."""

    host_identifiers: tuple[str, ...] | None = None
    """Attributes of a resource that name its host, the first one present."""
    metric_name: str | None = None
    """Name of the metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantProcessors:
    """What is made of the spans of a tenant. Null: as ``metrics_generator.processor`` has it."""

    service_graphs: TenantServiceGraphs = field(default_factory=TenantServiceGraphs)
    span_metrics: TenantSpanMetrics = field(default_factory=TenantSpanMetrics)
    host_info: TenantHostInfo = field(default_factory=TenantHostInfo)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorLimits:
    """What of the metrics from spans a tenant has otherwise. Null, or 0: as the server has it."""

    processors: tuple[str, ...] = ()
    """What runs: ``service-graphs``, ``span-metrics``, ``host-info``, or parts of the first two:
    ``service-graphs-request``, ``-latency``, ``-connection-info``, ``span-metrics-count``,
    ``-latency``, ``-size``. Empty: no metrics are made."""
    max_active_series: int = 0
    """Series; spans of further ones are counted in one of the label ``metric_overflow``. 0: any."""
    max_active_entities: int = 0
    """Sets of labels, with ``limiter_type: entity``. 0: any."""
    max_cardinality_per_label: int = 0
    """Values of one label; further ones are ``__cardinality_overflow__``. 0: any."""
    collection_interval_s: float = 0.0
    """How often all series are written out; 0: that of the registry."""
    disable_collection: bool = False
    """Whether nothing is written out although the processors run."""
    generate_native_histograms: str = "classic"
    """``classic``, ``native`` or ``both``."""
    native_histogram_bucket_factor: float = 1.1
    """How much wider each bucket of a native histogram may be than the one before."""
    native_histogram_max_bucket_number: int = 100
    """Buckets of a native histogram; with more it gets coarser."""
    native_histogram_min_reset_duration_s: float = 900.0
    """Age at which a native histogram with too many buckets begins anew rather than get coarser."""
    trace_id_label_name: str = "traceID"
    """Label of exemplars that holds the trace ID."""
    ingestion_time_range_slack_s: float = 0.0
    """Spans that ended further from now are not counted; 0: that of the server."""
    span_name_sanitization: str = ""
    """``enabled`` puts a placeholder for what looks like an ID in names of spans; ``dry_run``
    counts what that would spare; empty: off."""
    remote_write_headers: TextMap = NO_TEXTS
    """Headers of remote write, over those of the receiver. Their values are never shown."""
    processor: TenantProcessors = field(default_factory=TenantProcessors)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantGenerator:
    """What holds for a tenant: its limits over the settings of the server."""

    processors: frozenset[str]
    """Parts: ``span-metrics-count`` and the like, and ``host-info``."""
    processor: ProcessorSettings
    slack_s: float
    collection_interval_s: float
    limits: GeneratorLimits

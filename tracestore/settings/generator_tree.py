"""Settings of the metrics from spans, with the names of Tempo where it has them."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracestore.settings.generator_storage import GeneratorStorageSettings
from tracestore.settings.text_map import NO_TEXTS, TextMap

SPAN_BUCKETS_S = tuple(0.002 * 2**exponent for exponent in range(14))
EDGE_BUCKETS_S = tuple(0.1 * 2**exponent for exponent in range(8))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAttribute:
    """A condition on a span."""

    key: str
    """``resource.x``, ``span.x``, ``kind``, ``status`` or ``name``."""
    value: str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyMatch:
    """Conditions that must all hold."""

    match_type: str
    """``strict`` or ``regex``."""
    attributes: tuple[PolicyAttribute, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterPolicy:
    """Which spans a processor sees. Any ``exclude`` drops, then any ``include_any`` keeps, then
    every ``include`` must match."""

    include: PolicyMatch | None = None
    include_any: PolicyMatch | None = None
    exclude: PolicyMatch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionMapping:
    """A label put together of attributes."""

    name: str
    source_labels: tuple[str, ...]
    join: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrinsicDimensions:
    """Labels of span metrics that are of the span itself."""

    service: bool = True
    """Whether there is a label ``service``."""
    span_name: bool = True
    """Whether there is a label ``span_name``."""
    span_kind: bool = True
    """Whether there is a label ``span_kind``."""
    status_code: bool = True
    """Whether there is a label ``status_code``."""
    status_message: bool = False
    """Whether there is a label ``status_message``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanMetricsSettings:
    """Metrics of every span."""

    histogram_buckets: tuple[float, ...] = SPAN_BUCKETS_S
    """Upper bounds of the buckets of latency, in seconds."""
    intrinsic_dimensions: IntrinsicDimensions = field(default_factory=IntrinsicDimensions)
    dimensions: tuple[str, ...] = ()
    """Attributes of resource or span that become labels."""
    dimension_mappings: tuple[DimensionMapping, ...] = ()
    """Labels put together of several attributes."""
    enable_target_info: bool = False
    """Whether ``traces_target_info`` is made, and the labels ``job`` and ``instance``."""
    target_info_excluded_dimensions: tuple[str, ...] = ()
    """Attributes of a resource that are no labels of ``traces_target_info``."""
    enable_instance_label: bool = True
    """Whether there is a label ``instance`` with ``enable_target_info``."""
    span_multiplier_key: str = ""
    """Attribute with the ratio at which its sender sampled; a span counts as 1 / ratio."""
    enable_tracestate_span_multiplier: bool = False
    """Whether the threshold in ``ot=th:`` of the trace state says how much a span counts."""
    filter_policies: tuple[FilterPolicy, ...] = ()
    """Which spans are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceGraphsSettings:
    """Metrics of requests between services."""

    wait_s: float = 10.0
    """How long one side of a request waits for the other."""
    max_items: int = 10_000
    """Requests of a tenant that wait for their other side; spans of further ones are dropped, and
    counted."""
    histogram_buckets: tuple[float, ...] = EDGE_BUCKETS_S
    """Upper bounds of the buckets of latency, in seconds."""
    dimensions: tuple[str, ...] = ()
    """Attributes of resource or span that become labels."""
    enable_client_server_prefix: bool = False
    """Whether a dimension is two labels, ``client_`` and ``server_``, one of each side."""
    peer_attributes: tuple[str, ...] = ("peer.service", "db.name", "db.system", "db.system.name")
    """Attributes of a span that name the service that it calls, the first one present."""
    database_name_attributes: tuple[str, ...] = (
        "db.namespace",
        "db.name",
        "db.system",
        "db.system.name",
    )
    """Attributes that tell that a client span calls a database."""
    enable_messaging_system_latency_histogram: bool = False
    """Whether the time from producer to consumer is measured."""
    enable_virtual_node_label: bool = False
    """Whether a label ``virtual_node`` tells which side was never seen."""
    span_multiplier_key: str = ""
    """As for span metrics."""
    enable_tracestate_span_multiplier: bool = False
    """As for span metrics."""
    filter_policies: tuple[FilterPolicy, ...] = ()
    """Which spans take part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostInfoSettings:
    """A metric that names the hosts that send spans."""

    host_identifiers: tuple[str, ...] = ("k8s.node.name", "host.id")
    """Attributes of a resource that name its host, the first one present."""
    metric_name: str = "traces_host_info"
    """Name of the metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorSettings:
    """What is made of spans; a tenant may have other settings."""

    service_graphs: ServiceGraphsSettings = field(default_factory=ServiceGraphsSettings)
    span_metrics: SpanMetricsSettings = field(default_factory=SpanMetricsSettings)
    host_info: HostInfoSettings = field(default_factory=HostInfoSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """The series of a process."""

    collection_interval_s: float = 15.0
    """How often all series are written out; a tenant may have another interval."""
    stale_duration_s: float = 900.0
    """Series that nothing touched for so long go."""
    external_labels: TextMap = NO_TEXTS
    """Labels of every series."""
    inject_tenant_id_as: str = ""
    """Label that names the tenant; empty: none."""
    max_label_name_length: int = 1024
    """Longer names of labels are cut, in bytes."""
    max_label_value_length: int = 2048
    """Longer values of labels are cut, in bytes."""
    texts_bytes_max: int = 64 * 1024 * 1024
    """Memory of the texts that the labels of a tenant have had; beyond it those that no series has
    any more are forgotten at once, else every five minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSettings:
    """Metrics made of spans as they come in."""

    processor: ProcessorSettings = field(default_factory=ProcessorSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    storage: GeneratorStorageSettings = field(default_factory=GeneratorStorageSettings)
    metrics_ingestion_time_range_slack_s: float = 30.0
    """Spans that ended further from now, on either side, are not counted in metrics."""
    limiter_type: str = "series"
    """What is limited: ``series`` or ``entity``."""
    queue_bytes_max: int = 64 * 1024 * 1024
    """Requests that wait to be counted, where the generator runs apart; more are refused."""

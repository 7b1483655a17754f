"""Every knob: one tree of frozen dataclasses with a default, a unit, an effect and a price.

``docs/configuration.md`` is generated from the strings under the fields. A component is given its
own section. Where Tempo has the feature, the YAML spelling of Tempo is accepted too (``load.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tracestore.settings.compactor_tree import CompactorSettings
from tracestore.settings.frontend_tree import FrontendSettings
from tracestore.settings.generator_tree import GeneratorSettings
from tracestore.settings.index_tree import CommitSettings
from tracestore.settings.limits import OverridesSettings
from tracestore.settings.members_tree import (
    GeneratorPushSettings,
    LiveReadSettings,
    MembersSettings,
    PushSettings,
)
from tracestore.settings.prometheus_tree import PrometheusSettings
from tracestore.settings.s3_tree import DiskCacheSettings, S3Settings
from tracestore.settings.sampling_tree import SamplingSettings
from tracestore.settings.wal_tree import WalSettings

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The public API."""

    http_listen_address: str = "0.0.0.0"
    """Address of the API; empty means all interfaces."""
    http_listen_port: int = 3200
    """Port of the API; 0 takes a free one and logs it."""
    http_listen_conn_limit: int = 4096
    """Connections to that port at a time; more are closed as they come. 0 is unlimited."""
    http_first_request_timeout_s: float = 30.0
    """A connection whose first request has not begun by then is closed."""
    http2_stall_timeout_s: float = 60.0
    """A client of HTTP/2 or gRPC that takes nothing of its answer for so long is given up."""
    http2_idle_timeout_s: float = 600.0
    """A connection of HTTP/2 without requests is closed after this time; clients dial again."""
    grpc_listen_address: str = "0.0.0.0"
    """Address of gRPC; empty means all interfaces."""
    grpc_listen_port: int = 9095
    """Port of gRPC (streaming queries, health); 0 takes a free one and logs it."""
    grpc_server_max_concurrent_streams: int = 128
    """Requests that one connection of HTTP/2 or gRPC may have in progress; the client waits."""
    grpc_server_max_recv_msg_size: int = 4 * MIB
    """Largest request of a streaming query."""
    http_api_prefix: str = ""
    """Prefix of the query routes, for example ``/tempo``."""
    http_head_bytes_max: int = MIB
    """Longest request line and headers together. A query of the longest kind
    (``query.max_query_expression_bytes``) takes up to three times its bytes in a URL."""
    log_level: str = "info"
    """debug, info, warn or error."""
    log_format: str = "logfmt"
    """logfmt or json."""
    drain_timeout_s: float = 30.0
    """How long requests in progress may take to finish after SIGTERM before they are cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpGrpcSettings:
    """OTLP over gRPC."""

    enabled: bool = True
    """Whether the receiver runs."""
    endpoint: str = "0.0.0.0:4317"
    """Address and port; port 0 takes a free one."""
    request_bytes_max: int | None = None
    """Largest request here; null: ``distributor.receivers.request_bytes_max``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpHttpSettings:
    """OTLP over HTTP."""

    enabled: bool = True
    """Whether the receiver runs."""
    endpoint: str = "0.0.0.0:4318"
    """Address and port; port 0 takes a free one."""
    traces_url_path: str = "/v1/traces"
    """Path of the receiver."""
    request_bytes_max: int | None = None
    """Largest request here, decompressed; null: ``distributor.receivers.request_bytes_max``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipkinSettings:
    """Zipkin spans over HTTP."""

    enabled: bool | None = None
    """Whether the receiver runs; null: it does, unless its default port is taken already."""
    endpoint: str = "0.0.0.0:9411"
    """Address and port; port 0 takes a free one."""
    request_bytes_max: int = 20 * MIB
    """Largest request, decompressed; a hostile one takes up to 30 times as much memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JaegerGrpcSettings:
    """Jaeger spans over gRPC."""

    enabled: bool | None = None
    """Whether the receiver runs; null: it does, unless its default port is taken already."""
    endpoint: str = "0.0.0.0:14250"
    """Address and port; port 0 takes a free one."""
    request_bytes_max: int = 4 * MIB
    """Largest request; a hostile one takes up to 30 times as much memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JaegerThriftHttpSettings:
    """Jaeger batches in Thrift over HTTP."""

    enabled: bool | None = None
    """Whether the receiver runs; null: it does, unless its default port is taken already."""
    endpoint: str = "0.0.0.0:14268"
    """Address and port; port 0 takes a free one."""
    request_bytes_max: int = 20 * MIB
    """Largest request, decompressed; a hostile one takes up to 30 times as much memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JaegerThriftCompactSettings:
    """Datagrams to a Jaeger agent, in Thrift's compact protocol. UDP has no tenant, no answer."""

    enabled: bool = False
    """Whether the receiver runs."""
    endpoint: str = "0.0.0.0:6831"
    """Address and port; port 0 takes a free one."""
    datagram_bytes_max: int = 65000
    """Longer datagrams are dropped."""
    queue_datagrams_max: int = 1000
    """Datagrams that may wait to be stored; more are dropped, and counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JaegerThriftBinarySettings:
    """Datagrams to a Jaeger agent, in Thrift's binary protocol. UDP has no tenant, no answer."""

    enabled: bool = False
    """Whether the receiver runs."""
    endpoint: str = "0.0.0.0:6832"
    """Address and port; port 0 takes a free one."""
    datagram_bytes_max: int = 65000
    """Longer datagrams are dropped."""
    queue_datagrams_max: int = 1000
    """Datagrams that may wait to be stored; more are dropped, and counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JaegerSettings:
    """Jaeger's clients and agents."""

    grpc: JaegerGrpcSettings = field(default_factory=JaegerGrpcSettings)
    thrift_http: JaegerThriftHttpSettings = field(default_factory=JaegerThriftHttpSettings)
    thrift_compact: JaegerThriftCompactSettings = field(default_factory=JaegerThriftCompactSettings)
    thrift_binary: JaegerThriftBinarySettings = field(default_factory=JaegerThriftBinarySettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    """Where senders connect."""

    grpc: OtlpGrpcSettings = field(default_factory=OtlpGrpcSettings)
    http: OtlpHttpSettings = field(default_factory=OtlpHttpSettings)
    zipkin: ZipkinSettings = field(default_factory=ZipkinSettings)
    jaeger: JaegerSettings = field(default_factory=JaegerSettings)
    request_bytes_max: int = 72 * MIB
    """Largest request, decompressed. The default takes 64 MiB of spans and what wraps them."""
    inflight_bytes_max: int = 256 * MIB
    """Requests being received or waiting for the disk, together; more are refused as retryable."""

    @property
    def grpc_request_bytes_max(self) -> int:
        """The limit that holds for OTLP over gRPC."""
        own = self.grpc.request_bytes_max
        return self.request_bytes_max if own is None else own

    @property
    def http_request_bytes_max(self) -> int:
        """The limit that holds for OTLP over HTTP."""
        own = self.http.request_bytes_max
        return self.request_bytes_max if own is None else own


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributorSettings:
    """From the receiver to the ingester."""

    receivers: ReceiverSettings = field(default_factory=ReceiverSettings)
    retry_after_on_resource_exhausted_s: float = 5.0
    """The delay that refused senders are asked to keep."""
    max_attribute_bytes: int = 0
    """Longest key or text of an attribute; more is cut, and marked by ``tracestore.truncated``.
    0: any, as sent. Tempo cuts at 2048."""
    ingestion_time_range_slack_s: float = 120.0
    """Requests with spans further from now than this are kept, and counted as a warning."""
    trace_idle_s: float = 5.0
    """A trace counts as live for so long after its last span; for the limit of live traces."""
    trace_memory_s: float = 300.0
    """The size of a trace is remembered for so long after its last span; for the limit of it."""
    trace_memory_traces_max: int = 1_000_000
    """Traces of a tenant whose size is remembered, 32 to 128 B each."""
    metric_tenants_max: int = 1000
    """Tenants with series of their own; further ones share the name ``__overflow__``."""
    discard_log_interval_s: float = 60.0
    """How often the log says which spans of a tenant were discarded and why."""
    push: PushSettings = field(default_factory=PushSettings)
    generator_push: GeneratorPushSettings = field(default_factory=GeneratorPushSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngesterSettings:
    """Live tables, and when they become a block."""

    wal: WalSettings = field(default_factory=WalSettings)
    decode_interval_s: float = 0.25
    """Longest wait between acknowledgement and decoding; bounds how fresh a search is."""
    pending_bytes_max: int = 64 * MIB
    """Acknowledged bytes that wait for decoding; beyond it senders wait."""
    max_block_duration_s: float = 300.0
    """Age at which the live tables are flushed. Shorter: less replay and memory, more blocks."""
    max_block_bytes: int = 192 * MIB
    """Wire bytes at which the live tables are flushed. Larger: fewer blocks, but at full speed some
    1.4 bytes of memory more for each byte here."""
    live_bytes_max: int = 512 * MIB
    """Wire bytes in the live tables of all tenants; beyond it the largest are flushed, then senders
    with more than their share wait."""
    tenants_max: int = 1000
    """Tenants with live tables at a time, a thread each; the spans of further ones are refused."""
    tenant_idle_s: float = 600.0
    """Live state of a tenant without spans goes after this time; its blocks stay."""
    flush_concurrency: int = 1
    """Blocks written at a time; each needs memory for its columns."""
    unflushed_blocks_max: int = 2
    """Full live tables in memory, the one being written included; beyond it senders wait."""
    flush_retry_s: float = 5.0
    """Wait after a flush that failed; the live tables stay searchable meanwhile."""
    room_wait_s: float = 10.0
    """How long a sender waits for room, then it is asked to retry; not at all if flushes fail."""
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    push_bytes_max: int = 256 * MIB
    """Requests of distributors in other processes that wait for the log, together; more are refused
    as retryable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSettings:
    """How a block is written."""

    attribute_columns_max: int = 512
    """Attribute keys of a table that may have a column of their own."""
    row_group_spans: int = 65536
    """Spans of a row group at most; it ends at a trace, unless one trace is larger."""
    row_group_bytes_max: int = 16 * MIB
    """Memory of the cells of a row group at most, and of its texts: tables of many columns, spans
    with many events and long texts get smaller row groups. Smaller: merges take less memory, and
    blocks more requests to read."""
    compression: str = "zstd"
    """Parquet codec."""
    compression_level: int = 1
    """Level of the codec."""
    distinct_values_max: int = 256
    """A column with at most this many values has them listed in the block's filters."""
    filter_bits_per_value: int = 10
    """Size of the filter over the values of other columns; 10 bits give 1 % false hits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """Where durable things are."""

    backend: str = "local"
    """local (a directory) or s3 (a bucket)."""
    path: str = "tracestore-data"
    """The data directory: blocks and index, if they are in no bucket, and, unless moved, the
    write-ahead log."""
    s3: S3Settings = field(default_factory=S3Settings)
    disk_cache: DiskCacheSettings = field(default_factory=DiskCacheSettings)
    read_ahead_blocks: int = 16
    """Blocks in a bucket that all queries together read before they ask for them; 0: none."""
    block: BlockSettings = field(default_factory=BlockSettings)
    blocklist_poll_s: float = 0.5
    """How often the index is followed; one small request each time. A commit of another process is
    seen after this long at most."""
    index: CommitSettings = field(default_factory=CommitSettings)
    cache_bytes: int = 256 * MIB
    """Memory for what is read of blocks (footers, filters, columns); immutable, so never stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamingSettings:
    """Answers that grow while they are made."""

    interval_s: float = 0.5
    """Shortest time between two partial answers. Shorter: livelier, and more work for both ends."""
    packet_bytes_max: int = 1 * MIB
    """Largest message; an answer is cut into as many as it takes, one item at least in each."""
    busy_max: float = 0.1
    """Share of the time that may go into partial answers; long ones are made less often."""
    waiting_max: int = 2
    """Partial answers that may wait for a slow client; then none is made until it has taken one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySettings:
    """Bounds of queries."""

    live: LiveReadSettings = field(default_factory=LiveReadSettings)
    frontend: FrontendSettings = field(default_factory=FrontendSettings)
    prometheus: PrometheusSettings = field(default_factory=PrometheusSettings)
    default_result_limit: int = 20
    """Traces returned if the request does not say."""
    max_result_limit: int = 262144
    """Largest ``limit``."""
    default_spans_per_span_set: int = 3
    """Spans shown of each trace if the request does not say."""
    max_spans_per_span_set: int = 100
    """Largest ``spss``."""
    max_duration_s: float = 168 * 3600.0
    """Longest time window of a search; 0 is unlimited."""
    default_window_s: float = 0.0
    """Window of a search without ``start`` and ``end``, back from now; 0 searches all there is."""
    max_query_expression_bytes: int = 131072
    """Longest query text."""
    max_bytes_per_tag_values_query: int = 1_000_000
    """Text of the names or values in an answer of autocomplete; the rest is cut. 0: no bound."""
    max_blocks_per_tag_values_query: int = 0
    """Blocks that an answer with values in autocomplete looks at, newest first; 0: all."""
    max_condition_groups_per_tag_query: int = 100
    """Alternatives (``||``) of a filter in autocomplete; more is 400. 0: no bound."""
    max_concurrent_queries: int = 4
    """Queries evaluated at a time; the rest wait."""
    multi_tenant_queries_enabled: bool = True
    """Whether a query may name several tenants, as in ``X-Scope-OrgID: a|b``."""
    tenants_max: int = 64
    """Tenants that one query may name."""
    max_outstanding_queries: int = 200
    """Queries of a tenant that may wait; more are refused with 429. Tenants are served in turn."""
    query_timeout_s: float = 30.0
    """A query that takes longer is cut off with 504."""
    max_bytes_read: int = 0
    """Bytes of columns that a query may look at, cached or not; more is 429. 0 is unlimited."""
    max_answer_bytes: int = 512 * MIB
    """Size of a search's answer, about, as JSON; more is 429. A query holds up to 2.5 times as much
    memory while it makes one. 0 is unlimited."""
    trace_reach_s: float = 3600.0
    """A windowed search looks for matching spans of the traces in it this far outside, too."""
    max_trace_bytes: int = 256 * MIB
    """Largest trace returned by ID."""
    left_pad_trace_ids: bool = False
    """Whether trace IDs of a search have all 32 digits."""
    streaming: StreamingSettings = field(default_factory=StreamingSettings)
    max_metrics_duration_s: float = 24 * 3600.0
    """Longest range of a metrics query; 0 is unlimited."""
    max_metrics_intervals: int = 10000
    """Points of a metrics query, range divided by step; 0 is unlimited."""
    metrics_end_cutoff_s: float = 0.0
    """How much of the newest data metrics leave out, as Tempo does with 30 s; 0 counts all."""
    max_exemplars: int = 100
    """Exemplars of a metrics query, and their number if the request does not say; 0 is none."""
    max_response_series: int = 0
    """Series of an answer; the rest is cut off and the answer says so. 0 shows all."""
    max_metrics_samples: int = 5_000_000
    """Values of an answer, zeros included, about 40 B each; more is 429. 0 is unlimited."""
    max_metrics_series: int = 100_000
    """Series that a query may keep while it runs, about 0.5 KB each; more is 429. 0: any number."""
    max_metrics_cells: int = 10_000_000
    """Values that a query may keep while it runs, about 50 B each; more is 429. 0: any number."""
    max_compared_values: int = 1_000_000
    """Values of one attribute that compare() keeps; rarer ones are let go, and it says so."""
    mcp_enabled: bool = False
    """Whether ``/api/mcp`` serves tools for language models; needs the extra ``mcp``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingSettings:
    """Traces of the store's own requests, by OpenTelemetry."""

    enabled: bool = False
    """Whether requests to the API make spans."""
    otlp_url: str = "http://localhost:4317"
    """Where they are sent, by OTLP over gRPC; this store itself may be it."""
    service_name: str = "tracestore"
    """``service.name`` of the spans."""
    sample_ratio: float = 1.0
    """Share of the traces that begin here which are kept; others follow their ``traceparent``."""
    queue_spans_max: int = 2048
    """Spans that wait to be sent; more are dropped."""
    export_interval_s: float = 5.0
    """Longest wait before spans are sent."""
    export_timeout_s: float = 10.0
    """How long sending may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole tree."""

    target: str = "all"
    """The role of this process."""
    multitenancy_enabled: bool = False
    """Whether requests must name their tenant (``X-Scope-OrgID``); else it is not looked at."""
    stream_over_http_enabled: bool = True
    """Whether the API's port takes HTTP/2 without TLS, and gRPC on it, as Grafana streams."""
    server: ServerSettings = field(default_factory=ServerSettings)
    distributor: DistributorSettings = field(default_factory=DistributorSettings)
    ingester: IngesterSettings = field(default_factory=IngesterSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    query: QuerySettings = field(default_factory=QuerySettings)
    compactor: CompactorSettings = field(default_factory=CompactorSettings)
    metrics_generator: GeneratorSettings = field(default_factory=GeneratorSettings)
    overrides: OverridesSettings = field(default_factory=OverridesSettings)
    members: MembersSettings = field(default_factory=MembersSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)

"""What the keys of a Tempo configuration (2.x and 3.x) mean here.

Data only. A path may hold groups, ``a.{b,c.d}``; ``schema.py`` expands them. Under an ignored or
refused key anything may stand.

Source: Tempo configuration reference of 2.x and 3.x; HTTP API reference, sections 18 and 19.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from tracestore.settings import units


class KeepDefaultError(Exception):
    """The value is Tempo's way to say that it does not choose."""


def _collector_size(text: str) -> int:
    """Parse a limit of the Collector, where 0 is its default."""
    size = units.parse_size(text)
    if size == 0:
        raise KeepDefaultError
    return size


def _collector_mebibytes(text: str) -> int:
    size = units.parse_mebibytes(text)
    if size == 0:
        raise KeepDefaultError
    return size


def _chosen_backend(text: str) -> str:
    if text == "":
        raise KeepDefaultError
    return text


def _bits_per_value(text: str) -> int:
    """Turn a false-positive rate into the size of a Bloom filter: -log2(p) / ln 2 bits a value."""
    rate = units.parse_number(text)
    if not 0 < rate < 1:
        raise ValueError("expected a rate between 0 and 1")
    return math.ceil(-math.log2(rate) / math.log(2))


_DURATION = units.parse_unit_duration
_GRPC = "distributor.receivers.otlp.protocols.grpc"
_HTTP = "distributor.receivers.otlp.protocols.http"
_ZIPKIN = "distributor.receivers.zipkin"
_JAEGER = "distributor.receivers.jaeger.protocols"
_SEARCH = "query_frontend.search"

Meaning = str | tuple[str, Callable[[str], object]]
MEANT: Final[dict[str, Meaning]] = {
    "auth_enabled": "multitenancy_enabled",
    "http_api_prefix": "server.http_api_prefix",
    "server.graceful_shutdown_timeout": ("server.drain_timeout_s", _DURATION),
    f"{_GRPC}.endpoint": "distributor.receivers.grpc.endpoint",
    f"{_GRPC}.max_recv_msg_size_mib": (
        "distributor.receivers.grpc.request_bytes_max",
        _collector_mebibytes,
    ),
    f"{_HTTP}.endpoint": "distributor.receivers.http.endpoint",
    f"{_HTTP}.traces_url_path": "distributor.receivers.http.traces_url_path",
    f"{_HTTP}.max_request_body_size": (
        "distributor.receivers.http.request_bytes_max",
        _collector_size,
    ),
    f"{_JAEGER}.grpc.endpoint": "distributor.receivers.jaeger.grpc.endpoint",
    f"{_JAEGER}.grpc.max_recv_msg_size_mib": (
        "distributor.receivers.jaeger.grpc.request_bytes_max",
        _collector_mebibytes,
    ),
    f"{_JAEGER}.thrift_http.endpoint": "distributor.receivers.jaeger.thrift_http.endpoint",
    f"{_JAEGER}.thrift_http.max_request_body_size": (
        "distributor.receivers.jaeger.thrift_http.request_bytes_max",
        _collector_size,
    ),
    **{
        f"{_JAEGER}.{protocol}.{theirs}": f"distributor.receivers.jaeger.{protocol}.{ours}"
        for protocol in ("thrift_compact", "thrift_binary")
        for theirs, ours in (
            ("endpoint", "endpoint"),
            ("max_packet_size", "datagram_bytes_max"),
            ("queue_size", "queue_datagrams_max"),
        )
    },
    f"{_ZIPKIN}.max_request_body_size": (
        "distributor.receivers.zipkin.request_bytes_max",
        _collector_size,
    ),
    "distributor.retry_after_on_resource_exhausted": (
        "distributor.retry_after_on_resource_exhausted_s",
        _DURATION,
    ),
    "ingester.max_block_duration": ("ingester.max_block_duration_s", _DURATION),
    "ingester.concurrent_flushes": "ingester.flush_concurrency",
    "live_store.max_block_duration": ("ingester.max_block_duration_s", _DURATION),
    "live_store.max_block_bytes": "ingester.max_block_bytes",
    "live_store.complete_block_concurrency": "ingester.flush_concurrency",
    "storage.trace.backend": ("storage.backend", _chosen_backend),
    "storage.trace.local.path": "storage.path",
    "storage.trace.wal.path": "ingester.wal.path",
    "wal.store": "ingester.wal.store",
    "storage.trace.block.bloom_filter_false_positive": (
        "storage.block.filter_bits_per_value",
        _bits_per_value,
    ),
    **{
        f"compactor.compaction.{key}": (f"compactor.compaction.{key}_s", _DURATION)
        for key in (
            "block_retention",
            "compacted_block_retention",
            "compaction_window",
            "compaction_cycle",
        )
    },
    "backend_worker.compaction.block_retention": (
        "compactor.compaction.block_retention_s",
        _DURATION,
    ),
    "backend_scheduler.provider.compaction.compaction.block_retention": (
        "compactor.compaction.block_retention_s",
        _DURATION,
    ),
    "querier.max_concurrent_queries": "query.max_concurrent_queries",
    "querier.search.query_timeout": ("query.query_timeout_s", _DURATION),
    "query_frontend.mcp_server.enabled": "query.mcp_enabled",
    "query_frontend.multi_tenant_queries_enabled": "query.multi_tenant_queries_enabled",
    "query_frontend.max_outstanding_per_tenant": "query.max_outstanding_queries",
    "query_frontend.max_query_expression_size_bytes": "query.max_query_expression_bytes",
    "query_frontend.max_grpc_streaming_packet_size": "query.streaming.packet_bytes_max",
    f"{_SEARCH}.default_result_limit": "query.default_result_limit",
    f"{_SEARCH}.max_result_limit": "query.max_result_limit",
    f"{_SEARCH}.default_spans_per_span_set": "query.default_spans_per_span_set",
    f"{_SEARCH}.max_spans_per_span_set": "query.max_spans_per_span_set",
    f"{_SEARCH}.max_duration": ("query.max_duration_s", _DURATION),
    "query_frontend.query_end_cutoff": ("query.metrics_end_cutoff_s", _DURATION),
    "query_frontend.metrics.max_duration": ("query.max_metrics_duration_s", _DURATION),
    "query_frontend.metrics.max_intervals": "query.max_metrics_intervals",
    "query_frontend.metrics.max_exemplars": "query.max_exemplars",
    "query_frontend.metrics.max_response_series": "query.max_response_series",
    "overrides.defaults.read.max_condition_groups_per_tag_query": (
        "query.max_condition_groups_per_tag_query"
    ),
    **{
        f"metrics_generator.{key}": (f"metrics_generator.{key}_s", _DURATION)
        for key in (
            "registry.collection_interval",
            "registry.stale_duration",
            "processor.service_graphs.wait",
            "storage.remote_write_flush_deadline",
            "metrics_ingestion_time_range_slack",
        )
    },
    "storage.trace.wal.ingestion_time_range_slack": (
        "distributor.ingestion_time_range_slack_s",
        _DURATION,
    ),
}
"""Key of Tempo -> our leaf, with a parser where the unit or the meaning of 0 differs."""

_TLS = "the endpoint would be served without it; put a proxy that ends TLS in front"

REFUSED: Final[dict[str, str]] = {
    f"TLS is not supported yet, and {_TLS}": f"""
        {{{_GRPC},{_HTTP},{_ZIPKIN},{_JAEGER}.{{grpc,thrift_http}}}}.tls
        server.{{http_tls_config,grpc_tls_config}}
    """,
    "authentication of senders is not supported yet, and the endpoint would be open": f"""
        {{{_GRPC},{_HTTP},{_ZIPKIN},{_JAEGER}.{{grpc,thrift_http}}}}.auth
    """,
}
"""Reason -> keys that would be dangerous to pass over; fine if they say false or nothing."""

_DSKIT_SERVER = """
    {http_listen_network,grpc_listen_network,grpc_listen_conn_limit}
    {proxy_protocol_enabled,tls_cipher_suites,tls_min_version,register_instrumentation}
    {report_grpc_codes_in_instrumentation_label_enabled,http_server_read_timeout}
    {http_server_read_header_timeout,http_server_write_timeout,http_server_idle_timeout}
    {http_log_closed_connections_without_response_enabled}
    {grpc_server_max_send_msg_size}
    {grpc_server_max_connection_idle,grpc_server_max_connection_age}
    {grpc_server_max_connection_age_grace,grpc_server_keepalive_time}
    {grpc_server_keepalive_timeout,grpc_server_min_time_between_pings}
    {grpc_server_ping_without_stream_allowed,grpc_server_num_workers}
    {grpc_server_stats_tracking_enabled,grpc_server_recv_buffer_pools_enabled}
    {grpc_collect_max_streams_by_conn,log_source_ips_enabled,log_source_ips_full}
    {log_source_ips_header,log_source_ips_regex,log_request_headers}
    {log_request_at_info_level_enabled,log_request_exclude_headers_list,http_path_prefix}
    {trace_request_headers,trace_request_exclude_headers_list,cluster_validation,throughput}
"""

_COLLECTOR_GRPC = """
    transport keepalive max_concurrent_streams include_metadata middlewares
    read_buffer_size write_buffer_size dialer
"""
_COLLECTOR_HTTP = """
    cors include_metadata compression_algorithms response_headers middlewares keep_alives_enabled
    transport read_timeout read_header_timeout write_timeout idle_timeout
"""

IGNORED: Final[dict[str, str]] = {
    "connections and their timeouts are managed by the server itself": "server."
    + " server.".join(_DSKIT_SERVER.split()),
    "there is no second status server": "internal_server",
    "nothing is reported to anybody": "usage_report.{reporting_enabled,backoff}",
    "memory is bounded by the settings of each component": "memory",
    "there is no ring and no gossip; the bucket coordinates": """
        memberlist.{node_name,randomize_node_name,stream_timeout,retransmit_factor}
        memberlist.{pull_push_interval,gossip_interval,gossip_nodes,gossip_to_dead_nodes_time}
        memberlist.{dead_node_reclaim_time,compression_enabled,notify_interval,advertise_addr}
        memberlist.{advertise_port,cluster_label,cluster_label_verification_disabled}
        memberlist.{join_members,min_join_backoff,max_join_backoff,max_join_retries}
        memberlist.{abort_if_cluster_join_fails,abort_if_cluster_fast_join_fails}
        memberlist.{rejoin_interval,left_ingesters_timeout,obsolete_entries_timeout}
        memberlist.{leave_timeout,broadcast_timeout_for_local_updates_on_shutdown}
        memberlist.{message_history_buffer_bytes,bind_addr,bind_port,packet_dial_timeout}
        memberlist.{packet_write_timeout,tls_enabled,tls_cert_path,tls_key_path,tls_ca_path}
        memberlist.{tls_server_name,tls_insecure_skip_verify,tls_cipher_suites,tls_min_version}
        memberlist.{watch_prefix_buffer_size,zone_aware_routing,acquire_writer_timeout}
        memberlist.{rejoin_seed_nodes,max_concurrent_writes,propagation_delay_tracker}
        {distributor,compactor,backend_worker,metrics_generator}.{ring,override_ring_key}
        ingester.{lifecycler,override_ring_key}
        live_store.{ring,partition_ring}  querier.partition_ring  distributor.extend_writes
        querier.{shuffle_sharding_ingesters_enabled,shuffle_sharding_ingesters_lookback_period}
        querier.{query_relevant_ingesters,secondary_ingester_ring}
    """,
    "the roles run in one process and call one another directly": """
        {ingester_client,metrics_generator_client,live_store_client,backend_scheduler_client}
        querier.frontend_worker  query_frontend.querier_forget_delay
        {ingest,block_builder}
        live_store.{metrics,commit_interval,initial_backoff,max_backoff,consumer_group}
        live_store.{shutdown_marker_dir,readiness_target_lag,readiness_max_wait,fail_on_high_lag}
        distributor.{kafka_write_path_enabled,ingester_write_path_enabled,kafka_config}
    """,
    "the drain begins at once": "shutdown_delay",
    "legacy switch of Tempo": """
        {search_enabled,metrics_generator_enabled,use_otel_tracer,enable_go_runtime_metrics}
        {autocomplete_filtering_enabled,polling_enabled}
    """,
    "this receiver is not supported yet": """
        distributor.receivers.{opencensus,kafka,jaeger.remote_sampling}
    """,
    "the receiver has no such setting": " ".join(
        f"{receiver}.{{{','.join(names.split())}}}"
        for receiver, names in (
            (_GRPC, _COLLECTOR_GRPC),
            (_HTTP, f"{_COLLECTOR_HTTP} metrics_url_path logs_url_path"),
            (_ZIPKIN, f"{_COLLECTOR_HTTP} parse_string_tags"),
            (f"{_JAEGER}.grpc", _COLLECTOR_GRPC),
            (f"{_JAEGER}.thrift_http", _COLLECTOR_HTTP),
            (f"{_JAEGER}.{{thrift_compact,thrift_binary}}", "workers socket_buffer_size"),
        )
    ),
    "replaced by distributor.max_attribute_bytes": "distributor.max_span_attr_byte",
    "the distributor has no such setting": """
        distributor.{forwarders,usage,log_received_traces,log_received_spans}
        distributor.{log_discarded_spans,metric_received_spans,search_tags_deny_list}
        distributor.{artificial_delay,limiter_type}
    """,
    "a span is searchable at once and flushed with its block": """
        ingester.{trace_idle_period,trace_live_period,flush_check_period,flush_op_timeout}
        ingester.{complete_block_timeout,flush_all_on_shutdown,flush_object_storage}
        ingester.{autocomplete_filtering_enabled,use_flatbuffer_search,dedicated_columns}
        live_store.{max_trace_idle,max_trace_live,max_live_traces_bytes,complete_block_timeout}
        live_store.{flush_check_period,flush_op_timeout,instance_flush_period,instance_cleanup_period}
        live_store.{wal,block,block_config,search,query_blocks,query_block_concurrency}
        live_store.{concurrent_blocks,dedicated_columns,remove_owner_on_shutdown}
    """,
    "the block format is tracestore's own, and every attribute is a column": """
        storage.trace.block.{version,bloom_filter_shard_size_bytes,parquet_row_group_size_bytes}
        storage.trace.block.{parquet_dedicated_columns,row_group_size_bytes,encoding}
        storage.trace.block.{v2_index_downsample_bytes,v2_index_page_size_bytes,v2_encoding}
        storage.trace.block.{index_downsample_bytes,index_page_size_bytes}
        storage.trace.block.{search_encoding,search_page_size_bytes,create_with_dedicated_columns}
        storage.trace.wal.{completedfilepath,blocksfilepath,v2_encoding,search_encoding}
        storage.trace.wal.{encoding,version,dedicated_columns}
        storage.trace.search.{chunk_size_bytes,prefetch_trace_count,read_buffer_count}
        storage.trace.search.{read_buffer_size_bytes,cache_control}
    """,
    "the index is followed continuously; see storage.blocklist_poll_s": """
        storage.trace.{blocklist_poll,blocklist_poll_concurrency,blocklist_poll_fallback}
        storage.trace.{blocklist_poll_tenant_concurrency,blocklist_poll_tenant_index_builders}
        storage.trace.{blocklist_poll_stale_tenant_index,blocklist_poll_jitter_ms}
        storage.trace.{blocklist_poll_tolerate_consecutive_errors}
        storage.trace.{blocklist_poll_tolerate_tenant_failures,empty_tenant_deletion_enabled}
        storage.trace.empty_tenant_deletion_age
    """,
    "only a directory or S3 holds blocks": "storage.trace.{gcs,azure}",
    "reads are cached in the process; see storage.cache_bytes": """
        cache.{background,caches}
        storage.trace.{cache,cache_min_compaction_level,cache_max_block_age,background_cache}
        storage.trace.{memcached,redis,cache_control}
    """,
    "the query pool is bounded by query.max_concurrent_queries": """
        storage.trace.pool.{max_workers,queue_depth}
        query_frontend.{max_batch_size,max_retries,response_consumers,weights,query_shards}
        query_frontend.{rf1_after,tolerate_failed_blocks,shards}
        query_frontend.search.{concurrent_jobs,target_bytes_per_job,query_backend_after}
        query_frontend.search.{ingester_shards,most_recent_shards,query_ingesters_until}
        query_frontend.search.{duration_slo,throughput_bytes_slo,metadata_slo}
        query_frontend.trace_by_id.{query_shards,blocks_per_shard,concurrent_shards}
        query_frontend.trace_by_id.{duration_slo,throughput_bytes_slo,tolerate_failed_blocks}
        query_frontend.trace_by_id.{hedge_requests_at,hedge_requests_up_to,external_enabled}
        query_frontend.trace_by_id.span_pruning_enabled  querier.trace_by_id.external
        querier.search.{prefer_self,external_hedge_requests_at,external_hedge_requests_up_to}
        querier.search.{external_backend,external_endpoints,google_cloud_run,cloud_run}
        querier.{extra_query_delay,query_live_store,trace_by_id.query_timeout}
    """,
    "all queries are allowed, and their headers are not logged": """
        query_frontend.{url_deny_list,log_query_request_headers}
    """,
    "see query.query_timeout_s": "query_frontend.api_timeout",
    "metrics are computed in the process; see query.max_concurrent_queries": """
        query_frontend.metrics.{concurrent_jobs,target_bytes_per_job,query_backend_after}
        query_frontend.metrics.{interval,exemplars,streaming_shards}
        query_frontend.metrics.{duration_slo,throughput_bytes_slo}
        querier.metrics.{concurrent_blocks,time_overlap_cutoff}
    """,
    "a merge is streamed, in memory that does not grow with its blocks": """
        compactor.compaction.{chunk_size_bytes,flush_size_bytes,retention_concurrency}
        compactor.compaction.{max_time_per_tenant,iterator_buffer_size,v2_in_buffer_bytes}
        compactor.compaction.{v2_out_buffer_bytes,v2_prefetch_traces_count}
    """,
    "each compactor finds its work in the index": """
        backend_scheduler.{work,maintenance_interval,backend_flush_interval,job_timeout}
        backend_scheduler.{local_work_path,tenant_measurement_interval}
        backend_scheduler.provider.{retention,redaction,work}
        backend_scheduler.provider.compaction.{measure_interval,max_jobs_per_tenant,backoff}
        backend_scheduler.provider.compaction.{min_input_blocks,max_input_blocks}
        backend_scheduler.provider.compaction.{min_cycle_interval,max_compaction_level}
        {backend_scheduler.provider.compaction,backend_worker}.compaction.v2_in_buffer_bytes
        {backend_scheduler.provider.compaction,backend_worker}.compaction.v2_out_buffer_bytes
        {backend_scheduler.provider.compaction,backend_worker}.compaction.chunk_size_bytes
        {backend_scheduler.provider.compaction,backend_worker}.compaction.flush_size_bytes
        {backend_scheduler.provider.compaction,backend_worker}.compaction.compaction_window
        {backend_scheduler.provider.compaction,backend_worker}.compaction.max_compaction_objects
        {backend_scheduler.provider.compaction,backend_worker}.compaction.max_block_bytes
        {backend_scheduler.provider.compaction,backend_worker}.compaction.retention_concurrency
        {backend_scheduler.provider.compaction,backend_worker}.compaction.max_time_per_tenant
        {backend_scheduler.provider.compaction,backend_worker}.compaction.compaction_cycle
        {backend_scheduler.provider.compaction,backend_worker}.compaction.compacted_block_retention
        backend_worker.{backoff,finish_on_shutdown_timeout,min_job_duration}
    """,
    "stored spans are queried as they are": """
        metrics_generator.{traces_storage,traces_query_storage,query_timeout,disable_local_blocks}
        metrics_generator.processor.local_blocks
    """,
    "spans come by gRPC, from the ingester of the process or from distributors": """
        metrics_generator.{codec,ingest_concurrency,assigned_partitions,disable_grpc}
        metrics_generator.{consumer_group,instance_id}
    """,
    "the queue of remote write has settings of its own": "metrics_generator.storage.wal",
    "edges are matched by the process itself": "metrics_generator.processor.service_graphs.workers",
    "see generate_native_histograms of the tenant": """
        metrics_generator.processor.{service_graphs,span_metrics}.histogram_override
    """,
}
"""Reason -> keys that are accepted with a warning."""

COLLECTOR_RECEIVERS: Final = ("otlp", "jaeger", "zipkin", "opencensus", "kafka")
"""Keys that make ``distributor.receivers`` a Collector's map: what it does not name is off."""

RECEIVER_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "grpc": ("otlp", "protocols", "grpc"),
    "http": ("otlp", "protocols", "http"),
    "zipkin": ("zipkin",),
    "jaeger.grpc": ("jaeger", "protocols", "grpc"),
    "jaeger.thrift_http": ("jaeger", "protocols", "thrift_http"),
    "jaeger.thrift_compact": ("jaeger", "protocols", "thrift_compact"),
    "jaeger.thrift_binary": ("jaeger", "protocols", "thrift_binary"),
}
"""Section of a receiver -> its key in a Collector's map."""

OWN_RECEIVER_KEYS: Final = frozenset(
    {"enabled", "request_bytes_max", "grpc", "thrift_http", "thrift_compact", "thrift_binary"}
)
"""Keys of ours below a name of a Collector's map; where one stands, the map is ours."""

FLAG_ALIASES: Final[dict[str, str]] = {
    "log.level": "server.log_level",
    "log.format": "server.log_format",
    "multitenancy.enabled": "multitenancy_enabled",
    "auth.enabled": "auth_enabled",
    "http-api-prefix": "server.http_api_prefix",
    "memberlist.join": "memberlist.join_members",
    "memberlist.nodename": "memberlist.node_name",
    "reporting.enabled": "usage_report.reporting_enabled",
    "shutdown-delay": "shutdown_delay",
    "storage.trace.local-path": "storage.path",
}
"""Flags of Tempo whose name is not the path of a key."""

FLAGS_WITHOUT_MEANING: Final = frozenset(
    {
        "mem-ballast-size-mbs",
        "mutex-profile-fraction",
        "block-profile-threshold",
        "memberlist.host-port",
        "use-otel-tracer",
        "search.enabled",
    }
)
"""Flags of Tempo, old ones too, that change nothing here."""

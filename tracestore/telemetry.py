"""Every metric series, declared in one place.

A process makes one ``Metrics`` and passes it to its components; there is no global registry. The
names that begin with ``tempo`` mean what they mean in Tempo, so its dashboards and alerts work;
what only this store has begins with ``tracestore_``. ``docs/metrics.md`` is generated from the
declarations.

Source: HTTP API reference, "self-metrics"; Prometheus text format 0.0.4.
"""

from __future__ import annotations

from tracestore.generator_series import GeneratorSeries
from tracestore.telemetry_remote_write import RemoteWriteMetrics

REQUEST_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2.5, 5, 10, 25, 50, 100)
SYNC_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics(GeneratorSeries):
    """The series of one process, and their text form.

    The attributes are instruments of prometheus_client, safe to use from any thread.
    Cost: about 1 µs an increment; count per request or batch, never per span.
    """

    def __init__(self, *, version: str) -> None:
        super().__init__()
        self._declare_requests(version)
        self._declare_ingest()
        self._declare_overrides()
        self._declare_wal()
        self._declare_live()
        self._declare_queries()
        self._declare_jobs()
        self._declare_storage()
        self._declare_compaction()
        self._declare_cluster()
        self._declare_generator()
        self.remote_write = RemoteWriteMetrics(self._counter, self._gauge, self._histogram)
        self._of_process()

    def _declare_requests(self, version: str) -> None:
        self.request_seconds = self._histogram(
            "tempo_request_duration_seconds",
            "Time to answer a request, by route template.",
            ("method", "route", "status_code", "ws"),
            REQUEST_BUCKETS,
        )
        self.inflight_requests = self._gauge(
            "tempo_inflight_requests", "Requests that are being answered.", ("method", "route")
        )
        build_labels = ("branch", "goarch", "goos", "goversion", "revision", "tags", "version")
        self.build_info = self._gauge(
            "tempo_build_info", "1, labelled with the version that runs.", build_labels
        )
        self.build_info.labels(**(dict.fromkeys(build_labels, "") | {"version": version})).set(1)

        self.open_connections = self._gauge(
            "tracestore_http_connections", "Connections that are open to the port of the API."
        )
        self.refused_connections = self._counter(
            "tracestore_http_refused_connections_total",
            "Connections to the port of the API closed before a request: the limit, a timeout.",
            ("reason",),
        )

    def _declare_ingest(self) -> None:
        transport = ("receiver", "transport")
        self.accepted_spans = self._counter_as_gauge(
            "tempo_receiver_accepted_spans", "Spans acknowledged to senders.", transport
        )
        self.refused_spans = self._counter_as_gauge(
            "tempo_receiver_refused_spans", "Spans refused, malformed requests aside.", transport
        )
        self.refused_requests = self._counter(
            "tracestore_receiver_refused_requests_total",
            "Requests refused, by gRPC status name.",
            ("transport", "status"),
        )
        self.inflight_bytes = self._gauge(
            "tracestore_receiver_inflight_bytes",
            "Bytes of requests being received or waiting for the disk.",
        )
        self.spans_received = self._counter(
            "tempo_distributor_spans_received_total", "Spans received.", ("tenant",)
        )
        self.bytes_received = self._counter(
            "tempo_distributor_bytes_received_total",
            "Bytes of OTLP received, uncompressed.",
            ("tenant",),
        )
        self.ingress_bytes = self._counter(
            "tempo_distributor_ingress_bytes_total",
            "Bytes of requests as they came, before any check.",
            ("tenant",),
        )
        self.push_seconds = self._histogram(
            "tempo_distributor_push_duration_seconds",
            "From a request being whole to its acknowledgement.",
            (),
            REQUEST_BUCKETS,
        )
        self.discarded_spans = self._counter(
            "tempo_discarded_spans_total",
            "Spans that were received and not kept.",
            ("reason", "tenant"),
        )
        self.truncated_attributes = self._counter(
            "tempo_distributor_attributes_truncated_total",
            "Keys and values of attributes that were cut, by what has the attribute.",
            ("tenant", "scope"),
        )
        self.warnings = self._counter(
            "tempo_warnings_total",
            "Requests kept in spite of something odd, such as spans far from now.",
            ("tenant", "reason"),
        )

    def _declare_overrides(self) -> None:
        self.reload_successful = self._gauge(
            "tempo_runtime_config_last_reload_successful",
            "1 if the file of overrides was good when it was last read.",
        )
        self.runtime_config_hash = self._gauge(
            "tempo_runtime_config_hash", "1, labelled with the file that holds.", ("sha256",)
        )
        self.limits_defaults = self._gauge(
            "tempo_limits_defaults", "Limits of a tenant without a block.", ("limit_name",)
        )
        self.limits_overrides = self._gauge(
            "tempo_limits_overrides",
            "Limits of the tenants that have a block.",
            ("limit_name", "user"),
        )
        self.user_overrides_failed = self._counter(
            "tempo_overrides_user_configurable_overrides_reload_failed_total",
            "Looks for overrides that tenants set themselves that failed.",
        )

    def _declare_wal(self) -> None:
        self.wal_records = self._counter(
            "tracestore_wal_records_total", "Records appended to the log."
        )
        self.wal_bytes = self._counter(
            "tracestore_wal_bytes_total", "Bytes appended to the log, compressed."
        )
        self.wal_sync_seconds = self._histogram(
            "tracestore_wal_sync_seconds",
            "Time of one sync of the log; in the bucket, until its object is acknowledged.",
            (),
            SYNC_BUCKETS,
        )
        self.wal_records_per_sync = self._histogram(
            "tracestore_wal_records_per_sync",
            "Requests that one sync made durable.",
            (),
            BATCH_BUCKETS,
        )
        self.wal_failures = self._counter(
            "tracestore_wal_failures_total",
            "Records whose sync or PUT failed, disk full included; in the bucket each try counts.",
        )
        self.wal_corrupt_records = self._counter(
            "tracestore_wal_corrupt_records_total",
            "Records whose checksum failed at replay; each is kept in a quarantine.",
        )
        self.wal_torn_tails = self._counter(
            "tracestore_wal_torn_tails_total",
            "Segments that ended in an unfinished record, which was never acknowledged.",
        )
        self.wal_adopted_logs = self._counter(
            "tracestore_wal_adopted_logs_total",
            "Logs in the bucket of processes that were gone, written as blocks by this one.",
        )
        self.wal_replayed_records = self._counter(
            "tracestore_wal_replayed_records_total",
            "Records read back at start, or of adopted logs.",
        )
        self.wal_replayed_spans = self._counter(
            "tracestore_wal_replayed_spans_total", "Spans read back at start."
        )

    def _declare_live(self) -> None:
        self.live_spans = self._gauge("tracestore_live_spans", "Spans in live tables.", ("tenant",))
        self.live_bytes = self._gauge(
            "tracestore_live_bytes", "Wire bytes behind the live tables.", ("tenant",)
        )
        self.pending_bytes = self._gauge(
            "tracestore_pending_bytes", "Acknowledged bytes that wait for decoding."
        )
        self.decode_seconds = self._counter(
            "tracestore_decode_seconds_total", "Time spent decoding requests into live tables."
        )
        self.blocks_completed = self._counter(
            "tempo_live_store_blocks_completed_total", "Blocks written and committed."
        )
        self.flush_seconds = self._histogram(
            "tracestore_flush_seconds",
            "From the start of a flush to its commit.",
            (),
            REQUEST_BUCKETS,
        )
        self.sampling_traces = self._counter(
            "tracestore_sampling_traces_total",
            "Traces over which a sampling policy decided: kept, kept_by_ratio or dropped.",
            ("tenant", "decision"),
        )
        self.sampling_spans = self._counter(
            "tracestore_sampling_spans_total",
            "Spans of tenants with a sampling policy, by what became of their trace.",
            ("tenant", "decision"),
        )
        self.sampling_late_spans = self._counter(
            "tracestore_sampling_late_spans_total",
            "Spans among them that followed a decision made before.",
            ("tenant", "decision"),
        )
        self.sampling_remembered = self._gauge(
            "tracestore_sampling_remembered_traces",
            "Decisions that are remembered for late spans.",
            ("tenant",),
        )
        self.sampling_waiting = self._gauge(
            "tracestore_sampling_waiting_heads",
            "Live tables that wait for late spans before their traces are judged.",
        )
        self.flush_spans = self._counter("tracestore_flush_spans_total", "Spans written to blocks.")
        self.flush_bytes = self._counter("tracestore_flush_bytes_total", "Bytes of blocks written.")
        self.flush_failures = self._counter(
            "tempo_live_store_failed_completions_total", "Flushes that failed and are tried again."
        )

    def _declare_queries(self) -> None:
        by_op = ("tenant", "op")
        self.queries = self._counter(
            "tempo_query_frontend_queries_total",
            "Queries answered; op is traces, search, metadata or metrics.",
            ("tenant", "op", "result"),
        )
        self.query_seconds = self._histogram(
            "tracestore_query_seconds", "Time of a query, waiting included.", by_op, REQUEST_BUCKETS
        )
        self.inspected_bytes = self._counter(
            "tempo_query_frontend_bytes_inspected_total",
            "Bytes of columns that queries read, from memory or disk.",
            by_op,
        )
        self.inspected_spans = self._counter(
            "tracestore_query_inspected_spans_total", "Spans that queries looked at.", by_op
        )
        self.pruned_blocks = self._counter(
            "tracestore_query_pruned_blocks_total",
            "Blocks that a query skipped because they provably hold no match.",
            by_op,
        )
        self.queue_length = self._gauge(
            "tempo_query_frontend_queue_length", "Queries that wait for their turn.", ("user",)
        )
        self.queue_seconds = self._histogram(
            "tempo_query_frontend_queue_duration_seconds",
            "How long queries waited for their turn.",
            (),
            REQUEST_BUCKETS,
        )
        self.discarded_queries = self._counter(
            "tempo_query_frontend_discarded_requests_total",
            "Queries refused because too many waited.",
            ("user",),
        )

    def _declare_jobs(self) -> None:
        self.jobs_per_query = self._histogram(
            "tempo_query_frontend_jobs_per_query",
            "Jobs that queriers did for a query; 0 if it was answered where it was asked.",
            ("op",),
            (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
        )
        self.job_retries = self._histogram(
            "tempo_query_frontend_retries",
            "Queriers that were asked for a job beyond the first.",
            (),
            (0, 1, 2, 3, 4, 5),
        )
        self.hedged_jobs = self._counter(
            "tracestore_query_frontend_hedged_jobs_total",
            "Jobs that took long and were given to another querier, too.",
        )
        self.job_seconds = self._histogram(
            "tempo_querier_worker_request_executed_total",
            "Time of a job of another process's query in this querier, waiting included. A "
            "histogram, whatever its name says.",
            (),
            REQUEST_BUCKETS,
        )

    def _declare_compaction(self) -> None:
        level = ("level",)
        self.compaction_blocks = self._counter(
            "tempodb_compaction_blocks_total", "Blocks that were merged, by their level.", level
        )
        self.compaction_objects_written = self._counter(
            "tempodb_compaction_objects_written_total", "Traces written by merges.", level
        )
        self.compaction_bytes_written = self._counter(
            "tempodb_compaction_bytes_written_total", "Bytes written by merges.", level
        )
        self.compaction_objects_combined = self._counter(
            "tempodb_compaction_objects_combined_total",
            "Parts of traces that merges put together.",
            level,
        )
        self.compaction_outstanding = self._gauge(
            "tempodb_compaction_outstanding_blocks", "Blocks that wait for a merge.", ("tenant",)
        )
        self.compaction_errors = self._counter(
            "tempodb_compaction_errors_total", "Merges that failed and are tried again."
        )
        self.retention_seconds = self._histogram(
            "tempodb_retention_duration_seconds",
            "Applying retention to a block.",
            (),
            REQUEST_BUCKETS,
        )
        self.retention_errors = self._counter(
            "tempodb_retention_errors_total", "Attempts at it that failed and are made again."
        )
        self.retention_marked = self._counter(
            "tempodb_retention_marked_for_deletion_total", "Blocks that left the index by age."
        )
        self.retention_deleted = self._counter(
            "tempodb_retention_deleted_total", "Blocks whose objects were deleted."
        )

    def _declare_storage(self) -> None:
        self.blocklist_length = self._gauge(
            "tempodb_blocklist_length", "Blocks in the block list.", ("tenant",)
        )
        self.blocklist_bytes = self._gauge(
            "tracestore_blocklist_bytes", "Bytes of the blocks in the block list.", ("tenant",)
        )
        self.backend_objects = self._gauge(
            "tempodb_backend_objects_total", "Traces in blocks.", ("tenant", "status")
        )
        self.backend_bytes = self._gauge(
            "tempodb_backend_bytes_total", "Bytes of blocks.", ("tenant", "status")
        )
        self.index_age_seconds = self._gauge(
            "tempodb_blocklist_tenant_index_age_seconds",
            "Time since the index was read last.",
            ("tenant",),
        )
        self.index_errors = self._counter(
            "tempodb_blocklist_tenant_index_errors_total",
            "Looks for new commits that failed.",
            ("tenant",),
        )
        self.blocklist_poll_seconds = self._histogram(
            "tempodb_blocklist_poll_duration_seconds",
            "Time of one look for new commits.",
            (),
            SYNC_BUCKETS,
        )
        self.blocklist_poll_errors = self._counter(
            "tempodb_blocklist_poll_errors_total", "Looks for new commits that failed.", ("tenant",)
        )
        self.index_builder = self._gauge(
            "tempodb_blocklist_tenant_index_builder",
            "1: the index is a log of commits, and every process can write it.",
            ("tenant",),
        )
        self.backend_seconds = self._histogram(
            "tempodb_backend_request_duration_seconds",
            "Time of one operation on the object store.",
            ("operation", "status_code"),
            REQUEST_BUCKETS,
        )
        self.backend_transfer = self._counter(
            "tracestore_backend_transfer_bytes_total",
            "Bytes of objects sent to and received from the object store.",
            ("operation", "direction"),
        )
        self.cache_hits = self._counter_as_gauge(
            "tracestore_cache_hits_total", "Reads served from memory.", ("cache",)
        )
        self.cache_misses = self._counter_as_gauge(
            "tracestore_cache_misses_total", "Reads that went to the object store.", ("cache",)
        )
        self.cache_bytes = self._gauge("tracestore_cache_bytes", "Bytes kept.", ("cache",))

    def _declare_cluster(self) -> None:
        self.members = self._gauge(
            "tracestore_members", "Processes of the cluster that are alive.", ("role",)
        )
        self.members_silent = self._gauge(
            "tracestore_members_silent", "Addresses of members at which nobody answers."
        )
        self.members_silent_hellos = self._counter(
            "tracestore_members_silent_hellos_total", "Members asked who they are, in vain."
        )
        self.members_lookups_failed = self._counter(
            "tracestore_members_failed_lookups_total", "Look-ups of the name of the members."
        )
        self.pushes = self._counter(
            "tracestore_pushes_total",
            "Shares of requests sent to ingesters of other processes, by how it went.",
            ("outcome",),
        )
        self.push_bytes = self._counter(
            "tracestore_push_bytes_total", "Bytes of those that were made durable there."
        )
        self.push_share_seconds = self._histogram(
            "tracestore_push_duration_seconds",
            "From a share being cut to its acknowledgement by an ingester elsewhere.",
            (),
            REQUEST_BUCKETS,
        )
        self.push_inflight_bytes = self._gauge(
            "tracestore_push_inflight_bytes", "Bytes on their way to ingesters elsewhere."
        )
        self.generator_pushes = self._counter(
            "tempo_distributor_metrics_generator_pushes_total",
            "Pushes of spans to metrics-generators of other processes.",
            ("metrics_generator",),
        )
        self.generator_push_failures = self._counter(
            "tempo_distributor_metrics_generator_pushes_failures_total",
            "Those that failed; they are tried again, or go to the next generator.",
            ("metrics_generator",),
        )
        self.generator_push_dropped = self._counter(
            "tracestore_distributor_metrics_generator_dropped_spans_total",
            "Spans that are stored and missing in metrics from spans, by reason.",
            ("reason",),
        )
        self.generator_push_bytes = self._gauge(
            "tracestore_distributor_metrics_generator_queue_bytes",
            "Bytes that wait for metrics-generators elsewhere, or are on their way.",
        )
        self.generator_inbox_bytes = self._gauge(
            "tracestore_generator_inbox_bytes",
            "Bytes of distributors elsewhere that wait to be counted here.",
        )
        self.taken_push_bytes = self._gauge(
            "tracestore_ingester_push_inflight_bytes",
            "Bytes of distributors elsewhere that wait for the log here.",
        )

"""What the types of the settings do not say: choices, ranges, and what is not there yet."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tracestore.errors import SettingsError
from tracestore.settings import check_generator, check_members, s3_keys
from tracestore.settings.check_rules import wrong_rules
from tracestore.settings.leaves import leaf_values, leaves
from tracestore.settings.remote_write import check_names
from tracestore.settings.sampling_rules import wrong_queries, wrong_sampling
from tracestore.settings.structures import Structure
from tracestore.settings.tree import Settings

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "server.log_level": ("debug", "info", "warn", "error"),
    "server.log_format": ("logfmt", "json"),
    "ingester.wal.store": ("disk", "bucket"),
    "ingester.wal.compression": ("auto", "lz4", "zstd", "none"),
    "storage.block.compression": ("zstd", "lz4", "snappy", "gzip", "none"),
    "storage.s3.bucket_lookup_type": ("auto", "path", "dns"),
    "storage.s3.sse.type": ("", "SSE-S3", "SSE-KMS"),
}
TARGETS = (
    *("all", "distributor", "ingester", "querier", "query-frontend", "compactor"),
    "metrics-generator",
    "metrics-generator-no-local-blocks",
    "scalable-single-binary",
)
_TARGETS_TO_COME = frozenset(
    {
        "live-store",
        "block-builder",
        "backend-scheduler",
        "backend-worker",
    }
)
_MAY_BE_ZERO = frozenset(
    {
        "server.drain_timeout_s",
        "server.http_listen_conn_limit",
        "distributor.retry_after_on_resource_exhausted_s",
        "distributor.max_attribute_bytes",
        "distributor.ingestion_time_range_slack_s",
        "distributor.discard_log_interval_s",
        "distributor.push.wait_s",
        "distributor.push.leave_s",
        "ingester.decode_interval_s",
        "ingester.flush_retry_s",
        "ingester.room_wait_s",
        "ingester.sampling.decision_wait_s",
        "ingester.sampling.remember_s",
        "ingester.sampling.remembered_traces_max",
        "ingester.wal.adopt_after_s",
        "storage.cache_bytes",
        "storage.disk_cache.bytes_max",
        "storage.read_ahead_blocks",
        "storage.s3.read_gap_bytes",
        "storage.s3.retry_min_s",
        "metrics_generator.storage.remote_write_flush_deadline_s",
        "query.max_duration_s",
        "query.max_bytes_read",
        "query.max_blocks_per_tag_values_query",
        "query.query_timeout_s",
        "query.trace_reach_s",
        "query.default_window_s",
        "query.max_result_limit",
        "query.max_spans_per_span_set",
        "query.max_metrics_duration_s",
        "query.max_metrics_intervals",
        "query.metrics_end_cutoff_s",
        "query.max_exemplars",
        "query.max_response_series",
        "query.max_metrics_samples",
        "query.max_metrics_series",
        "query.max_metrics_cells",
        "query.max_compared_values",
        "query.prometheus.stale_s",
        "query.prometheus.max_duration_s",
    }
)
_RULES = {"retention_rules": wrong_rules, "sampling": wrong_sampling, "drop": wrong_queries}
_SHARES = frozenset({"query.streaming.busy_max"})
_LIMITS = "overrides.defaults."
"""Each of them may be 0, which says something of its own."""
_SIGNED = frozenset({"storage.block.compression_level"})
_NUMBER_MAX = 1 << 53
_DURATION_MAX_S = 100 * 365 * 86400
_MAX = {
    "distributor.receivers.request_bytes_max": (1 << 31) - 1,
    "distributor.receivers.grpc.request_bytes_max": (1 << 31) - 1,
    "distributor.receivers.http.request_bytes_max": (1 << 31) - 1,
    "distributor.receivers.zipkin.request_bytes_max": (1 << 31) - 1,
    "distributor.receivers.jaeger.grpc.request_bytes_max": (1 << 31) - 1,
    "distributor.receivers.jaeger.thrift_http.request_bytes_max": (1 << 31) - 1,
    "ingester.sampling.decision_wait_s": 600,
    "ingester.sampling.remember_s": 86400,
    "ingester.wal.bucket.puts_in_flight_max": 8,
}
"""Largest values where the protocol has a limit of its own: gRPC counts in 32 bits."""
_LEVEL_MAX = {"zstd": 22, "gzip": 9}
_ENDPOINT = re.compile(r"(?P<host>\[[0-9a-fA-F:.%\w]*\]|[^:\[\]/\s]*):(?P<port>[0-9]{1,5})")


def check_settings(settings: Settings, origins: Mapping[str, str]) -> None:
    """Check the whole tree.

    Raises:
        SettingsError: a value cannot be worked with; names the key and where it was set.
    """
    for path, value in leaf_values(settings).items():
        reason = wrong(path, value)
        if reason is not None:
            raise _error(path, value, reason, origins)
    check_names(settings.metrics_generator.storage.remote_write)
    together = check_generator.wrong_together(leaf_values(settings))
    if together is not None:
        path, reason = together
        raise SettingsError(f"{origins[path]}: {path}: {reason}")
    if settings.storage.backend == "s3" and not settings.storage.s3.bucket:
        reason = "expected the name of a bucket, as storage.backend is s3"
        raise _error("storage.s3.bucket", "", reason, origins)
    block = settings.storage.block
    highest = _LEVEL_MAX.get(block.compression)
    if highest is not None and not 1 <= block.compression_level <= highest:
        reason = f"expected a level of {block.compression} from 1 to {highest}"
        path = "storage.block.compression_level"
        raise _error(path, block.compression_level, reason, origins)


def _error(path: str, value: object, reason: str, origins: Mapping[str, str]) -> SettingsError:
    return SettingsError(f"{origins[path]}: {path}: {wrong_text(path, value, reason)}")


def wrong_text(path: str, value: object, reason: str) -> str:
    """Write what is wrong, with the value if it is short and no secret."""
    if isinstance(leaves()[path].parse, Structure):
        return reason
    return f"{reason}, got {value!r}"


def wrong(path: str, value: object) -> str | None:
    """Say what is wrong with the value of a leaf by itself, None if nothing is."""
    if path in _CHOICES:
        return None if value in _CHOICES[path] else f"expected {' or '.join(_CHOICES[path])}"
    name = path.rpartition(".")[2]
    if name in _RULES and isinstance(value, tuple):
        return _RULES[name](value)
    if check_generator.is_of_generator(path):
        reason = check_generator.wrong_generator(path, value)
        if reason is not None:
            return reason
    if path.startswith("storage.s3.") and (reason := s3_keys.wrong_s3(path, value)):
        return reason
    if name == "endpoint" and path != "storage.s3.endpoint":
        return _wrong_endpoint(str(value))
    if path in check_members.PATHS:
        return check_members.wrong_members(path, value)
    if path == "compactor.compaction.orphan_age_s" and float(str(value)) < 86400:
        return "expected a day at least: a block may be that old before its commit"
    if path == "target":
        return _wrong_target(str(value))
    if path == "storage.backend":
        return _wrong_backend(str(value))
    if path == "storage.path" and not value:
        return "expected a directory"
    if name in ("http_api_prefix", "traces_url_path"):
        return _wrong_url_path(str(value), empty=name == "http_api_prefix")
    if name in ("http_listen_port", "grpc_listen_port"):
        return None if _is_port(value) else "expected a port from 0 to 65535"
    if path in _SHARES and isinstance(value, int | float) and not 0 < value <= 1:
        return "expected a share above 0, up to 1"
    if isinstance(value, int | float) and not isinstance(value, bool) and path not in _SIGNED:
        if value < 0:
            return "expected no negative value"
        if value == 0 and path not in _MAY_BE_ZERO and not path.startswith(_LIMITS):
            return "expected more than 0"
        highest = _MAX.get(path, _DURATION_MAX_S if name.endswith("_s") else _NUMBER_MAX)
        if value > highest:
            return f"expected at most {highest}"
    if isinstance(value, str) and "\0" in value:
        return "expected a text without a zero byte"
    return None


def _is_port(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= 65535


def _wrong_endpoint(text: str) -> str | None:
    match = _ENDPOINT.fullmatch(text)
    if match is None or not _is_port(int(match["port"])):
        return "expected host:port, such as 0.0.0.0:4317"
    return None


def _wrong_target(target: str) -> str | None:
    if target in TARGETS:
        return None
    known = f"known are {', '.join(TARGETS)}"
    if target in _TARGETS_TO_COME:
        return f"this role of Tempo does not run apart; {known}"
    return f"unknown target; {known}"


def _wrong_backend(backend: str) -> str | None:
    return None if backend in ("local", "s3") else "unknown backend, expected local or s3"


def _wrong_url_path(path: str, *, empty: bool) -> str | None:
    if path == "" and empty:
        return None
    return None if path.startswith("/") else "expected a path that begins with /"

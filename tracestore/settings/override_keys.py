"""What the keys below ``overrides`` of a Tempo configuration mean here, flat ones of 2.x too.

Data only, as ``tempo_keys.py``. A block of the per-tenant file has the keys of
``overrides.defaults``, or the flat ones.

Source: wire contract, section 18.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tracestore.settings import units
from tracestore.settings.generator_limits import GeneratorLimits
from tracestore.settings.leaves import leaf_values

DEFAULTS: Final = "overrides.defaults"

_DURATION = units.parse_unit_duration

Meaning = str | tuple[str, Callable[[str], object]]

DURATIONS: Final[Mapping[str, Meaning]] = {
    f"{DEFAULTS}.{key}": (f"{DEFAULTS}.{key}_s", _DURATION)
    for key in (
        "read.max_search_duration",
        "read.max_metrics_duration",
        "compaction.block_retention",
        "compaction.compaction_window",
        "metrics_generator.collection_interval",
        "metrics_generator.ingestion_time_range_slack",
        "metrics_generator.native_histogram_min_reset_duration",
    )
} | {
    f"overrides.{key}": (f"overrides.{key}_s", _DURATION)
    for key in ("per_tenant_override_period", "user_configurable_overrides.poll_interval")
}
"""Keys whose leaf has the unit in its name."""


def _generator_keys() -> Iterator[tuple[str, str]]:
    """Get the flat key of each limit of metrics from spans, and the key that it stands for."""
    for leaf in leaf_values(GeneratorLimits()):
        key = leaf.removesuffix("_s")
        above, dot, name = key.partition(".intrinsic_dimensions.")
        flat = above.replace(".", "_")
        yield f"{flat}_intrinsic_dimensions.{name}" if dot else flat, key


LEGACY: Final[dict[str, str]] = {
    "ingestion_rate_limit_bytes": "ingestion.rate_limit_bytes",
    "ingestion_burst_size_bytes": "ingestion.burst_size_bytes",
    "ingestion_max_attribute_bytes": "ingestion.max_attribute_bytes",
    "ingestion_retry_info_enabled": "ingestion.retry_info_enabled",
    "max_traces_per_user": "ingestion.max_traces_per_user",
    "max_global_traces_per_user": "ingestion.max_global_traces_per_user",
    "max_bytes_per_trace": "global.max_bytes_per_trace",
    "max_search_duration": "read.max_search_duration",
    "max_metrics_duration": "read.max_metrics_duration",
    "max_bytes_per_tag_values_query": "read.max_bytes_per_tag_values_query",
    "max_blocks_per_tag_values_query": "read.max_blocks_per_tag_values_query",
    "unsafe_query_hints": "read.unsafe_query_hints",
    "left_pad_trace_ids": "read.left_pad_trace_ids",
    "block_retention": "compaction.block_retention",
    "compaction_window": "compaction.compaction_window",
    "compaction_disabled": "compaction.compaction_disabled",
    **{f"metrics_generator_{flat}": f"metrics_generator.{key}" for flat, key in _generator_keys()},
}
"""Flat key of 2.x, directly below ``overrides`` or a tenant -> key below ``overrides.defaults``."""


def meant() -> dict[str, Meaning]:
    """Get what each key sets, in the form of ``tempo_keys.MEANT``."""
    found = dict(DURATIONS)
    for name, key in LEGACY.items():
        path = f"{DEFAULTS}.{key}"
        found[f"overrides.{name}"] = DURATIONS.get(path, path)
    return found


def successor(name: str) -> str | None:
    """Get the key that has taken the place of a flat one of 2.x; None: it is none."""
    key = LEGACY.get(name.removeprefix("overrides."))
    return None if key is None else f"{DEFAULTS}.{key}"


_GENERATOR = f"{DEFAULTS}.metrics_generator"

IGNORED: Final[dict[str, str]] = {
    "the members of the cluster are known without a ring": f"""
        {_GENERATOR}.ring_size  overrides.metrics_generator_ring_size
    """,
    "the generator's queue has settings of its own; see metrics_generator": f"""
        {_GENERATOR}.forwarder.{{queue_size,workers}}
        overrides.metrics_generator_{{forwarder_queue_size,forwarder_workers}}
    """,
    "stored spans are queried as they are": f"""
        {_GENERATOR}.processor.local_blocks
        overrides.metrics_generator_processor_local_blocks_{{max_live_traces,max_block_duration}}
        overrides.metrics_generator_processor_local_blocks_{{max_block_bytes,flush_check_period}}
        overrides.metrics_generator_processor_local_blocks_trace_idle_period
        overrides.metrics_generator_processor_local_blocks_complete_block_timeout
    """,
    "spans are forwarded to nobody, and costs are not attributed": f"""
        overrides.{{forwarders,cost_attribution}}  {DEFAULTS}.{{forwarders,cost_attribution}}
    """,
    "there is one distributor, and it answers as soon as it can": f"""
        {DEFAULTS}.ingestion.{{rate_strategy,tenant_shard_size,artificial_delay}}
        overrides.ingestion_{{rate_strategy,tenant_shard_size,artificial_delay}}
    """,
    "queries are made fast by other means": f"""
        {DEFAULTS}.read.{{metrics_spanonly_fetch,span_pruning_awareness,span_pruning_enabled}}
        {DEFAULTS}.read.engine_bytes_tracking
    """,
    "every attribute is a column": f"""
        {DEFAULTS}.storage.parquet_dedicated_columns
        overrides.{{parquet_dedicated_columns,max_search_bytes_per_trace,search_tags_allow_list}}
    """,
    "both formats are read": "overrides.enable_legacy_overrides",
    "they are kept in the store that keeps the blocks": """
        overrides.user_configurable_overrides.client
    """,
}
"""Reason -> keys that are accepted with a warning."""

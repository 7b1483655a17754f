"""The settings that a query runs with: the process's, with the limits of its tenants over them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tracestore.settings.limits import TenantLimits
from tracestore.settings.prometheus_tree import PrometheusSettings
from tracestore.settings.tree import QuerySettings

_STRICTEST = (
    "max_duration_s",
    "max_metrics_duration_s",
    "max_bytes_per_tag_values_query",
    "max_blocks_per_tag_values_query",
    "max_bytes_read",
    "query_timeout_s",
    "max_trace_bytes",
)
"""Settings of which 0 is no limit."""


def with_limits(settings: QuerySettings, limits: TenantLimits) -> QuerySettings:
    """Put the limits of a tenant over the settings of the process."""
    read = limits.read
    tag_bytes = read.max_bytes_per_tag_values_query
    return replace(
        settings,
        max_duration_s=read.max_search_duration_s or settings.max_duration_s,
        max_metrics_duration_s=read.max_metrics_duration_s or settings.max_metrics_duration_s,
        prometheus=_prometheus(settings.prometheus, read.max_metrics_duration_s),
        max_bytes_per_tag_values_query=(
            settings.max_bytes_per_tag_values_query if tag_bytes is None else tag_bytes
        ),
        max_blocks_per_tag_values_query=(
            read.max_blocks_per_tag_values_query or settings.max_blocks_per_tag_values_query
        ),
        max_bytes_read=read.max_bytes_read or settings.max_bytes_read,
        query_timeout_s=read.query_timeout_s or settings.query_timeout_s,
        max_trace_bytes=limits.global_.max_bytes_per_trace or settings.max_trace_bytes,
        left_pad_trace_ids=read.left_pad_trace_ids or settings.left_pad_trace_ids,
    )


def _prometheus(settings: PrometheusSettings, max_duration_s: float) -> PrometheusSettings:
    return replace(settings, max_duration_s=max_duration_s or settings.max_duration_s)


def strictest(settings: QuerySettings, limits: Iterable[TenantLimits]) -> QuerySettings:
    """Get the settings of a query of several tenants: of each limit the strictest.

    Without a tenant they are those of the process. IDs are padded if one tenant wants it.
    """
    each = [with_limits(settings, one) for one in limits]
    if len(each) == 1:
        return each[0]
    if not each:
        return settings
    bounds: dict[str, Any] = {
        name: min((value for one in each if (value := getattr(one, name))), default=0)
        for name in _STRICTEST
    }
    reach = min((s for one in each if (s := one.prometheus.max_duration_s)), default=0.0)
    bounds["prometheus"] = _prometheus(each[0].prometheus, reach)
    return replace(each[0], **bounds, left_pad_trace_ids=any(e.left_pad_trace_ids for e in each))

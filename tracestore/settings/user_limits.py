"""What a tenant may set for itself by ``/api/overrides``: the shape, checked, and its merges.

Only keys that are present say something; an empty list is a value. What is of metrics from spans
holds over the file of the operator; what is of forwarding and costs has no effect.

Source: wire contract, section 18.4; RFC 7386 (JSON merge patch).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    ConfigDict,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
)
from typing_extensions import TypedDict  # pydantic wants it so before Python 3.12

from tracestore.errors import InvalidRequestError, SettingsError
from tracestore.settings import units
from tracestore.settings.override_keys import DEFAULTS
from tracestore.settings.overrides import TenantBlock, read_user_block
from tracestore.settings.render_overrides import nested

Json = dict[str, Any]

DEPTH_MAX = 32
_SOURCE = "overrides"
_MINUTE_S = 60
_STRICT = ConfigDict(extra="forbid")


def _between(lowest_s: float, highest_s: float, name: str) -> AfterValidator:
    def check(text: str) -> str:
        try:
            seconds = units.parse_unit_duration(text)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{error}, got {text!r}") from error
        if not lowest_s <= seconds <= highest_s:
            raise ValueError(f"{name} must be between {lowest_s:g}s and {highest_s:g}s")
        return text

    return AfterValidator(check)


_Interval = Annotated[StrictStr, _between(15, 5 * _MINUTE_S, "collection_interval")]
_Slack = Annotated[StrictStr, _between(0, 720 * _MINUTE_S, "ingestion_time_range_slack")]
_Duration = Annotated[StrictStr, _between(0, 100 * 365 * 86400, "duration")]
_Number = StrictFloat | StrictInt
_Processor = Literal[
    "service-graphs",
    "service-graphs-request",
    "service-graphs-latency",
    "service-graphs-connection-info",
    "span-metrics",
    "span-metrics-count",
    "span-metrics-latency",
    "span-metrics-size",
    "host-info",
    "local-blocks",
]


class _ServiceGraphs(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # read by pydantic
    histogram_buckets: list[_Number]
    dimensions: list[StrictStr]
    peer_attributes: list[StrictStr]
    filter_policies: list[Json]
    enable_client_server_prefix: StrictBool
    enable_messaging_system_latency_histogram: StrictBool
    enable_virtual_node_label: StrictBool
    span_multiplier_key: StrictStr
    enable_tracestate_span_multiplier: StrictBool


class _SpanMetrics(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # read by pydantic
    histogram_buckets: list[_Number]
    dimensions: list[StrictStr]
    intrinsic_dimensions: dict[StrictStr, StrictBool]
    filter_policies: list[Json]
    dimension_mappings: list[Json]
    enable_target_info: StrictBool
    target_info_excluded_dimensions: list[StrictStr]
    enable_instance_label: StrictBool
    span_multiplier_key: StrictStr
    enable_tracestate_span_multiplier: StrictBool


class _HostInfo(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # read by pydantic
    host_identifiers: list[StrictStr]
    metric_name: StrictStr


class _Processors(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # read by pydantic
    service_graphs: _ServiceGraphs
    span_metrics: _SpanMetrics
    host_info: _HostInfo


class _Generator(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # read by pydantic
    processors: list[_Processor]
    disable_collection: StrictBool
    collection_interval: _Interval
    trace_id_label_name: StrictStr
    ingestion_time_range_slack: _Slack
    generate_native_histograms: Literal["classic", "native", "both"]
    native_histogram_max_bucket_number: StrictInt
    native_histogram_bucket_factor: _Number
    native_histogram_min_reset_duration: _Duration
    span_name_sanitization: StrictStr
    processor: _Processors


class _Costs(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # read by pydantic
    max_cardinality: StrictInt
    dimensions: dict[StrictStr, StrictStr]


class _Limits(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # read by pydantic
    forwarders: list[StrictStr]
    cost_attribution: _Costs
    metrics_generator: _Generator


_ADAPTER = TypeAdapter(_Limits)


def parse_json(content: bytes) -> Json:
    """Read a JSON object. Raises: InvalidRequestError."""
    try:
        found = json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidRequestError("the body must be a JSON object")
    if _depth(found) > DEPTH_MAX:
        raise InvalidRequestError(f"the body is nested deeper than {DEPTH_MAX} levels")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _depth(value: object, level: int = 0) -> int:
    if level > DEPTH_MAX:
        return level
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max((_depth(part, level + 1) for part in parts), default=level)


def check_limits(limits: Json) -> Json:
    """Check shape and values. Returns the limits without what is null.

    Raises: InvalidRequestError naming the field.
    """
    present: Json = merge_patch({}, limits)
    try:
        _ADAPTER.validate_python(present)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise InvalidRequestError(f'json: unknown field "{where}"') from error
        raise InvalidRequestError(f"{where}: {first['msg']}") from error
    parse_block(present)
    return present


def parse_block(limits: Json) -> TenantBlock:
    """Make of limits what they set. Raises: InvalidRequestError naming the field."""
    try:
        return read_user_block(limits, source=_SOURCE)
    except SettingsError as error:
        message = str(error).removeprefix(f"{_SOURCE}: ").replace(f"{DEFAULTS}.", "")
        raise InvalidRequestError(message) from error


def render_block(values: Mapping[str, object]) -> Json:
    """Write what is of metrics from spans among limits as the API has it, secrets masked.

    Args:
        values: by path below ``overrides.defaults``.
    """
    written = {
        path.removesuffix("_s"): units.render_duration(cast("float", value))
        if path.endswith("_s")
        else value
        for path, value in values.items()
        if path.startswith("metrics_generator.") and value is not None
    }
    return nested(written)


def merge_patch(target: object, patch: object) -> Any:
    """Put a patch over a value: null takes a key away, objects merge, the rest replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged

"""What is wrong with settings of the metrics from spans, of the server or of a tenant.

Source: wire contract, section 17; Prometheus, names of metrics and labels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import cast

from tracestore.errors import SettingsError
from tracestore.settings.generator_tree import (
    DimensionMapping,
    FilterPolicy,
    PolicyAttribute,
    PolicyMatch,
)
from tracestore.settings.remote_auth import check_header

_SECTION = "metrics_generator"
_BUCKETS_MAX = 1000
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_NO_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_RESERVED = frozenset({"__name__", "le", "quantile"})
_EDGE_LABELS = frozenset({"client", "server", "connection_type", "virtual_node"})
_KINDS = tuple(
    f"SPAN_KIND_{name}"
    for name in ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
)
_STATUSES = ("STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR")
_VALUES = {"kind": _KINDS, "status": _STATUSES}
CHOICES: Mapping[str, tuple[str, ...]] = {
    "limiter_type": ("series", "entity"),
    "generate_native_histograms": ("", "classic", "native", "both"),
    "span_name_sanitization": ("", "dry_run", "enabled"),
}


def is_of_generator(path: str) -> bool:
    """Tell whether a leaf is about metrics from spans."""
    return _SECTION in path.split(".")


def wrong_generator(path: str, value: object) -> str | None:
    """Say what is wrong with the value of a leaf by itself, None if nothing is."""
    name = path.rpartition(".")[2]
    if value is None:
        return None
    if name in CHOICES:
        known = " or ".join(choice or "nothing" for choice in CHOICES[name])
        return None if value in CHOICES[name] else f"expected {known}"
    if name == "histogram_buckets":
        return _wrong_buckets(cast("tuple[float, ...]", value))
    if name == "filter_policies":
        return _wrong_policies(cast("tuple[FilterPolicy, ...]", value))
    if name == "dimension_mappings":
        return _wrong_mappings(cast("tuple[DimensionMapping, ...]", value))
    if name in _LISTS:
        return _wrong_texts(cast("tuple[str, ...]", value), labels=name == "dimensions")
    if name in ("external_labels", "remote_write_headers"):
        pairs = cast("tuple[tuple[str, str], ...]", value)
        return _wrong_labels(pairs) if name == "external_labels" else _wrong_headers(pairs)
    if name in ("inject_tenant_id_as", "trace_id_label_name") and value:
        return _wrong_label(str(value))
    if name == "metric_name" and not _METRIC.fullmatch(str(value)):
        return "expected the name of a metric, such as traces_host_info"
    if name == "native_histogram_bucket_factor" and value and cast("float", value) <= 1:
        return "expected more than 1, or 0 for 1.1"
    return None


_LISTS = frozenset(
    {
        "dimensions",
        "peer_attributes",
        "database_name_attributes",
        "host_identifiers",
        "target_info_excluded_dimensions",
        "source_labels",
    }
)


def wrong_together(values: Mapping[str, object]) -> tuple[str, str] | None:
    """Say what is wrong with values that stand together in one place, None if nothing is.

    Args:
        values: by path, of the leaves that are given there; those of other sections may be among
            them.

    Returns: the path and the reason.
    """
    for path, value in values.items():
        section, _, name = path.rpartition(".")
        if not is_of_generator(path) or not value:
            continue
        if name == "dimension_mappings":
            others = cast("tuple[str, ...]", values.get(f"{section}.dimensions") or ())
            taken = {_label(dimension) for dimension in others}
            for mapping in cast("tuple[DimensionMapping, ...]", value):
                if _label(mapping.name) in taken:
                    return path, f"the label {_label(mapping.name)} is a dimension already"
        if name == "dimensions" and section.endswith("service_graphs"):
            if values.get(f"{section}.enable_client_server_prefix"):
                continue
            for dimension in cast("tuple[str, ...]", value):
                if _label(dimension) in _EDGE_LABELS:
                    return path, f"the label {_label(dimension)} is one of every edge already"
    return None


def _wrong_buckets(bounds: tuple[float, ...]) -> str | None:
    if len(bounds) > _BUCKETS_MAX:
        return f"expected at most {_BUCKETS_MAX} buckets"
    if any(high <= low for low, high in pairwise(bounds)):
        return "expected bounds in ascending order, none twice"
    return None


def _wrong_texts(texts: tuple[str, ...], *, labels: bool) -> str | None:
    for text in texts:
        if not text.strip():
            return "expected the keys of attributes, not an empty text"
        if labels and (reason := _wrong_dimension(text)):
            return reason
    return None


def _wrong_dimension(key: str) -> str | None:
    label = _label(key)
    if not _LABEL.fullmatch(label):
        return f"{key!r} makes no label: a label begins with a letter or an underscore"
    return f"{key!r} makes a label that Prometheus has for itself" if label in _RESERVED else None


def _wrong_mappings(mappings: tuple[DimensionMapping, ...]) -> str | None:
    for mapping in mappings:
        if not mapping.name:
            return "a mapping lacks its name"
        if not mapping.source_labels:
            return f"the mapping {mapping.name!r} has no source_labels"
        reason = _wrong_dimension(mapping.name)
        reason = reason or _wrong_texts(mapping.source_labels, labels=False)
        if reason:
            return f"mapping {mapping.name!r}: {reason}"
    counts = Counter(_label(mapping.name) for mapping in mappings)
    twice = [label for label, count in counts.items() if count > 1]
    return f"several mappings make the label {twice[0]}" if twice else None


def _wrong_policies(policies: tuple[FilterPolicy, ...]) -> str | None:
    for index, policy in enumerate(policies):
        named = {
            "include": policy.include,
            "include_any": policy.include_any,
            "exclude": policy.exclude,
        }
        given = {name: match for name, match in named.items() if match is not None}
        if not given:
            return f"[{index}]: expected include, include_any or exclude"
        for name, match in given.items():
            if reason := _wrong_match(match):
                return f"[{index}].{name}: {reason}"
    return None


def _wrong_match(match: PolicyMatch) -> str | None:
    if match.match_type not in ("strict", "regex"):
        return f"match_type: expected strict or regex, got {match.match_type!r}"
    if not match.attributes:
        return "expected one attribute at least"
    for index, attribute in enumerate(match.attributes):
        reason = _wrong_attribute(attribute, is_regex=match.match_type == "regex")
        if reason:
            return f"attributes[{index}]: {reason}"
    return None


def _wrong_attribute(attribute: PolicyAttribute, *, is_regex: bool) -> str | None:
    key, value = attribute.key, attribute.value
    scope, dot, rest = key.partition(".")
    if key not in ("kind", "status", "name") and not (
        scope in ("resource", "span") and dot and rest
    ):
        return f"expected the key resource.x, span.x, kind, status or name, got {key!r}"
    if is_regex:
        return _wrong_regex(value)
    if key in _VALUES and value not in _VALUES[key]:
        return f"expected {key} to be one of {', '.join(_VALUES[key])}, got {value!r}"
    return None


def _wrong_regex(value: object) -> str | None:
    if not isinstance(value, str):
        return f"expected a regular expression as a text, got {value!r}"
    # Arrow is large, and hardly anybody has policies.
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), value)
    except pa.ArrowInvalid as error:
        return f"{value!r} is no regular expression of RE2: {str(error).partition(': ')[2]}"
    return None


def _wrong_labels(pairs: tuple[tuple[str, str], ...]) -> str | None:
    return next((reason for name, _ in pairs if (reason := _wrong_label(name))), None)


def _wrong_label(name: str) -> str | None:
    if not _LABEL.fullmatch(name) or name in _RESERVED:
        return f"{name!r} is not the name of a label that one may set"
    return None


def _wrong_headers(pairs: tuple[tuple[str, str], ...]) -> str | None:
    try:
        for name, value in pairs:
            check_header(name, value, "")
    except SettingsError as error:
        return str(error).removeprefix(": ")
    return None


def _label(key: str) -> str:
    """Write the key of an attribute as a label, as the processors do."""
    return _NO_LABEL.sub("_", key)

"""Answers of autocomplete -> the JSON and protobuf bodies of the four tag routes.

Source: wire contract, sections 3.2, 9 and 13.1 (``tempopb.SearchTagsResponse`` and its kin).
"""

from __future__ import annotations

import json
from typing import Any

from tracestore.codec.wire import encode_bytes, encode_number, encode_text
from tracestore.model.results import QueryStats
from tracestore.model.tags import TagNames, TagValue, TagValues

Json = dict[str, Any]


def render_names_v1_json(names: TagNames, *, limit: int = 0) -> bytes:
    """Write ``SearchTagsResponse``: all names in one list, at most ``limit``; 0: all."""
    return _dump({"tagNames": names.flat[: limit or None]}, names.stats)


def render_names_v2_json(names: TagNames) -> bytes:
    """Write ``SearchTagsV2Response``."""
    scopes = [{"name": scope, "tags": tags} for scope, tags in names.scopes]
    return _dump({"scopes": scopes}, names.stats)


def render_values_v1_json(values: TagValues) -> bytes:
    """Write ``SearchTagValuesResponse``: texts without types, in order."""
    return _dump({"tagValues": flat_values(values)}, values.stats)


def render_values_v2_json(values: TagValues) -> bytes:
    """Write ``SearchTagValuesV2Response``."""
    return _dump({"tagValues": [_value_json(value) for value in values.values]}, values.stats)


def render_values_llm(values: TagValues) -> bytes:
    """Write values for language models: by type."""
    by_type: dict[str, list[str]] = {}
    for value in values.values:
        by_type.setdefault(value.type, []).append(value.text)
    return _dump({"tagValues": by_type}, values.stats)


def flat_values(values: TagValues) -> list[str]:
    """Get the texts, each once, in order."""
    return sorted({value.text for value in values.values})


def _value_json(value: TagValue) -> Json:
    return {"type": value.type, "value": value.text} if value.text else {"type": value.type}


def _dump(body: Json, stats: QueryStats) -> bytes:
    metrics = {
        "inspectedBytes": str(stats.inspected_bytes) if stats.inspected_bytes else None,
        "totalJobs": stats.total_jobs,
        "completedJobs": stats.completed_jobs,
        "totalBlocks": stats.total_blocks,
        "totalBlockBytes": str(stats.total_block_bytes) if stats.total_block_bytes else None,
    }
    body["metrics"] = {name: value for name, value in metrics.items() if value}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def render_names_v1_protobuf(names: TagNames, *, limit: int = 0) -> bytes:
    """Write ``tempopb.SearchTagsResponse``."""
    return _encode_texts(1, names.flat[: limit or None]) + encode_metrics(names.stats)


def render_names_v2_protobuf(names: TagNames) -> bytes:
    """Write ``tempopb.SearchTagsV2Response``."""
    scopes = (encode_text(1, scope) + _encode_texts(2, tags) for scope, tags in names.scopes)
    return b"".join(encode_bytes(1, scope) for scope in scopes) + encode_metrics(names.stats)


def render_values_v1_protobuf(values: TagValues) -> bytes:
    """Write ``tempopb.SearchTagValuesResponse``."""
    return _encode_texts(1, flat_values(values)) + encode_metrics(values.stats)


def render_values_v2_protobuf(values: TagValues) -> bytes:
    """Write ``tempopb.SearchTagValuesV2Response``."""
    encoded = (encode_text(1, one.type) + encode_text(2, one.text) for one in values.values)
    return b"".join(encode_bytes(1, one) for one in encoded) + encode_metrics(values.stats)


def _encode_texts(field: int, texts: list[str] | tuple[str, ...]) -> bytes:
    """Write a repeated string; empty ones too."""
    return b"".join(encode_bytes(field, text.encode()) for text in texts)


def encode_metrics(stats: QueryStats) -> bytes:
    """Write the field ``metrics``, a ``tempopb.MetadataMetrics``."""
    return encode_bytes(
        2,
        encode_number(1, stats.inspected_bytes)
        + encode_number(2, stats.total_jobs)
        + encode_number(3, stats.completed_jobs)
        + encode_number(4, stats.total_blocks)
        + encode_number(5, stats.total_block_bytes),
    )

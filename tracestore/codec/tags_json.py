"""Answers of autocomplete -> the JSON and protobuf bodies of the four tag routes.

Source: wire contract, sections 3.2, 9 and 13.1 (``tempopb.SearchTagsResponse`` and its kin).
"""

from __future__ import annotations

import json
import sys
from json.encoder import encode_basestring
from typing import Any

from tracestore.codec.tag_packets import encode_flat, encode_scopes, encode_values
from tracestore.codec.wire import encode_bytes, encode_number
from tracestore.model.results import QueryStats
from tracestore.model.tags import TagNames, TagType, TagValues

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
    written = ",".join([_value_json(kind, text) for kind, text in values.values])
    metrics = json.dumps(_metrics(values.stats), separators=(",", ":"))
    return f'{{"tagValues":[{written}],"metrics":{metrics}}}'.encode()


def render_values_llm(values: TagValues) -> bytes:
    """Write values for language models: by type."""
    by_type: dict[str, list[str]] = {}
    for kind, text in values.values:
        by_type.setdefault(kind, []).append(text)
    return _dump({"tagValues": by_type}, values.stats)


def flat_values(values: TagValues) -> list[str]:
    """Get the texts, each once, in order."""
    return sorted(set(values.texts))


def _value_json(kind: TagType, text: str) -> str:
    """Write a value; several times faster than by way of a dictionary, and there may be many."""
    return (
        f'{{"type":"{kind}","value":{encode_basestring(text)}}}' if text else f'{{"type":"{kind}"}}'
    )


def _dump(body: Json, stats: QueryStats) -> bytes:
    body["metrics"] = _metrics(stats)
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _metrics(stats: QueryStats) -> Json:
    metrics = {
        "inspectedBytes": str(stats.inspected_bytes) if stats.inspected_bytes else None,
        "totalJobs": stats.total_jobs,
        "completedJobs": stats.completed_jobs,
        "totalBlocks": stats.total_blocks,
        "totalBlockBytes": str(stats.total_block_bytes) if stats.total_block_bytes else None,
    }
    return {name: value for name, value in metrics.items() if value}


def render_names_v1_protobuf(names: TagNames, *, limit: int = 0) -> bytes:
    """Write ``tempopb.SearchTagsResponse``."""
    return b"".join(encode_flat(names.flat[: limit or None])) + encode_metrics(names.stats)


def render_names_v2_protobuf(names: TagNames) -> bytes:
    """Write ``tempopb.SearchTagsV2Response``."""
    return b"".join(encode_scopes(names.scopes, sys.maxsize)) + encode_metrics(names.stats)


def render_values_v1_protobuf(values: TagValues) -> bytes:
    """Write ``tempopb.SearchTagValuesResponse``."""
    return b"".join(encode_flat(flat_values(values))) + encode_metrics(values.stats)


def render_values_v2_protobuf(values: TagValues) -> bytes:
    """Write ``tempopb.SearchTagValuesV2Response``."""
    return b"".join(encode_values(values.values)) + encode_metrics(values.stats)


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

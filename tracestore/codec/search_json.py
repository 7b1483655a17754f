"""What a search found -> the JSON and protobuf bodies of ``/api/search``.

Grafana decodes the JSON with a strict decoder: not one field more than the contract lists, unless a
client asks for it (``total``, ``nextCursor``, ``explain``).
Source: wire contract, sections 3.2, 8.3 and 13.1 (``tempopb.SearchResponse``).
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from tracestore.codec.wire import (
    encode_bytes,
    encode_double,
    encode_number,
    encode_text,
    encode_varint,
)
from tracestore.model.ids import format_trace_id
from tracestore.model.results import (
    AttributeValue,
    Explanation,
    QueryStats,
    SearchResult,
    SpanSet,
    SpanSummary,
    TraceSummary,
)
from tracestore.model.times import MILLISECOND_NS

NO_ROOT = "<root span not yet received>"

_U32_MAX = (1 << 32) - 1
_U64_MASK = (1 << 64) - 1
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
Json = dict[str, Any]
Attributes = Iterable[tuple[str, AttributeValue]]


def render_search_json(
    result: SearchResult, *, span_sets: bool = True, pad_ids: bool = False
) -> bytes:
    """Write ``SearchResponse`` as JSON.

    Args:
        span_sets: False for a search without a query, which says nothing of spans.
        pad_ids: whether trace IDs keep their leading zeros.
    """
    out = io.BytesIO()  # trace by trace: an answer may have a hundred thousand
    out.write(b'{"traces":[')
    for place, trace in enumerate(result.traces):
        out.write(b"," if place else b"")
        out.write(_encode(_trace_json(trace, span_sets, pad_ids)).encode())
    body: Json = {"metrics": stats_json(result.stats)}
    if result.total is not None:
        body["total"] = {"traces": result.total.traces, "exact": result.total.exact}
    _with(body, nextCursor=result.next_cursor)
    if result.explanation is not None:
        body["explain"] = _explanation_json(result.explanation)
    out.write(b"]," + _encode(body).encode().removeprefix(b"{"))
    return out.getvalue()


def _explanation_json(explanation: Explanation) -> Json:
    columns = sorted(explanation.columns.items(), key=lambda item: -item[1].bytes)
    return {
        "sources": {
            "total": explanation.sources,
            "outsideWindow": explanation.outside_window,
            "prunedByFilters": explanation.pruned,
            "notNeeded": explanation.not_needed,
            "evaluated": explanation.evaluated,
        },
        "rowGroups": {
            "ofSourcesEvaluated": explanation.chunks,
            "read": explanation.chunks_read,
        },
        "joinedTraces": explanation.joined_traces,
        "columns": [
            {"table": table, "column": column, "reads": read.reads, "bytes": read.bytes}
            for (table, column), read in columns
        ],
        "stagesMs": {name: ns / 1e6 for name, ns in explanation.stage_ns.items()},
    }


def _trace_json(trace: TraceSummary, span_sets: bool, pad_ids: bool) -> Json:
    body = _with(
        {},
        traceID=format_trace_id(trace.trace_id, pad=pad_ids),
        rootServiceName=trace.root_service_name or NO_ROOT,
        rootTraceName=trace.root_name,
        startTimeUnixNano=_text(trace.start_ns),
        durationMs=_milliseconds(trace.duration_ns),
    )
    if not span_sets:
        return body
    sets = [_span_set_json(span_set) for span_set in trace.span_sets]
    stats = {
        name: _with({}, spanCount=stats.spans, errorCount=stats.errors)
        for name, stats in sorted(trace.service_stats.items())
    }
    return _with(body, spanSet=sets[0] if sets else None, spanSets=sets, serviceStats=stats)


def _span_set_json(span_set: SpanSet) -> Json:
    return _with(
        {},
        spans=[_span_json(span) for span in span_set.spans],
        matched=span_set.matched,
        attributes=attributes_json(span_set.attributes),
    )


def _span_json(span: SpanSummary) -> Json:
    return _with(
        {},
        spanID=span.span_id.hex(),
        name=span.name,
        startTimeUnixNano=_text(span.start_ns),
        durationNanos=_text(span.duration_ns),
        attributes=attributes_json(span.attributes),
    )


def attributes_json(attributes: Attributes) -> list[Json]:
    """Write key-value pairs with values typed as in OTLP."""
    return [{"key": key, "value": _value_json(value)} for key, value in attributes]


def _value_json(value: AttributeValue) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": double_json(value)}
    if isinstance(value, str):
        return {"stringValue": value}
    return {"arrayValue": {"values": [_value_json(item) for item in value]} if value else {}}


def double_json(value: float) -> float | str:
    """Write a double; what JSON has no number for is a text."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def stats_json(stats: QueryStats) -> Json:
    """Write ``SearchMetrics``, no field more than strict decoders know."""
    return _with(
        {},
        inspectedTraces=stats.inspected_traces,
        inspectedBytes=_text(stats.inspected_bytes),
        totalBlocks=stats.total_blocks,
        completedJobs=stats.completed_jobs,
        totalJobs=stats.total_jobs,
        totalBlockBytes=_text(stats.total_block_bytes),
        inspectedSpans=_text(stats.inspected_spans),
    )


def _with(body: Json, **members: Any) -> Json:
    for name, value in members.items():
        if value:
            body[name] = value
    return body


def _text(number: int) -> str:
    return str(number & _U64_MASK) if number else ""


def _milliseconds(duration_ns: int) -> int:
    """Whole milliseconds as a uint32; a trace whose clock ran backwards lasts none."""
    return min(max(duration_ns, 0) // MILLISECOND_NS, _U32_MAX)


def render_search_protobuf(
    result: SearchResult, *, span_sets: bool = True, pad_ids: bool = False
) -> bytes:
    """Write ``tempopb.SearchResponse``; the arguments are those of ``render_search_json``."""
    traces = encode_traces(result.traces, span_sets, pad_ids=pad_ids)
    return b"".join(traces) + encode_metrics(result.stats)


def encode_traces(
    traces: Iterable[TraceSummary], span_sets: bool, *, pad_ids: bool = False
) -> Iterator[bytes]:
    """Write the field ``traces`` of ``SearchResponse``, trace by trace."""
    return (encode_bytes(1, _encode_trace(trace, span_sets, pad_ids)) for trace in traces)


def encode_metrics(stats: QueryStats) -> bytes:
    """Write the field ``metrics``, which has the same number in answers of searches and metrics."""
    return encode_bytes(2, encode_stats(stats))


def _encode_trace(trace: TraceSummary, span_sets: bool, pad_ids: bool) -> bytes:
    content = (
        encode_text(1, format_trace_id(trace.trace_id, pad=pad_ids))
        + encode_text(2, trace.root_service_name or NO_ROOT)
        + encode_text(3, trace.root_name)
        + encode_number(4, trace.start_ns & _U64_MASK)
        + encode_number(5, _milliseconds(trace.duration_ns))
    )
    if not span_sets:
        return content
    sets = [_encode_span_set(span_set) for span_set in trace.span_sets]
    content += b"".join(encode_bytes(6, span_set) for span_set in sets[:1])
    content += b"".join(encode_bytes(7, span_set) for span_set in sets)
    for name, stats in sorted(trace.service_stats.items()):
        counts = encode_number(1, stats.spans) + encode_number(2, stats.errors)
        content += encode_bytes(8, encode_text(1, name) + encode_bytes(2, counts))
    return content


def _encode_span_set(span_set: SpanSet) -> bytes:
    spans = (encode_bytes(1, _encode_span(span)) for span in span_set.spans)
    return (
        b"".join(spans)
        + encode_number(2, span_set.matched)
        + encode_attributes(3, span_set.attributes)
    )


def _encode_span(span: SpanSummary) -> bytes:
    return (
        encode_text(1, span.span_id.hex())
        + encode_text(2, span.name)
        + encode_number(3, span.start_ns & _U64_MASK)
        + encode_number(4, span.duration_ns & _U64_MASK)
        + encode_attributes(5, span.attributes)
    )


def encode_attributes(field: int, attributes: Attributes) -> bytes:
    """Write ``KeyValue`` messages under a field number."""
    return b"".join(
        encode_bytes(field, encode_text(1, key) + encode_bytes(2, _encode_value(value)))
        for key, value in attributes
    )


def _encode_value(value: AttributeValue) -> bytes:
    """Write an AnyValue; a member of a oneof is written even when it is zero."""
    if isinstance(value, bool):
        return b"\x10" + encode_varint(int(value))
    if isinstance(value, int):
        return b"\x18" + encode_varint(value)
    if isinstance(value, float):
        return encode_double(4, value)
    if isinstance(value, str):
        return encode_bytes(1, value.encode())
    return encode_bytes(5, b"".join(encode_bytes(1, _encode_value(item)) for item in value))


def encode_stats(stats: QueryStats) -> bytes:
    """Write ``SearchMetrics``."""
    return (
        encode_number(1, stats.inspected_traces)
        + encode_number(2, stats.inspected_bytes)
        + encode_number(3, stats.total_blocks)
        + encode_number(4, stats.completed_jobs)
        + encode_number(5, stats.total_jobs)
        + encode_number(6, stats.total_block_bytes)
        + encode_number(7, stats.inspected_spans)
    )

"""Jaeger's Thrift batches -> ExportTraceServiceRequest bytes.

Source: jaeger-idl, thrift/jaeger.thrift.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from tracestore.codec.receivers import jaeger
from tracestore.codec.receivers.jaeger import JaegerSpan, Log, Process, Reference, Tags
from tracestore.codec.receivers.requests import Value
from tracestore.codec.receivers.thrift import (
    BinaryReader,
    Schema,
    binary,
    boolean,
    double,
    i32,
    i64,
    text,
)

TAG = Schema(
    "jaeger tag",
    text(1, "key", required=True),
    i32(2, "vType", required=True),
    text(3, "vStr"),
    double(4, "vDouble"),
    boolean(5, "vBool"),
    i64(6, "vLong"),
    binary(7, "vBinary"),
)
LOG = Schema(
    "jaeger log",
    i64(1, "timestamp", required=True),
    TAG.list_field(2, "fields", required=True),
)
SPAN_REF = Schema(
    "jaeger reference",
    i32(1, "refType", required=True),
    i64(2, "traceIdLow", required=True),
    i64(3, "traceIdHigh", required=True),
    i64(4, "spanId", required=True),
)
SPAN = Schema(
    "jaeger span",
    i64(1, "traceIdLow", required=True),
    i64(2, "traceIdHigh", required=True),
    i64(3, "spanId", required=True),
    i64(4, "parentSpanId", required=True),
    text(5, "operationName", required=True),
    SPAN_REF.list_field(6, "references"),
    i32(7, "flags", required=True),
    i64(8, "startTime", required=True),
    i64(9, "duration", required=True),
    TAG.list_field(10, "tags"),
    LOG.list_field(11, "logs"),
)
PROCESS = Schema("jaeger process", text(1, "serviceName", required=True), TAG.list_field(2, "tags"))
BATCH = Schema(
    "jaeger batch",
    PROCESS.field(1, "process", required=True),
    SPAN.list_field(2, "spans", required=True),
)

_NOTHING: dict[int, Value] = {0: "", 1: 0.0, 2: False, 3: 0, 4: b""}
"""Type of a tag -> its value if none is there: text, double, bool, long, binary."""

_pack_id = struct.Struct(">q").pack
_pack_trace_id = struct.Struct(">qq").pack


def translate_batch(body: bytes | bytearray) -> bytes:
    """Turn a Batch in the binary protocol into a request.

    Raises: InvalidRequestError saying what is wrong, and where.
    """
    return translate_read_batch(BATCH.read(BinaryReader(body)))


def translate_read_batch(batch: list[Any]) -> bytes:
    """Turn a batch that ``BATCH`` has read into a request. Raises: InvalidRequestError."""
    return jaeger.translate_spans(_spans(batch))


def _spans(batch: list[Any]) -> Iterator[JaegerSpan]:
    (service_name, tags), spans = batch
    process = Process(service_name, _tags(tags))
    for span in spans:
        low, high, span_id, parent_id, name, references, _, start, duration, tags, logs = span
        yield JaegerSpan(
            trace_id=_pack_trace_id(high, low),
            span_id=_pack_id(span_id),
            parent_id=_pack_id(parent_id),
            name=name,
            start_ns=start * 1000,
            duration_ns=duration * 1000,
            references=[
                Reference(type_, _pack_trace_id(high, low), _pack_id(span_id))
                for type_, low, high, span_id in references or ()
            ],
            tags=_tags(tags),
            logs=[Log(time * 1000, _tags(fields)) for time, fields in logs or ()],
            process=process,
        )


def _tags(tags: list[list[Any]] | None) -> Tags:
    return [(tag[0], _value(tag)) for tag in tags or ()]


def _value(tag: list[Any]) -> Value:
    """Get the value of a tag; of an unknown type, what is there."""
    type_ = tag[1]
    value: Value | None
    if type_ in _NOTHING:
        value = tag[2 + type_]
        return _NOTHING[type_] if value is None else value
    value = next((v for v in tag[2:] if v is not None), None)
    return f"<unknown jaeger tag type {type_}>" if value is None else value

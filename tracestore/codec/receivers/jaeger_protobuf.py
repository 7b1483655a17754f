"""Jaeger's PostSpansRequest -> ExportTraceServiceRequest bytes.

Source: jaeger-idl, proto/api_v2; ``codec/proto/jaeger.proto``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracestore.codec.proto import jaeger_pb2
from tracestore.codec.receivers import jaeger
from tracestore.codec.receivers.jaeger import JaegerSpan, Log, Process, Reference, Tags
from tracestore.codec.receivers.messages import Body, parse_message, walk_messages
from tracestore.codec.receivers.requests import Value
from tracestore.errors import InvalidRequestError

PART_BYTES_MAX = 4 << 20
"""Largest span or process: bounds what a message of many empty parts takes in memory."""

_BATCH = jaeger_pb2.PostSpansRequest.BATCH_FIELD_NUMBER
_SPANS = jaeger_pb2.Batch.SPANS_FIELD_NUMBER
_PROCESS = jaeger_pb2.Batch.PROCESS_FIELD_NUMBER


def translate_request(body: Body) -> bytes:
    """Turn a PostSpansRequest into a request.

    Raises: InvalidRequestError saying what is wrong, and where.
    """
    return jaeger.translate_spans(_spans(body))


def _spans(body: Body) -> Iterator[JaegerSpan]:
    batches = [(start, end) for f, start, end in walk_messages(body, 0, len(body)) if f == _BATCH]
    message = jaeger_pb2.Process()
    for batch in batches:
        for field, start, end in walk_messages(body, *batch):
            if field == _PROCESS:
                message.MergeFrom(
                    parse_message(
                        *(jaeger_pb2.Process, body, start, end),
                        what="jaeger process",
                        bytes_max=PART_BYTES_MAX,
                    )
                )
    process = _process(message)
    number = 0
    for batch in batches:
        for field, start, end in walk_messages(body, *batch):
            if field == _SPANS:
                span = parse_message(
                    *(jaeger_pb2.Span, body, start, end),
                    what="jaeger span",
                    bytes_max=PART_BYTES_MAX,
                )
                yield _span(span, process, number)
                number += 1


def _span(span: jaeger_pb2.Span, process: Process, number: int) -> JaegerSpan:
    try:
        return JaegerSpan(
            trace_id=_id(span.trace_id, 16, "trace id"),
            span_id=_id(span.span_id, 8, "span id"),
            parent_id=jaeger.NO_ID,
            name=span.operation_name,
            start_ns=span.start_time.seconds * 1_000_000_000 + span.start_time.nanos,
            duration_ns=span.duration.seconds * 1_000_000_000 + span.duration.nanos,
            references=[
                Reference(
                    r.ref_type,
                    _id(r.trace_id, 16, "trace id of a reference"),
                    _id(r.span_id, 8, "span id of a reference"),
                )
                for r in span.references
            ],
            tags=_tags(span.tags),
            logs=[
                Log(log.timestamp.seconds * 1_000_000_000 + log.timestamp.nanos, _tags(log.fields))
                for log in span.logs
            ],
            process=_process(span.process) if span.HasField("process") else process,
        )
    except ValueError as error:
        raise InvalidRequestError(f"jaeger span {number}: {error}") from error


def _id(value: bytes, size: int, name: str) -> bytes:
    """Check the length of an ID; a trace ID of 64 bits is padded on the left."""
    if len(value) not in (8, size):
        raise ValueError(f"{name} has {len(value)} bytes, not {size}")
    return value.rjust(size, b"\0")


def _process(process: jaeger_pb2.Process) -> Process:
    return Process(process.service_name, _tags(process.tags))


def _tags(tags: Iterable[jaeger_pb2.KeyValue]) -> Tags:
    return [(tag.key, _value(tag)) for tag in tags]


def _value(tag: jaeger_pb2.KeyValue) -> Value:
    kind = tag.v_type
    if kind == jaeger_pb2.STRING:
        return tag.v_str
    if kind == jaeger_pb2.INT64:
        return tag.v_int64
    if kind == jaeger_pb2.BOOL:
        return tag.v_bool
    if kind == jaeger_pb2.FLOAT64:
        return tag.v_float64
    if kind == jaeger_pb2.BINARY:
        return tag.v_binary
    return f"<unknown jaeger tag type {kind}>"

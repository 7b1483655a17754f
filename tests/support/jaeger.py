"""Jaeger batches as plain values, written by the Thrift library and by protobuf.

A batch is ``{"process": {"service_name": ..., "tags": {...}}, "spans": [...]}``, a span has
``trace``, ``id``, ``parent`` (whole numbers), ``name``, ``start_us``, ``duration_us``, ``tags``,
``logs`` (pairs of microseconds and fields), ``references`` (type, trace, span).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.Thrift import TMessageType, TType
from thrift.transport.TTransport import TMemoryBuffer

from tracestore.codec.proto import jaeger_pb2

Batch = Mapping[str, Any]
STRING, DOUBLE, BOOL, LONG, BINARY = range(5)


def thrift_batch(batch: Batch, protocol: Any = TBinaryProtocol) -> bytes:
    """Write a Batch."""
    return _write(protocol, lambda out: _struct(out, _batch(out, batch)))


def thrift_message(batch: Batch, protocol: Any = TCompactProtocol) -> bytes:
    """Write the call ``emitBatch`` of an agent's client."""

    def write(out: Any) -> None:
        out.writeMessageBegin("emitBatch", TMessageType.ONEWAY, 1)
        _struct(out, [(1, TType.STRUCT, lambda: _struct(out, _batch(out, batch)))])
        out.writeMessageEnd()

    return _write(protocol, write)


def post_spans(batch: Batch) -> bytes:
    """Write a PostSpansRequest."""
    message = jaeger_pb2.Batch(
        process=_process_message(batch["process"]), spans=map(_span_message, batch["spans"])
    )
    request = jaeger_pb2.PostSpansRequest(batch=message)
    return request.SerializeToString()


Fields = Iterable[tuple[int, int, Callable[[], None]]]


def _write(protocol: Any, write: Callable[[Any], None]) -> bytes:
    buffer = TMemoryBuffer()
    write(protocol(buffer))
    content: bytes = buffer.getvalue()
    return content


def _struct(out: Any, fields: Fields) -> None:
    out.writeStructBegin("")
    for number, kind, write in fields:
        out.writeFieldBegin("", kind, number)
        write()
        out.writeFieldEnd()
    out.writeFieldStop()
    out.writeStructEnd()


def _list(out: Any, items: Iterable[Fields]) -> None:
    structs = list(items)
    out.writeListBegin(TType.STRUCT, len(structs))
    for fields in structs:
        _struct(out, fields)
    out.writeListEnd()


def _batch(out: Any, batch: Batch) -> Fields:
    process = batch["process"]
    who: Fields = [
        (1, TType.STRING, lambda: out.writeString(process["service_name"])),
        (2, TType.LIST, lambda: _list(out, _tags(out, process.get("tags", {})))),
    ]
    return [
        (1, TType.STRUCT, lambda: _struct(out, who)),
        (2, TType.LIST, lambda: _list(out, (_span(out, span) for span in batch["spans"]))),
    ]


def _span(out: Any, span: Mapping[str, Any]) -> Fields:
    trace = span["trace"]
    references = [
        [
            (1, TType.I32, lambda kind=kind: out.writeI32(kind)),
            (2, TType.I64, lambda trace=trace: out.writeI64(_signed(trace))),
            (3, TType.I64, lambda trace=trace: out.writeI64(_signed(trace >> 64))),
            (4, TType.I64, lambda id=id: out.writeI64(_signed(id))),
        ]
        for kind, trace, id in span.get("references", ())
    ]
    logs = [
        [
            (1, TType.I64, lambda at=at: out.writeI64(at)),
            (2, TType.LIST, lambda fields=fields: _list(out, _tags(out, fields))),
        ]
        for at, fields in span.get("logs", ())
    ]
    return [
        (1, TType.I64, lambda: out.writeI64(_signed(trace))),
        (2, TType.I64, lambda: out.writeI64(_signed(trace >> 64))),
        (3, TType.I64, lambda: out.writeI64(_signed(span["id"]))),
        (4, TType.I64, lambda: out.writeI64(_signed(span.get("parent", 0)))),
        (5, TType.STRING, lambda: out.writeString(span.get("name", ""))),
        (6, TType.LIST, lambda: _list(out, references)),
        (7, TType.I32, lambda: out.writeI32(1)),
        (8, TType.I64, lambda: out.writeI64(span.get("start_us", 0))),
        (9, TType.I64, lambda: out.writeI64(span.get("duration_us", 0))),
        (10, TType.LIST, lambda: _list(out, _tags(out, span.get("tags", {})))),
        (11, TType.LIST, lambda: _list(out, logs)),
    ]


def _tags(out: Any, tags: Mapping[str, Any]) -> Iterable[Fields]:
    for key, value in tags.items():
        yield [(1, TType.STRING, lambda key=key: out.writeString(key)), *_value(out, value)]


def _value(out: Any, value: Any) -> Fields:
    kind, field, wire, write = {
        str: (STRING, 3, TType.STRING, "writeString"),
        float: (DOUBLE, 4, TType.DOUBLE, "writeDouble"),
        bool: (BOOL, 5, TType.BOOL, "writeBool"),
        int: (LONG, 6, TType.I64, "writeI64"),
        bytes: (BINARY, 7, TType.STRING, "writeBinary"),
    }[type(value)]
    return [
        (2, TType.I32, lambda: out.writeI32(kind)),
        (field, wire, lambda: getattr(out, write)(value)),
    ]


def _signed(number: int) -> int:
    """The lower 64 bits, as Thrift writes them."""
    return ((number & (1 << 64) - 1) ^ 1 << 63) - (1 << 63)


def _process_message(process: Mapping[str, Any]) -> jaeger_pb2.Process:
    return jaeger_pb2.Process(
        service_name=process["service_name"], tags=_tag_messages(process.get("tags", {}))
    )


def _span_message(span: Mapping[str, Any]) -> jaeger_pb2.Span:
    references = list(span.get("references", ()))
    if span.get("parent"):
        references.insert(0, (jaeger_pb2.CHILD_OF, span["trace"], span["parent"]))
    return jaeger_pb2.Span(
        trace_id=span["trace"].to_bytes(16, "big"),
        span_id=span["id"].to_bytes(8, "big"),
        operation_name=span.get("name", ""),
        references=[
            jaeger_pb2.SpanRef(
                trace_id=trace.to_bytes(16, "big"), span_id=id.to_bytes(8, "big"), ref_type=kind
            )
            for kind, trace, id in references
        ],
        flags=1,
        start_time=_timestamp(span.get("start_us", 0)),
        duration=_duration(span.get("duration_us", 0)),
        tags=_tag_messages(span.get("tags", {})),
        logs=[
            jaeger_pb2.Log(timestamp=_timestamp(at), fields=_tag_messages(fields))
            for at, fields in span.get("logs", ())
        ],
        process=_process_message(span["process"]) if "process" in span else None,
    )


def _timestamp(microseconds: int) -> Timestamp:
    made = Timestamp()
    made.FromMicroseconds(microseconds)
    return made


def _duration(microseconds: int) -> Duration:
    made = Duration()
    made.FromMicroseconds(microseconds)
    return made


def _tag_messages(tags: Mapping[str, Any]) -> list[jaeger_pb2.KeyValue]:
    kinds = {
        str: (jaeger_pb2.STRING, "v_str"),
        float: (jaeger_pb2.FLOAT64, "v_float64"),
        bool: (jaeger_pb2.BOOL, "v_bool"),
        int: (jaeger_pb2.INT64, "v_int64"),
        bytes: (jaeger_pb2.BINARY, "v_binary"),
    }
    return [
        jaeger_pb2.KeyValue(key=key, v_type=kinds[type(v)][0], **{kinds[type(v)][1]: v})  # type: ignore[arg-type]  # one of five
        for key, v in tags.items()
    ]

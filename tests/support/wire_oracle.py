"""What the kernel must accept, refuse and count, as opentelemetry-proto's own parser sees it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.flat_spans import flat_spans

from tracestore.errors import MalformedError
from tracestore.kernel import (
    TRUNCATED,
    LiveTraces,
    RequestCheck,
    build_tables,
    check,
    encode,
    limit_request,
)


def oracle_check(data: bytes) -> RequestCheck | None:
    """Tell what ``check`` should find; None: it should refuse.

    The one thing that the kernel refuses and protobuf does not: an ID of a wrong length.
    """
    try:
        request = ExportTraceServiceRequest.FromString(data)
    except DecodeError:
        return None
    spans = [
        span
        for group in request.resource_spans
        for scope_group in group.scope_spans
        for span in scope_group.spans
    ]
    if not all(map(_has_sound_ids, spans)):
        return None
    return RequestCheck(
        spans=len(spans),
        start_ns=min((span.start_time_unix_nano for span in spans), default=0),
        end_ns=max((span.end_time_unix_nano for span in spans), default=0),
        zero_trace_ids=sum(not any(span.trace_id) for span in spans),
        zero_span_ids=sum(not any(span.span_id) for span in spans),
    )


def _assert_limits_hold(data: memoryview, found: RequestCheck) -> None:
    """Hold what limits leave of a valid request, however oddly it is written, against protobuf."""
    cut = limit_request(data, attribute_bytes_max=3).request
    left = limit_request(data, refused=b"\1" * found.spans).request
    assert limit_request(data, attribute_bytes_max=max(1, found.attribute_bytes)).request == data
    assert check(cut)[:5] == found[:5]
    assert check(left).spans == 0
    marks = max(3, len(TRUNCATED))
    assert _longest_text(ExportTraceServiceRequest.FromString(cut)) <= marks
    traces = LiveTraces(seed=1, idle_s=1, keep_s=1, traces_max=10)
    assert traces.admit(data, found.spans, 1, traces_max=0, bytes_max=0).refused is None


def _longest_text(message: Message) -> int:
    """Find the longest key or string value of the attributes, nested ones too."""
    longest = 0
    for field, value in message.ListFields():
        if field.message_type is not None:
            parts = [value] if isinstance(value, Message) else value
            longest = max([longest, *map(_longest_text, parts)])
        elif isinstance(message, KeyValue | AnyValue) and isinstance(value, str):
            longest = max(longest, len(value.encode()))
    return longest


def _has_sound_ids(span: Span) -> bool:
    trace_ids = [span.trace_id, *(link.trace_id for link in span.links)]
    span_ids = [span.span_id, span.parent_span_id, *(link.span_id for link in span.links)]
    return {len(i) for i in trace_ids} <= {0, 16} and {len(i) for i in span_ids} <= {0, 8}


def has_all_ids(data: bytes) -> bool:
    """Tell whether every span of a valid request has a trace ID and a span ID, zero or not."""
    return all(
        span.trace_id and span.span_id
        for group in ExportTraceServiceRequest.FromString(data).resource_spans
        for scope_group in group.scope_spans
        for span in scope_group.spans
    )


def assert_kernel_agrees(data: bytes) -> bool:
    """Hold the whole way through the kernel against the oracle. Returns whether it was accepted."""
    expected = oracle_check(data)
    exact = memoryview(np.array(bytearray(data), np.uint8))  # bytes have a zero behind them
    if expected is None:
        _assert_refused(check, exact)
        _assert_refused(lambda request: build_tables([request]), exact)
        return False
    found = check(exact)
    assert found._replace(attribute_bytes=0) == expected
    assert found.attribute_bytes >= _longest_text(ExportTraceServiceRequest.FromString(data))
    _assert_limits_hold(exact, found)
    if not has_all_ids(data):
        _assert_refused(lambda request: build_tables([request]), exact)
        return True
    assert flat_spans([encode(build_tables([exact]))]) == flat_spans([data])
    return True


def _assert_refused(function: Callable[[memoryview], object], data: memoryview) -> None:
    with pytest.raises(MalformedError) as refused:
        function(data)
    assert 0 <= refused.value.offset <= len(data), refused.value

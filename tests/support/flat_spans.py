"""Requests as multisets of spans: what is left without grouping, order, repetition."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence

from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

FlatSpan = tuple[bytes | None, str, bytes | None, str, bytes]
"""Resource (None: absent), its schema_url, scope (None: absent), its schema_url, span."""

NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8 << 48))[0]


def flat_spans(requests: Sequence[bytes]) -> Counter[FlatSpan]:
    """Flatten requests; of spans of equal trace ID, span ID and kind the first counts."""
    seen = set()
    flat: Counter[FlatSpan] = Counter()
    for request in requests:
        for group in ExportTraceServiceRequest.FromString(request).resource_spans:
            resource = canonical(group.resource) if group.HasField("resource") else None
            for scope_group in group.scope_spans:
                scope = canonical(scope_group.scope) if scope_group.HasField("scope") else None
                for span in scope_group.spans:
                    identity = (span.trace_id, span.span_id, span.kind)
                    if identity not in seen:
                        seen.add(identity)
                        flat[
                            resource,
                            group.schema_url,
                            scope,
                            scope_group.schema_url,
                            canonical(span),
                        ] += 1
    return flat


def canonical(message: Message) -> bytes:
    """Serialize what opentelemetry-proto knows of a message, every NaN as the same one."""
    copied = type(message)()
    copied.CopyFrom(message)
    copied.DiscardUnknownFields()
    unify_nans(copied)
    return copied.SerializeToString(deterministic=True)


def unify_nans(message: Message) -> None:
    """Replace each NaN in AnyValues by the plain one."""
    if isinstance(message, AnyValue) and message.double_value != message.double_value:
        message.double_value = NAN
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in value if field.is_repeated else [value]:
            unify_nans(inner)

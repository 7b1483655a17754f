"""The streaming messages of Tempo as its clients know them, made from the text of the contract.

Nothing of tracestore's own .proto files is used, so that a wrong number there cannot hide.

Source: wire contract, section 13.1, in its own notation.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

CATALOGUE = """
SearchRequest: Tags map<string,string> 1; MinDurationMs u32 2; MaxDurationMs u32 3; Limit u32 4; start u32 5; end u32 6; Query string 8; SpansPerSpanSet u32 9; RF1After Timestamp 10; skipASTTransformations rep string 11
SearchResponse: traces rep TraceSearchMetadata 1; metrics SearchMetrics 2
TraceSearchMetadata: traceID string 1; rootServiceName string 2; rootTraceName string 3; startTimeUnixNano u64 4; durationMs u32 5; spanSet SpanSet 6; spanSets rep SpanSet 7; serviceStats map<string,ServiceStats> 8
ServiceStats: spanCount u32 1; errorCount u32 2
SpanSet: spans rep Span 1; matched u32 2; attributes rep KeyValue 3
Span: spanID string 1; name string 2; startTimeUnixNano u64 3; durationNanos u64 4; attributes rep KeyValue 5
SearchMetrics: inspectedTraces u32 1; inspectedBytes u64 2; totalBlocks u32 3; completedJobs u32 4; totalJobs u32 5; totalBlockBytes u64 6; inspectedSpans u64 7
SearchTagsRequest: scope string 1; query string 2; start u32 3; end u32 4; maxTagsPerScope u32 5; staleValuesThreshold u32 6; RF1After Timestamp 7
SearchTagsResponse: tagNames rep string 1; metrics MetadataMetrics 2
SearchTagsV2Response: scopes rep SearchTagsV2Scope 1; metrics MetadataMetrics 2
SearchTagsV2Scope: name string 1; tags rep string 2
SearchTagValuesRequest: tagName string 1; query string 2; start u32 4; end u32 5; maxTagValues u32 6; staleValueThreshold u32 7; RF1After Timestamp 8
SearchTagValuesResponse: tagValues rep string 1; metrics MetadataMetrics 2
SearchTagValuesV2Response: tagValues rep TagValue 1; metrics MetadataMetrics 2
TagValue: type string 1; value string 2
MetadataMetrics: inspectedBytes u64 1; totalJobs u32 2; completedJobs u32 3; totalBlocks u32 4; totalBlockBytes u64 5
QueryRangeRequest: query string 1; start u64 2; end u64 3; step u64 4; exemplars u32 16; maxSeries u32 17; instant bool 18
QueryRangeResponse: series rep TimeSeries 1; metrics SearchMetrics 2; status i32 3; message string 4
TimeSeries: labels rep KeyValue 1; samples rep Sample 2; exemplars rep Exemplar 4
Sample: value dbl 1; timestamp_ms i64 2
Exemplar: labels rep KeyValue 1; value dbl 2; timestamp_ms i64 3
QueryInstantRequest: query string 1; start u64 2; end u64 3
QueryInstantResponse: series rep InstantSeries 1; metrics SearchMetrics 2; status i32 3; message string 4
InstantSeries: labels rep KeyValue 1; value dbl 2
KeyValue: key string 1; value AnyValue 2
AnyValue: string_value string 1 one; bool_value bool 2 one; int_value i64 3 one; double_value dbl 4 one; array_value ArrayValue 5 one
ArrayValue: values rep AnyValue 1
Timestamp: seconds i64 1; nanos i32 2
"""  # noqa: E501 - lines as in the contract

TYPES = {"string": 9, "u32": 13, "u64": 4, "i32": 5, "i64": 3, "dbl": 1, "bool": 8}
_MAP = re.compile(r"map<string,(\w+)>")
PACKAGE = "catalogue"

METHODS = {
    "Search": ("SearchRequest", "SearchResponse"),
    "SearchTags": ("SearchTagsRequest", "SearchTagsResponse"),
    "SearchTagsV2": ("SearchTagsRequest", "SearchTagsV2Response"),
    "SearchTagValues": ("SearchTagValuesRequest", "SearchTagValuesResponse"),
    "SearchTagValuesV2": ("SearchTagValuesRequest", "SearchTagValuesV2Response"),
    "MetricsQueryRange": ("QueryRangeRequest", "QueryRangeResponse"),
    "MetricsQueryInstant": ("QueryInstantRequest", "QueryInstantResponse"),
}


def _add_field(message: DescriptorProto, text: str) -> None:
    words = text.split()
    is_one = words[-1] == "one"
    name, *kinds, number = words[:-1] if is_one else words
    first, *others = name.split("_")
    json_name = first + "".join(word.title() for word in others)
    field = message.field.add(name=name, number=int(number), json_name=json_name)
    field.label = FieldDescriptorProto.LABEL_OPTIONAL
    kind = kinds[-1]
    if kinds[0] == "rep":
        field.label = FieldDescriptorProto.LABEL_REPEATED
    if is_one:
        if not message.oneof_decl:
            message.oneof_decl.add(name="value")
        field.oneof_index = 0
    if match := _MAP.fullmatch(kind):
        entry = message.nested_type.add(name=f"{name[0].upper()}{name[1:]}Entry")
        entry.options.map_entry = True
        _add_field(entry, "key string 1")
        _add_field(entry, f"value {match[1]} 2")
        field.label = FieldDescriptorProto.LABEL_REPEATED
        field.type_name = f".{PACKAGE}.{message.name}.{entry.name}"
    elif kind not in TYPES:
        field.type_name = f".{PACKAGE}.{kind}"
    else:
        field.type = TYPES[kind]  # type: ignore[assignment]  # an enum
        return
    field.type = FieldDescriptorProto.TYPE_MESSAGE


def _make_pool() -> DescriptorPool:
    file = FileDescriptorProto(name="catalogue.proto", package=PACKAGE, syntax="proto3")
    for line in CATALOGUE.strip().splitlines():
        name, _, fields = line.partition(": ")
        message = file.message_type.add(name=name)
        for field in fields.split("; "):
            _add_field(message, field)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = _make_pool()


def message(name: str) -> Any:
    """Get the class of a message."""
    return GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def method(channel: Any, name: str) -> Any:
    """Get a method of ``tempopb.StreamingQuerier`` over a channel of grpc or grpc.aio."""
    request, response = METHODS[name]
    return channel.unary_stream(
        f"/tempopb.StreamingQuerier/{name}",
        request_serializer=message(request).SerializeToString,
        response_deserializer=message(response).FromString,
    )

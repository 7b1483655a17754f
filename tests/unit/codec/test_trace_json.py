import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from support.otlp import event, link, request, span

from tracestore.codec.trace_json import (
    TraceAnswer,
    empty_trace,
    keep_first_bytes,
    parse_trace,
    render_v1_json,
    render_v1_protobuf,
    render_v2_json,
    render_v2_protobuf,
)

FULL = request(
    resource={"service.name": "shop", "int": -(2**63), "list": [1, "two", 3.5, True, b"x", {}]},
    spans=[
        span(
            trace=1,
            id=2,
            parent=3,
            name="GET /",
            kind="server",
            status="error",
            status_message="boom",
            attributes={
                "empty": "",
                "zero": 0,
                "false": False,
                "zero.float": 0.0,
                "nan": float("nan"),
                "inf": float("-inf"),
                "map": {"a": {"b": 1}},
                "nothing": None,
            },
            events=[event("exception", at_ms=1, attributes={"k": "v"}, dropped_attributes_count=2)],
            links=[link(4, 5, trace_state="a=b", attributes={"k": 1})],
            trace_state="c=d",
            flags=257,
            dropped_attributes_count=1,
            dropped_events_count=2,
            dropped_links_count=3,
        ),
        span(trace=1, id=3, name="", kind=77),
    ],
)


def as_texts(node: Any) -> Any:
    """Compare numbers as floats: 1 and 1.0 are the same JSON number."""
    if isinstance(node, dict):
        return {key: as_texts(value) for key, value in node.items()}
    if isinstance(node, list):
        return [as_texts(value) for value in node]
    return float(node) if isinstance(node, int) and not isinstance(node, bool) else node


def test_json_is_what_protobuf_prints() -> None:
    trace = parse_trace(FULL)
    oracle = json_format.MessageToDict(trace)

    assert as_texts(oracle["resourceSpans"]) == as_texts(
        json.loads(render_v1_json(trace))["batches"]
    )


def test_submessages_that_readers_rely_on_are_always_there() -> None:
    bare = request(resource=None, spans=[span(trace=1, id=2)])

    read = TracesData.FromString(render_v1_protobuf(parse_trace(bare)))

    group = read.resource_spans[0]
    assert group.HasField("resource")
    assert group.scope_spans[0].HasField("scope")
    assert group.scope_spans[0].spans[0].HasField("status")


def test_an_empty_second_version_has_its_submessages() -> None:
    answer = TraceAnswer(trace=empty_trace())

    assert render_v2_protobuf(answer) == b"\x0a\x00\x12\x00"
    assert json.loads(render_v2_json(answer)) == {"trace": {}, "metrics": {}}


def test_a_partial_second_version_says_so() -> None:
    answer = TraceAnswer(
        trace=parse_trace(FULL), inspected_bytes=300, partial=True, message="too large"
    )

    body = json.loads(render_v2_json(answer))

    assert {key: body[key] for key in ("metrics", "status", "message")} == {
        "metrics": {"inspectedBytes": "300"},
        "status": "PARTIAL",
        "message": "too large",
    }
    assert render_v2_protobuf(answer).endswith(b"\x12\x03\x08\xac\x02\x18\x01\x22\x09too large")


def test_a_server_span_that_shares_its_id_becomes_the_child_of_the_client_span() -> None:
    content = request(
        resource={},
        spans=[
            span(trace=1, id=1, name="root"),
            span(trace=1, id=7, parent=1, name="call", kind="client"),
            span(trace=1, id=7, parent=1, name="serve", kind="server"),
            span(trace=1, id=8, parent=7, name="below"),
        ],
    )

    trace = parse_trace(content)

    spans = {s.name: s for s in trace.resource_spans[0].scope_spans[0].spans}
    assert spans["call"].span_id == (7).to_bytes(8, "big")
    assert spans["serve"].parent_span_id == spans["call"].span_id
    assert spans["below"].parent_span_id == spans["serve"].span_id
    assert len({s.span_id for s in spans.values()}) == 4


def test_spans_beyond_the_limit_are_dropped_from_the_end() -> None:
    spans = [span(trace=1, id=i, name="x" * 100) for i in range(1, 11)]
    trace = parse_trace(request(resource={"a": "b"}, spans=spans))
    size = trace.resource_spans[0].scope_spans[0].spans[0].ByteSize()

    keep_first_bytes(trace, 3 * size)

    kept = [s.span_id[-1] for s in trace.resource_spans[0].scope_spans[0].spans]
    assert kept == [1, 2, 3]
    keep_first_bytes(trace, 1)
    assert not trace.resource_spans

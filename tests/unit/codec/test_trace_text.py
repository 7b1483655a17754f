"""A trace as plain text, and for language models."""

from __future__ import annotations

import json

from support.otlp import event, link, request, span

from tracestore.codec.trace_json import TraceAnswer, empty_trace, parse_trace, trace_json
from tracestore.codec.trace_llm import render_llm_json
from tracestore.codec.trace_text import render_trace_text
from tracestore.codec.trace_tree import read_spans

TRACE = parse_trace(
    request(
        resource={"service.name": "shop", "replica": 2},
        scope="lib",
        scope_version="1",
        spans=[
            span(trace=0xAB, id=1, name="GET /", kind="server", duration_ms=120),
            span(
                trace=0xAB,
                id=2,
                parent=1,
                name="query\x1b[2J",
                status="error",
                status_message="gone",
                start_ms=5,
                duration_ms=10,
                attributes={"rows": 7, "list": ["a", 1]},
                events=[event("cache miss", at_ms=6, attributes={"k": "v"})],
                links=[link(4, 5, attributes={"k": 1})],
            ),
        ],
    )
)


def test_text_is_plain_whole_and_harmless() -> None:
    spans = list(read_spans({"resourceSpans": trace_json(TRACE)}))

    assert render_trace_text("ab", spans, "too large").splitlines()[1:] == [
        "not the whole trace: too large",
        "OFFSET  DURATION  SERVICE  SPAN",
        "   0ns     120ms  shop     GET /",
        "   5ms      10ms  shop     └─ query\\x1b[2J  ERROR: gone",
    ]


def test_a_language_model_gets_plain_values() -> None:
    body = json.loads(render_llm_json(TraceAnswer(trace=TRACE, inspected_bytes=3)))

    assert body["trace"]["traceId"] == "ab"
    (service,) = body["trace"]["services"]
    assert (service["serviceName"], service["resource"]) == ("shop", {"replica": 2})
    (scope,) = service["scopes"]
    assert (scope["name"], scope["version"]) == ("lib", "1")
    root, query = scope["spans"]
    assert (root["spanId"], root["parentSpanId"]) == ("0000000000000001", "")
    assert (root["durationMs"], root["status"]) == (120, {"code": "STATUS_CODE_UNSET"})
    assert query["attributes"] == {"rows": 7, "list": ["a", 1]}
    assert query["events"][0]["attributes"] == {"k": "v"}
    assert query["links"][0]["spanId"] == "0000000000000005"
    assert query["status"] == {"code": "STATUS_CODE_ERROR", "message": "gone"}


def test_no_trace_is_an_empty_object_to_a_language_model() -> None:
    assert render_llm_json(TraceAnswer(trace=empty_trace())) == b"{}"

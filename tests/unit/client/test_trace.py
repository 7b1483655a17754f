"""The body of a trace becomes spans, and these a tree."""

from __future__ import annotations

import json

import pytest
from support.otlp import EPOCH_NS, request, span

from tracestore.client.trace import Trace, read_trace
from tracestore.codec.trace_json import TraceAnswer, empty_trace, parse_trace, render_v2_json
from tracestore.codec.trace_tree import TraceSpan, arrange
from tracestore.errors import UnavailableError


def of_otlp(content: bytes, **answer: object) -> Trace | None:
    body = render_v2_json(TraceAnswer(trace=parse_trace(content), **answer))  # type: ignore[arg-type]
    return read_trace(body, "ab".zfill(32), source="test")


def a_span(name: str, parent: str = "", start_ns: int = 0) -> TraceSpan:
    return TraceSpan(
        span_id=name,
        parent_id=parent,
        name=name,
        service="shop",
        kind="internal",
        status="unset",
        status_message="",
        start_ns=start_ns,
        end_ns=start_ns + 1,
        attributes=(),
    )


def drawn(*spans: TraceSpan) -> list[str]:
    return [f"{'  ' * row.depth}{row.span.name}" for row in arrange(spans)]


def test_a_trace_as_a_server_writes_it() -> None:
    trace = of_otlp(
        request(
            resource={"service.name": "shop"},
            spans=[
                span(trace=0xAB, id=1, name="GET /", kind="server", status="error"),
                span(trace=0xAB, id=2, parent=1, name="query", attributes={"n": 7, "l": ["a"]}),
            ],
        )
    )

    assert trace is not None
    root, child = trace.spans
    assert (root.kind, root.status, root.is_error) == ("server", "error", True)
    assert (child.kind, child.status) == ("internal", "unset")
    assert (child.span_id, child.parent_id) == ("0000000000000002", "0000000000000001")
    assert child.attributes == (("n", 7), ("l", ["a"]))
    assert (trace.start_ns, trace.duration_ns) == (EPOCH_NS, 1_000_000)
    assert (trace.services, trace.error_count) == (("shop",), 1)


def test_a_trace_is_a_table_in_the_order_of_the_tree() -> None:
    trace = of_otlp(
        request(
            resource={"service.name": "shop"},
            spans=[
                span(trace=0xAB, id=2, parent=1, name="b", attributes={"n": 7}),
                span(trace=0xAB, id=1, name="a"),
            ],
        )
    )

    assert trace is not None
    table = trace.to_arrow()
    assert table.select(["name", "depth", "parent_span_id", "n"]).to_pylist() == [
        {"name": "a", "depth": 0, "parent_span_id": None, "n": None},
        {"name": "b", "depth": 1, "parent_span_id": "0000000000000001", "n": 7},
    ]
    assert list(trace.to_pandas()["service"]) == ["shop", "shop"]
    assert trace.to_polars()["status"].to_list() == ["unset", "unset"]
    assert "<table" in trace._repr_html_()


def test_a_trace_that_is_not_there() -> None:
    body = render_v2_json(TraceAnswer(trace=empty_trace()))

    assert read_trace(body, "ab", source="test") is None


def test_a_part_of_a_trace_says_so() -> None:
    content = request(spans=[span(trace=1, id=1)])
    whole = of_otlp(content)
    part = of_otlp(content, partial=True, message="too large")

    assert whole is not None
    assert part is not None
    assert (whole.message, part.message) == ("", "too large")


@pytest.mark.parametrize("body", [{}, [], {"trace": {"resourceSpans": 1}}, "x"])
def test_what_is_no_trace_is_said(body: object) -> None:
    with pytest.raises(UnavailableError, match="test answered with something that is no trace"):
        read_trace(json.dumps(body).encode(), "ab", source="test")


def test_children_stand_below_their_parent_by_start() -> None:
    assert drawn(
        a_span("c", "a", 3), a_span("b", "a", 2), a_span("d", "b", 9), a_span("a", start_ns=5)
    ) == ["a", "  b", "    d", "  c"]


def test_a_span_whose_parent_is_not_there_is_a_root() -> None:
    assert drawn(a_span("a", start_ns=1), a_span("o", "gone", 0)) == ["o", "a"]


def test_spans_in_a_circle_are_shown_once() -> None:
    assert drawn(a_span("self", "self", 9), a_span("x", "y", 2), a_span("y", "x", 1)) == [
        "self",
        "y",
        "  x",
    ]


def test_two_spans_of_one_id_are_both_shown() -> None:
    assert sorted(drawn(a_span("a"), a_span("b", "a"), a_span("b", "a", 1))) == ["  b", "  b", "a"]


def test_a_chain_of_ten_thousand_needs_no_stack() -> None:
    spans = [a_span(str(n), str(n - 1) if n else "", n) for n in range(10_000)]

    rows = arrange(spans)
    assert [row.depth for row in rows] == list(range(10_000))

"""What a trace looks like, on a terminal and in a pipe."""

from __future__ import annotations

import io

from tracestore.cli.screen import Screen
from tracestore.cli.trace import show_tree
from tracestore.client.trace import Trace
from tracestore.codec.trace_text import DEPTH_MAX
from tracestore.codec.trace_tree import TraceSpan


def a_span(name: str, parent: str = "", start_ms: int = 0, **fields: str) -> TraceSpan:
    return TraceSpan(
        **{
            "span_id": name,
            "parent_id": parent,
            "name": name,
            "service": "shop",
            "kind": "internal",
            "status": "unset",
            "status_message": "",
            "start_ns": 1_700_000_040_000_000_000 + start_ms * 1_000_000,
            "end_ns": 1_700_000_040_000_000_000 + (start_ms + 1) * 1_000_000,
            "attributes": (),
            **fields,
        }  # type: ignore[arg-type]  # values of several types
    )


def tree(*spans: TraceSpan, terminal: bool = False, message: str = "") -> list[str]:
    stream = io.StringIO()
    screen = Screen(stream, colour=terminal, columns=100 if terminal else None)
    show_tree(screen, Trace(trace_id="ab", body={}, spans=spans, message=message))
    return stream.getvalue().splitlines()


def test_a_tree() -> None:
    assert tree(
        a_span("root"),
        a_span("b", "root", 1),
        a_span("c", "b", 2, status="error", status_message="no\x1b[2J stock"),
        a_span("d", "root", 3, service="bank"),
        a_span("e", "gone", 4),
    ) == [
        "trace ab  2023-11-14 22:14:00.000 UTC  5ms  5 spans  2 services  1 error",
        "OFFSET  DURATION  SERVICE  SPAN",
        "   0ns       1ms  shop     root",
        "   1ms       1ms  shop     ├─ b",
        "   2ms       1ms  shop     │ └─ c  ERROR: no\\x1b[2J stock",
        "   3ms       1ms  bank     └─ d",
        "   4ms       1ms  shop     e  (parent gone is not there)",
    ]


def test_errors_stand_out_on_a_terminal() -> None:
    lines = tree(a_span("root", status="error"), terminal=True)

    assert "\x1b[1;31m1 error\x1b[0m" in lines[0]
    assert lines[2].endswith("\x1b[1;31mroot  ERROR\x1b[0m")


def test_a_part_of_a_trace_says_so() -> None:
    assert tree(a_span("root"), message="too large")[1] == "not the whole trace: too large"


def test_a_deep_chain_stays_readable() -> None:
    lines = tree(*(a_span(str(n), str(n - 1) if n else "", n) for n in range(1000)))

    assert lines[-1].endswith("└─ (999 deep) 999")
    assert max(map(len, lines)) < 40 + 3 * DEPTH_MAX

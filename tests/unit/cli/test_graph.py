"""What the graph of services looks like, in a pipe."""

from __future__ import annotations

import io
import json
from typing import Any

from tracestore.cli.graph import show_drawing, show_json, show_table
from tracestore.cli.screen import Screen

NOTHING = {"p50": None, "p95": None, "p99": None}
BODY: dict[str, Any] = {
    "nodes": [{"name": name} for name in ("cart", "idle", "redis")],
    "edges": [
        {
            "client": "cart",
            "server": "redis",
            "connectionType": "database",
            "total": 7200,
            "failed": 36,
            "rate": 2.0,
            "errorRatio": 0.005,
            "serverLatency": {"p50": 0.0008, "p95": 0.0152, "p99": 1.5},
            "clientLatency": NOTHING,
        },
        {
            "client": "cart",
            "server": "mail\x1b[2J",
            "connectionType": "virtual_node",
            "total": 2.5,
            "failed": 0,
            "rate": 0.0006944,
            "errorRatio": 0.0,
            "serverLatency": NOTHING,
            "clientLatency": {"p50": 0.02, "p95": 0.02, "p99": 0.02},
        },
    ],
    "cycles": [["a", "b"], ["c"]],
    "service": {
        "name": "cart",
        "dependencies": [{"name": "redis", "type": "database", "depth": 1}],
        "dependents": [],
    },
}


def shown(show: Any, what: Any) -> list[str]:
    stream = io.StringIO()
    show(Screen(stream, colour=False, columns=None), what)
    return stream.getvalue().splitlines()


def test_a_table() -> None:
    assert shown(show_table, BODY) == [
        "CLIENT  SERVER       TYPE          REQUESTS        RATE  FAILED    P50     P95   P99",
        "cart    redis        database          7200         2/s    0.5%  800µs  15.2ms  1.5s",
        "cart    mail\\x1b[2J  virtual_node       2.5  0.000694/s       0   20ms    20ms  20ms",
        "calls nobody, called by nobody: idle",
        "call one another: a, b",
        "calls itself: c",
        "cart depends on: redis (1)",
    ]


def test_json_and_drawings() -> None:
    assert json.loads(shown(show_json, BODY)[0]) == BODY
    assert shown(show_drawing, 'digraph {\n"a\x1b" -> "b"\n}\n') == [
        "digraph {",
        '"a\\x1b" -> "b"',
        "}",
    ]

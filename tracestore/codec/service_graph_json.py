"""The graph of services -> the body of ``/api/service-graph``, as JSON, DOT or Mermaid.

Source: docs/service-graph.md; the DOT language (Graphviz); Mermaid, "flowchart".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tracestore.codec.search_json import stats_json
from tracestore.model.service_graph import (
    GraphEdge,
    GraphNode,
    Latency,
    NodeType,
    Reached,
    Requests,
    ServiceGraph,
    ShownTrace,
)

Json = dict[str, Any]
_DOT_SHAPES = {
    NodeType.SERVICE: "box",
    NodeType.DATABASE: "cylinder",
    NodeType.VIRTUAL: "ellipse",
}
_MERMAID_SHAPES = {
    NodeType.SERVICE: ("[", "]"),
    NodeType.DATABASE: ("[(", ")]"),
    NodeType.VIRTUAL: ("([", "])"),
}


def render_graph_json(graph: ServiceGraph) -> bytes:
    """Write a graph as JSON; rates are a second, times in seconds, null where nothing was seen."""
    body: Json = {
        "startTimeUnixNano": str(graph.start_ns),
        "endTimeUnixNano": str(graph.end_ns),
        "nodes": [_node(one, graph.seconds) for one in graph.nodes],
        "edges": [_edge(one, graph.seconds) for one in graph.edges],
        "cycles": graph.cycles,
    }
    around = graph.neighbourhood
    if around is not None:
        body["service"] = {
            "name": around.name,
            "dependencies": _reached(around.dependencies),
            "dependents": _reached(around.dependents),
        }
    body["metrics"] = stats_json(graph.stats)
    if graph.message:
        body["status"] = "PARTIAL"
        body["message"] = graph.message
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _node(node: GraphNode, seconds: float) -> Json:
    return {
        "name": node.name,
        "type": node.type.value,
        "incoming": _requests(node.incoming, seconds),
        "outgoing": _requests(node.outgoing, seconds),
        "serverLatency": _latency(node.server),
        "fanIn": node.fan_in,
        "fanOut": node.fan_out,
    }


def _edge(edge: GraphEdge, seconds: float) -> Json:
    body: Json = {
        "client": edge.client,
        "server": edge.server,
        "connectionType": edge.connection_type,
        "virtualNode": edge.virtual_node,
        **_requests(edge.requests, seconds),
        "serverLatency": _latency(edge.server_latency),
        "clientLatency": _latency(edge.client_latency),
    }
    if edge.messaging_latency.p50_s is not None:
        body["messagingLatency"] = _latency(edge.messaging_latency)
    for name, shown in (("slowest", edge.slowest), ("slowestFailed", edge.slowest_failed)):
        if shown is not None:
            body[name] = _shown(shown)
    return body


def _requests(requests: Requests, seconds: float) -> Json:
    return {
        "total": _count(requests.total),
        "failed": _count(requests.failed),
        "rate": requests.total / seconds,
        "errorRatio": requests.error_ratio,
    }


def _count(value: float) -> int | float:
    """Write a count; where spans stand for several it may be no whole number."""
    return int(value) if value.is_integer() else value


def _latency(latency: Latency) -> Json:
    return {"p50": latency.p50_s, "p95": latency.p95_s, "p99": latency.p99_s}


def _shown(shown: ShownTrace) -> Json:
    return {"traceID": shown.trace_id, "seconds": shown.seconds}


def _reached(reached: Sequence[Reached]) -> list[Json]:
    return [{"name": one.name, "type": one.type.value, "depth": one.depth} for one in reached]


# --- drawings ------------------------------------------------------------------------------------


def render_graph_dot(graph: ServiceGraph) -> bytes:
    """Write a graph for Graphviz."""
    lines = ["digraph services {", "  rankdir=LR;"]
    for node in graph.nodes:
        lines.append(f"  {_dot(node.name)} [shape={_DOT_SHAPES[node.type]}];")
    for edge in graph.edges:
        label = _dot(_edge_text(edge, graph.seconds))
        color = ", color=red" if edge.requests.failed else ""
        lines.append(f"  {_dot(edge.client)} -> {_dot(edge.server)} [label={label}{color}];")
    return "\n".join([*lines, "}", ""]).encode(errors="replace")


def _dot(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{plain}"'


def render_graph_mermaid(graph: ServiceGraph) -> bytes:
    """Write a graph as a flowchart of Mermaid."""
    numbers = {node.name: f"n{number}" for number, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes:
        left, right = _MERMAID_SHAPES[node.type]
        lines.append(f"  {numbers[node.name]}{left}{_mermaid(node.name)}{right}")
    for edge in graph.edges:
        label = _mermaid(_edge_text(edge, graph.seconds))
        lines.append(f"  {numbers[edge.client]} -->|{label}| {numbers[edge.server]}")
    return "\n".join([*lines, ""]).encode(errors="replace")


def _mermaid(text: str) -> str:
    """Quote a text; what it may not hold is written as Mermaid's entities are."""
    return '"' + "".join(c if c.isalnum() or c in " .-_/:%" else f"#{ord(c)};" for c in text) + '"'


def _edge_text(edge: GraphEdge, seconds: float) -> str:
    found = [f"{edge.requests.total / seconds:.3g}/s"]
    if edge.requests.failed:
        found.append(f"{edge.requests.error_ratio:.1%} failed")
    p95 = edge.server_latency.p95_s or edge.client_latency.p95_s
    if p95 is not None:
        found.append(f"p95 {p95 * 1e3:.3g} ms")
    return " ".join(found)

"""The MCP server, asked by the client of the official SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import mcp_types as types
import pytest
from mcp.client.client import Client
from support.otlp import request, span
from support.server import Server, running_server

NOW_NS = 1_790_000_000_000_000_000
WINDOW = {"start": "2026-09-21T14:00:00Z", "end": "2026-09-21T15:00:00Z"}
"""What the spans below lie in."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    shift_ms = (NOW_NS - 1_700_000_040_000_000_000) // 1_000_000
    spans = [
        span(trace=0xAB, id=1, name="GET /", kind="server", start_ms=shift_ms),
        span(trace=0xAB, id=2, parent=1, name="query", status="error", start_ms=shift_ms),
    ]
    body = request(resource={"service.name": "shop"}, spans=spans)
    data = tmp_path_factory.mktemp("data") / "store"
    with running_server(data, "--query.mcp-enabled=true") as server:
        headers = {"Content-Type": "application/x-protobuf"}
        httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers)
        server.wait_until_decoded()
        yield server


def with_client(server: Server, work: Callable[[Client], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with Client(f"{server.api_url}/api/mcp") as client:
            return await work(client)

    return asyncio.run(run())


def call(server: Server, tool: str, **arguments: str) -> types.CallToolResult:
    return with_client(server, lambda client: client.call_tool(tool, arguments))


def text_of(result: types.CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    return content.text


def body_of(result: types.CallToolResult) -> Any:
    assert not result.is_error, text_of(result)
    assert result.meta is not None
    assert result.meta["encoding"] == "json"
    return json.loads(text_of(result))


def test_tools_are_listed_with_their_arguments(server: Server) -> None:
    tools = {t.name: t for t in with_client(server, lambda c: c.list_tools()).tools}

    assert tools.keys() == {
        "traceql-search",
        "traceql-metrics-instant",
        "traceql-metrics-range",
        "get-trace",
        "get-service-graph",
        "get-attribute-names",
        "get-attribute-values",
        "docs-traceql",
        "docs-config",
    }
    assert tools["traceql-search"].input_schema["required"] == ["query"]
    assert tools["docs-config"].input_schema["properties"]["name"]["enum"] == [
        "overview",
        "reference",
    ]


def test_a_search(server: Server) -> None:
    (trace,) = body_of(call(server, "traceql-search", query="{ status = error }", **WINDOW))[
        "traces"
    ]

    assert (trace["traceID"], trace["rootServiceName"]) == ("ab", "shop")


def test_a_trace(server: Server) -> None:
    body = body_of(call(server, "get-trace", trace_id="ab"))

    assert body["trace"]["services"][0]["serviceName"] == "shop"


def test_metrics(server: Server) -> None:
    query = "{} | count_over_time() by (resource.service.name)"
    (instant,) = body_of(call(server, "traceql-metrics-instant", query=query, **WINDOW))["series"]
    (series,) = body_of(call(server, "traceql-metrics-range", query=query, **WINDOW))["series"]

    assert instant["value"] == 2
    assert sum(sample.get("value", 0) for sample in series["samples"]) == 2


def test_service_graph(server: Server) -> None:
    body = body_of(call(server, "get-service-graph", **WINDOW))

    assert body["nodes"]
    service = body["nodes"][0]["name"]
    near = body_of(call(server, "get-service-graph", service=service, **WINDOW))
    assert near["service"]["name"] == service


def test_attributes(server: Server) -> None:
    names = body_of(call(server, "get-attribute-names", scope="resource", **WINDOW))
    values = body_of(call(server, "get-attribute-values", name="resource.service.name", **WINDOW))

    assert names["scopes"] == [{"name": "resource", "tags": ["service.name"]}]
    assert values["tagValues"] == {"string": ["shop"]}


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("traceql-search", {"query": "{ statsu = error }"}, "did you mean status"),
        ("traceql-search", {"query": "{} | rate()"}, "use traceql-metrics-instant"),
        ("traceql-search", {"query": "{}", "start": "yesterday"}, "start must be a time"),
        ("traceql-search", {"query": "{}", "start": "2026-01-01T00:00:00"}, "needs a time zone"),
        ("traceql-search", {}, "needs the argument query"),
        ("traceql-search", {"query": "{}", "limit": "9"}, "has no argument limit"),
        ("traceql-metrics-range", {"query": "{}"}, "not a metrics query"),
        ("get-trace", {"trace_id": "cd"}, "is not there"),
        ("get-trace", {"trace_id": "xyz"}, "hex characters"),
        ("docs-traceql", {"name": "cooking"}, "must be one of basic"),
        ("cook", {}, "there is no tool cook"),
    ],
)
def test_a_mistake_is_explained(
    server: Server, tool: str, arguments: dict[str, str], message: str
) -> None:
    result = call(server, tool, **arguments)

    assert result.is_error
    assert message in text_of(result)


def test_documents(server: Server) -> None:
    resources = with_client(server, lambda client: client.list_resources()).resources
    for resource in resources:
        read = with_client(server, lambda c, uri=resource.uri: c.read_resource(uri))  # type: ignore[misc]
        family, _, name = resource.name.partition("/")
        assert read.contents[0].text == text_of(call(server, f"docs-{family}", name=name))

    assert len(resources) == 7


def test_it_is_not_there_unless_asked_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_server(tmp_path_factory.mktemp("data") / "store") as server:
        assert httpx.post(f"{server.api_url}/api/mcp", json={}).status_code == 404

"""The Model Context Protocol on ``/api/mcp``: tools for language models, with the official SDK.

Streamable HTTP without sessions: every request stands alone, so any replica may answer it. A tool
asks a route of this process, with the tenant of whoever called. Imported only where the server is
switched on, since the SDK is an extra.

Source: wire contract, section 11.8; Model Context Protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

import traceql
from traceql.nodes import Pipeline
from tracestore.api.app import Answer, Routes
from tracestore.api.mcp_tools import (
    CONFIG_DOCS,
    DOCS_TOOLS,
    SERVER_NAME,
    TOOLS,
    TRACEQL_DOCS,
    Tool,
    check_arguments,
    docs_of,
    schema_of,
)
from tracestore.clock import Clock
from tracestore.errors import InvalidRequestError
from tracestore.model.times import SECOND_NS

PATH = "/api/mcp"
META_VERSION = "1"
_BODY_BYTES_MAX = 1 << 20
NO_TRACE = b"{}"
"""What the route of a trace answers a language model where there is none."""
_TOOLS = {tool.name: tool for tool in TOOLS}
_INSTRUCTIONS = (
    "Traces of distributed systems, asked in TraceQL. Look at get-attribute-names and "
    "get-attribute-values before writing a query, and at docs-traceql for the language."
)


class McpServer:
    """The service behind the route; ``handle`` is what is mounted."""

    def __init__(self, routes: Routes, prefix: str, clock: Clock) -> None:
        self._routes = routes
        self._prefix = prefix
        self._clock = clock
        self._protocol: Server[Any] = Server(
            SERVER_NAME,
            version="0.1.0",
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_read_resource=self._read_resource,
        )
        self._manager = StreamableHTTPSessionManager(
            self._protocol,
            json_response=True,
            stateless=True,
            max_request_body_size=_BODY_BYTES_MAX,
        )
        self._is_open = asyncio.Event()

    @property
    def name(self) -> str:
        return "mcp"

    async def start(self) -> None:
        """Nothing to get ready."""

    async def run(self) -> None:
        """Keep the tasks of requests until cancelled."""
        async with self._manager.run():
            self._is_open.set()
            await asyncio.Event().wait()

    async def drain(self) -> None:
        """Requests end with ``run``."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        await self._is_open.wait()
        await self._manager.handle_request(scope, receive, send)

    # --- tools -------------------------------------------------------------------------------

    async def _list_tools(
        self, _context: ServerRequestContext[Any], _page: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        tools = [
            types.Tool(name=t.name, description=t.description, input_schema=t.schema) for t in TOOLS
        ]
        for name, (_, description, arguments) in DOCS_TOOLS.items():
            schema = schema_of(arguments)
            tools.append(types.Tool(name=name, description=description, input_schema=schema))
        return types.ListToolsResult(tools=tools)

    async def _call_tool(
        self, context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        given: Mapping[str, Any] = params.arguments or {}
        try:
            if params.name in DOCS_TOOLS:
                family, _, arguments = DOCS_TOOLS[params.name]
                checked = check_arguments(params.name, arguments, given)
                return _result(docs_of(family, checked["name"]), type=params.name, encoding="text")
            if params.name not in _TOOLS:
                known = ", ".join([*_TOOLS, *DOCS_TOOLS])
                return _failure(f"there is no tool {params.name}, there are {known}")
            return await self._ask(_TOOLS[params.name], given, _headers(context))
        except InvalidRequestError as error:
            return _failure(str(error))

    async def _ask(
        self, tool: Tool, given: Mapping[str, Any], asker: Headers
    ) -> types.CallToolResult:
        checked = tool.check(given)
        if tool.name == "traceql-search":
            _refuse_metrics(checked["query"])
        asked = tool.ask(checked, self._clock.now_ns() // SECOND_NS)
        answer = await self._routes.ask(
            self._prefix + asked.route, asked.query, asker=asker, **asked.path_params
        )
        if answer.status != 200:
            return _failure(_words(answer))
        if answer.body == NO_TRACE:
            return _failure(f"trace {checked['trace_id']} is not there")
        return _result(answer.body.decode(), type=tool.type, encoding="json")

    # --- documents ---------------------------------------------------------------------------

    async def _list_resources(
        self, _context: ServerRequestContext[Any], _page: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        families = (("traceql", TRACEQL_DOCS), ("config", CONFIG_DOCS))
        return types.ListResourcesResult(
            resources=[
                types.Resource(
                    name=f"{family}/{name}",
                    uri=f"docs://{family}/{name}",
                    mime_type="text/markdown",
                )
                for family, names in families
                for name in names
            ]
        )

    async def _read_resource(
        self, _context: ServerRequestContext[Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        uri = str(params.uri)
        family, _, name = uri.removeprefix("docs://").partition("/")
        if not uri.startswith("docs://") or family not in ("traceql", "config"):
            raise MCPError(
                types.INVALID_PARAMS, f"no resource {uri}; they begin with docs://traceql/"
            )
        try:
            document = docs_of(family, name)
        except InvalidRequestError as error:
            raise MCPError(types.INVALID_PARAMS, str(error)) from error
        content = types.TextResourceContents(
            uri=params.uri, mime_type="text/markdown", text=document
        )
        return types.ReadResourceResult(contents=[content])


def _headers(context: ServerRequestContext[Any]) -> Headers:
    return Headers(scope=context.request.scope) if context.request is not None else Headers()


def _refuse_metrics(query: str) -> None:
    """Point to the tools for metrics. Raises: InvalidRequestError."""
    try:
        body = traceql.parse(query).body
    except traceql.QueryError:
        return  # the route says what is wrong
    if not isinstance(body, Pipeline):
        raise InvalidRequestError(
            "this is a metrics query: use traceql-metrics-instant or traceql-metrics-range"
        )


def _words(answer: Answer) -> str:
    return answer.body.decode(errors="replace").strip() or f"status {answer.status}"


def _result(text: str, *, type: str, encoding: str) -> types.CallToolResult:
    meta = {"type": type, "encoding": encoding, "version": META_VERSION}
    content = types.TextContent(type="text", text=text)
    return types.CallToolResult.model_validate({"content": [content], "_meta": meta})


def _failure(message: str) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=message)], is_error=True
    )

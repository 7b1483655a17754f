"""What language models may ask: tools and documents of the MCP server, as data.

A tool is a route of the public API with other words around it. Knows nothing of the protocol.
Source: wire contract, section 11.8; Model Context Protocol, "tools" and "resources".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from typing import Any

from tracestore.api.tag_params import NAMES_V2, TAG_NAME, VALUES_V2
from tracestore.errors import InvalidRequestError
from tracestore.settings.docs import render_configuration_docs

SERVER_NAME = "tempo"
"""What Tempo calls its own server, so that prompts written for it fit."""
DEFAULT_WINDOW_S = 3600
TRACEQL_DOCS = ("basic", "aggregates", "structural", "metrics", "query")
CONFIG_DOCS = ("overview", "reference")


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """A text that a tool takes."""

    description: str
    required: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request to the public API."""

    route: str
    query: Mapping[str, str] = field(default_factory=dict)
    path_params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that asks a route."""

    name: str
    description: str
    arguments: Mapping[str, Argument]
    type: str
    """What the answer is, in ``_meta``."""
    ask: Callable[[Mapping[str, str], int], Asked]
    """Arguments and the time in seconds -> request."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        return schema_of(self.arguments)

    def check(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Check what a model has written. Raises: InvalidRequestError."""
        return check_arguments(self.name, self.arguments, given)


def schema_of(arguments: Mapping[str, Argument]) -> dict[str, Any]:
    """Make the JSON schema of arguments."""
    properties: dict[str, Any] = {}
    for name, argument in arguments.items():
        properties[name] = {"type": "string", "description": argument.description}
        if argument.choices:
            properties[name]["enum"] = list(argument.choices)
    required = [name for name, argument in arguments.items() if argument.required]
    return {"type": "object", "properties": properties, "required": required}


def check_arguments(
    tool: str, arguments: Mapping[str, Argument], given: Mapping[str, Any]
) -> dict[str, str]:
    """Take texts for known names, required ones among them. Raises: InvalidRequestError."""
    for name, value in given.items():
        if name not in arguments:
            known = ", ".join(arguments)
            raise InvalidRequestError(f"{tool} has no argument {name}, it takes {known}")
        if not isinstance(value, str):
            raise InvalidRequestError(f"{tool}: argument {name} must be a text, got {value!r}")
    for name, argument in arguments.items():
        value = given.get(name, "")
        if argument.required and not value:
            raise InvalidRequestError(f"{tool} needs the argument {name}: {argument.description}")
        if argument.choices and value and value not in argument.choices:
            choices = ", ".join(argument.choices)
            raise InvalidRequestError(f"{tool}: {name} must be one of {choices}, got {value}")
    return {name: value for name, value in given.items() if value}


_WINDOW = {
    "start": Argument(description="begin of the window, RFC 3339; default: one hour before end"),
    "end": Argument(description="end of the window, RFC 3339; default: now"),
}


def _window(given: Mapping[str, str], now_s: int) -> dict[str, str]:
    end_s = _seconds(given, "end", now_s)
    start_s = _seconds(given, "start", end_s - DEFAULT_WINDOW_S)
    return {"start": str(start_s), "end": str(end_s)}


def _seconds(given: Mapping[str, str], name: str, default_s: int) -> int:
    text = given.get(name)
    if not text:
        return default_s
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequestError(
            f"{name} must be a time such as 2026-01-31T12:00:00Z, got {text}"
        ) from error
    if moment.tzinfo is None:
        raise InvalidRequestError(f"{name} needs a time zone, such as {text}Z")
    return int(moment.timestamp())


def _search(given: Mapping[str, str], now_s: int) -> Asked:
    return Asked(route="/api/search", query={"q": given["query"]} | _window(given, now_s))


def _metrics(route: str) -> Callable[[Mapping[str, str], int], Asked]:
    def ask(given: Mapping[str, str], now_s: int) -> Asked:
        return Asked(route=route, query={"q": given["query"]} | _window(given, now_s))

    return ask


def _trace(given: Mapping[str, str], _now_s: int) -> Asked:
    return Asked(
        route="/api/v2/traces/{traceID}", path_params={"traceID": given["trace_id"]}, query={}
    )


def _names(given: Mapping[str, str], now_s: int) -> Asked:
    scope = {"scope": given["scope"]} if "scope" in given else {}
    return Asked(route=NAMES_V2, query=scope | _window(given, now_s))


def _values(given: Mapping[str, str], now_s: int) -> Asked:
    only = {"q": given["filter-query"]} if "filter-query" in given else {}
    return Asked(
        route=VALUES_V2, path_params={TAG_NAME: given["name"]}, query=only | _window(given, now_s)
    )


def _graph(given: Mapping[str, str], now_s: int) -> Asked:
    renamed = {"filter-query": "q", "service": "service"}
    query = {renamed[name]: given[name] for name in renamed if name in given}
    return Asked(route="/api/service-graph", query=query | _window(given, now_s))


_QUERY = Argument(description="a TraceQL query; see docs-traceql", required=True)

TOOLS = (
    Tool(
        name="traceql-search",
        description="Find traces by a TraceQL query, newest first. Not for metrics queries.",
        arguments={"query": _QUERY} | _WINDOW,
        type="search-results",
        ask=_search,
    ),
    Tool(
        name="traceql-metrics-instant",
        description="Compute one value per series over a window by a TraceQL metrics query.",
        arguments={"query": _QUERY} | _WINDOW,
        type="metrics-instant",
        ask=_metrics("/api/metrics/query"),
    ),
    Tool(
        name="traceql-metrics-range",
        description="Compute series over time by a TraceQL metrics query.",
        arguments={"query": _QUERY} | _WINDOW,
        type="metrics-range",
        ask=_metrics("/api/metrics/query_range"),
    ),
    Tool(
        name="get-trace",
        description="Get a whole trace by its ID.",
        arguments={"trace_id": Argument(description="hex digits", required=True)},
        type="trace",
        ask=_trace,
    ),
    Tool(
        name="get-service-graph",
        description="Tell which services call which, how often, how well and how fast; of a "
        "service, what it depends on and what depends on it.",
        arguments={
            "service": Argument(description="only what this service has to do with"),
            "filter-query": Argument(
                description="a TraceQL filter: only requests of which one side matches"
            ),
        }
        | _WINDOW,
        type="service-graph",
        ask=_graph,
    ),
    Tool(
        name="get-attribute-names",
        description="List the attributes that spans have, by scope, to write queries with.",
        arguments={
            "scope": Argument(
                description="only names of this scope",
                choices=("span", "resource", "event", "link", "instrumentation", "intrinsic"),
            )
        }
        | _WINDOW,
        type="attribute-names",
        ask=_names,
    ),
    Tool(
        name="get-attribute-values",
        description="List the values of an attribute, to write queries with.",
        arguments={
            "name": Argument(
                description="an attribute with its scope, such as resource.service.name",
                required=True,
            ),
            "filter-query": Argument(description="a TraceQL filter: only values of its spans"),
        }
        | _WINDOW,
        type="attribute-values",
        ask=_values,
    ),
)


def docs_of(family: str, name: str) -> str:
    """Get a document. Raises: InvalidRequestError if there is no such one."""
    known = TRACEQL_DOCS if family == "traceql" else CONFIG_DOCS
    if name not in known:
        raise InvalidRequestError(f"no document {name!r}, there are {', '.join(known)}")
    if (family, name) == ("config", "reference"):
        return render_configuration_docs()
    return resources.files("tracestore.api").joinpath(f"mcp_docs/{family}_{name}.md").read_text()


DOCS_TOOLS = {
    "docs-traceql": (
        "traceql",
        "How TraceQL is written, by chapter.",
        {"name": Argument(description="the chapter", required=True, choices=TRACEQL_DOCS)},
    ),
    "docs-config": (
        "config",
        "How this store is configured.",
        {"name": Argument(description="the chapter", required=True, choices=CONFIG_DOCS)},
    ),
}
"""Name -> family of documents, description, arguments."""

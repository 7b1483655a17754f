"""The graph of services: a request -> parameters of the API, a body -> what it says.

Source: docs/service-graph.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tracestore.client.request import read_query
from tracestore.client.window import Duration, Moment, resolve_window
from tracestore.errors import UnavailableError

DRAWINGS = ("dot", "mermaid")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRequest:
    """What the graph is of; None leaves the choice to who answers: the last hour, all of it."""

    query: str | None = None
    """TraceQL: only requests of which one side matches."""
    service: str | None = None
    depth: int | None = None
    last: Duration | None = None
    start: Moment | None = None
    end: Moment | None = None
    drawing: str | None = None
    """One of ``DRAWINGS``; None: JSON."""

    def parameters(self, *, now_ns: int) -> dict[str, str]:
        """Make the query string's parameters. Raises: QueryError, InvalidRequestError."""
        found: dict[str, str] = {}
        if self.query is not None:
            read_query(self.query)
            found["q"] = self.query
        window = resolve_window(last=self.last, start=self.start, end=self.end, now_ns=now_ns)
        if window is not None:
            found["start"], found["end"] = map(str, window)
        for name, value in (
            ("service", self.service),
            ("depth", self.depth),
            ("format", self.drawing),
        ):
            if value is not None:
                found[name] = str(value)
        return found


def read_graph(content: bytes, *, source: str) -> dict[str, Any]:
    """Read the body of ``/api/service-graph``. Raises: UnavailableError if it is none."""
    try:
        body: dict[str, Any] = json.loads(content)
        if not isinstance(body, dict) or not body.keys() >= {"nodes", "edges", "cycles"}:
            raise ValueError("members are missing")
    except ValueError as error:
        raise UnavailableError(f"{source} answers with something else than a graph") from error
    return body

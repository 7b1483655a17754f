"""A search as a value -> the parameters of ``/api/search``; mistakes are found before it is sent.

Source: wire contract, section 8.1; ``sort``, ``count``, ``explain``, ``cursor`` and
``partial`` are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import traceql
from traceql import nodes
from traceql.attributes import Attribute, Scope
from tracestore.client.window import Duration, Moment, resolve_window
from tracestore.errors import InvalidRequestError

SORTS = ("-start", "start", "-duration", "duration", "-spans", "spans", "-errors", "errors")
SERVICE = Attribute(Scope.RESOURCE, "service.name")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What is asked for; None leaves the choice to who answers."""

    query: str
    last: Duration | None = None
    start: Moment | None = None
    end: Moment | None = None
    limit: int | None = None
    spans_per_trace: int | None = None
    """Matched spans shown of each trace; 0: as many as may be."""
    sort: str | None = None
    count: bool = False
    explain: bool = False
    cursor: str | None = None
    partial: bool = False
    """Whether an answer without what cannot be read will do."""

    def parameters(self, *, now_ns: int) -> dict[str, str]:
        """Make the query string's parameters.

        Raises: QueryError with the place in the text, InvalidRequestError.
        """
        read_query(self.query)
        found = {"q": self.query}
        window = resolve_window(last=self.last, start=self.start, end=self.end, now_ns=now_ns)
        if window is not None:
            found["start"], found["end"] = map(str, window)
        if self.limit is not None:
            found["limit"] = str(self.limit)
        if self.spans_per_trace is not None:
            found["spss"] = str(self.spans_per_trace)
        if self.sort is not None:
            if self.sort not in SORTS:
                raise InvalidRequestError(f"sort: expected {', '.join(SORTS)}, got {self.sort!r}")
            found["sort"] = self.sort
        if self.cursor is not None:
            found["cursor"] = self.cursor
        found |= {name: "true" for name in ("count", "explain") if getattr(self, name)}
        if self.partial:
            found["partial"] = "allow"
        return found

    def with_service(self) -> SearchRequest:
        """Ask for the service of each span too, which an answer tells only if it is selected.

        Raises: QueryError.
        """
        query = read_query(self.query)
        if not isinstance(query.body, nodes.Pipeline):
            return self
        stages = (*query.body.stages, nodes.Select((nodes.Reference(SERVICE),)))
        return replace(self, query=traceql.render(replace(query, body=nodes.Pipeline(stages))))


def read_query(text: str) -> nodes.Query:
    """Parse and check a query. Raises: QueryError that can draw the place."""
    try:
        query = traceql.parse(text)
        traceql.check(query, text)
    except traceql.QueryError as error:
        raise error.locate(text) from None
    return query

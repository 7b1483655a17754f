"""Names and values of tags: a request -> parameters of the API, a body -> what it says.

Source: wire contract, sections 9.2 and 9.4.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import traceql
from traceql.attributes import Field
from tracestore.client.request import read_query
from tracestore.client.window import Duration, Moment, resolve_window
from tracestore.errors import InvalidRequestError, UnavailableError

SCOPES = ("resource", "span", "event", "link", "instrumentation", "intrinsic")
_NO_FILTER = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRequest:
    """What narrows names or values; None leaves the choice to who answers."""

    query: str | None = None
    """A filter ``{ … }`` that is whole: half a query is for editors."""
    scope: str | None = None
    """Of names."""
    last: Duration | None = None
    start: Moment | None = None
    end: Moment | None = None
    limit: int | None = None

    def parameters(self, *, now_ns: int) -> dict[str, str]:
        """Make the query string's parameters. Raises: QueryError, InvalidRequestError."""
        found: dict[str, str] = {}
        if self.query is not None:
            read_query(self.query)
            if traceql.parse_tag_filter(self.query) is not None:
                found["q"] = self.query
            elif self.query.replace(" ", "") != _NO_FILTER:
                raise InvalidRequestError(
                    "names and values are narrowed by one filter that compares, such as "
                    f"{{ status = error }}, got {self.query}"
                )
        if self.scope is not None:
            if self.scope not in SCOPES:
                raise InvalidRequestError(
                    f"scope: expected {', '.join(SCOPES)}, got {self.scope!r}"
                )
            found["scope"] = self.scope
        window = resolve_window(last=self.last, start=self.start, end=self.end, now_ns=now_ns)
        if window is not None:
            found["start"], found["end"] = map(str, window)
        if self.limit is not None:
            found["limit"] = str(self.limit)
        return found


def tag_text(text: str) -> str:
    """Write a tag as the API takes it; a name without scope is looked for everywhere.

    Raises: QueryError.
    """
    field: Field
    try:
        field = traceql.parse_field(text)
    except traceql.QueryError as error:
        try:
            field = traceql.parse_field(f".{text}")
        except traceql.QueryError:
            raise error from None
    return field.text


def read_names(content: bytes, *, source: str) -> dict[str, list[str]]:
    """Read names by scope. Raises: UnavailableError if that is no answer."""
    scopes = _read(content, "scopes", source)
    return {scope.get("name", ""): list(scope.get("tags", [])) for scope in scopes}


def read_values(content: bytes, *, source: str) -> list[tuple[str, str]]:
    """Read types and texts. Raises: UnavailableError if that is no answer."""
    values = _read(content, "tagValues", source)
    return [(value.get("type", ""), value.get("value", "")) for value in values]


def _read(content: bytes, member: str, source: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(content).get(member) or []
    except (ValueError, AttributeError) as error:
        raise UnavailableError(f"{source} answers with something else than JSON") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UnavailableError(f"{source} answers with something else than {member}")
    return found

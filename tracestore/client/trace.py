"""A whole trace: the body of ``/api/v2/traces/{id}`` as spans, and as the tree they form.

Source: wire contract, sections 7.2 to 7.5.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracestore.client.any_value import Value, read_attributes
from tracestore.errors import UnavailableError

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow as pa

SERVICE_KEY = "service.name"
_KIND_PREFIX = "SPAN_KIND_"
_STATUS_PREFIX = "STATUS_CODE_"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSpan:
    """A span of a trace. IDs are hex; no parent is an empty text."""

    span_id: str
    parent_id: str
    name: str
    service: str
    kind: str
    """``server`` and its kin, ``unspecified`` if none was sent."""
    status: str
    """``ok``, ``error`` or ``unset``."""
    status_message: str
    start_ns: int
    end_ns: int
    attributes: tuple[tuple[str, Value], ...]

    @property
    def duration_ns(self) -> int:
        """Below 0 if its clock ran backwards."""
        return self.end_ns - self.start_ns

    @property
    def is_error(self) -> bool:
        """Whether its status is error."""
        return self.status == "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRow:
    """A span in its place: below its parent, siblings by start."""

    span: TraceSpan
    depth: int
    """0 for a root, and for a span whose parent is not there."""
    is_last: bool
    """Whether no sibling follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A trace."""

    trace_id: str
    """32 hex digits."""
    body: Mapping[str, Any]
    """As it was given."""
    spans: tuple[TraceSpan, ...]
    message: str = ""
    """Why it is not whole; empty if it is."""

    @property
    def start_ns(self) -> int:
        """Earliest start."""
        return min(span.start_ns for span in self.spans)

    @property
    def duration_ns(self) -> int:
        """From the earliest start to the latest end."""
        return max(span.end_ns for span in self.spans) - self.start_ns

    @property
    def services(self) -> tuple[str, ...]:
        """The services in it, by name."""
        return tuple(sorted({span.service for span in self.spans}))

    @property
    def error_count(self) -> int:
        """Spans with an error."""
        return sum(span.is_error for span in self.spans)

    def tree(self) -> list[TreeRow]:
        """Put the spans in the order of the tree; each is in it once, whatever the parents say."""
        return arrange(self.spans)

    def to_arrow(self) -> pa.Table:
        """Make a table with a row per span, in the order of the tree."""
        from tracestore.client.frames import trace_table

        return trace_table(self)

    def to_pandas(self) -> pandas.DataFrame:
        """Make a pandas frame. Raises: ImportError if pandas is not installed."""
        from tracestore.client.frames import to_pandas

        return to_pandas(self.to_arrow())

    def to_polars(self) -> polars.DataFrame:
        """Make a Polars frame. Raises: ImportError if Polars is not installed."""
        from tracestore.client.frames import to_polars

        return to_polars(self.to_arrow())

    def _repr_html_(self) -> str:
        from tracestore.client.html import trace_html

        return trace_html(self)

    def __repr__(self) -> str:
        return f"<tracestore trace {self.trace_id}: spans={len(self.spans)}>"


def read_trace(content: bytes, trace_id: str, *, source: str) -> Trace | None:
    """Read the body of ``/api/v2/traces/{id}``; None if the trace is not there.

    Raises: UnavailableError if it is no such body.
    """
    try:
        body = json.loads(content)
        spans = tuple(_spans(body["trace"]))
        message = body.get("message", "") if body.get("status") == "PARTIAL" else ""
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnavailableError(
            f"{source} answered with something that is no trace ({error!r})"
        ) from error
    if not spans:
        return None
    return Trace(trace_id=trace_id, body=body, spans=spans, message=message)


def _spans(trace: Mapping[str, Any]) -> Iterator[TraceSpan]:
    for group in trace.get("resourceSpans", ()):
        of_resource = dict(read_attributes(group.get("resource", {}).get("attributes", ())))
        service = str(of_resource.get(SERVICE_KEY, ""))
        for scope in group.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                yield _span(span, service)


def _span(span: Mapping[str, Any], service: str) -> TraceSpan:
    status = span.get("status", {})
    return TraceSpan(
        span_id=_hex(span.get("spanId", "")),
        parent_id=_hex(span.get("parentSpanId", "")),
        name=span.get("name", ""),
        service=service,
        kind=_word(span.get("kind", "UNSPECIFIED"), _KIND_PREFIX),
        status=_word(status.get("code", "UNSET"), _STATUS_PREFIX),
        status_message=status.get("message", ""),
        start_ns=int(span.get("startTimeUnixNano", 0)),
        end_ns=int(span.get("endTimeUnixNano", 0)),
        attributes=tuple(read_attributes(span.get("attributes", ()))),
    )


def _hex(text: str) -> str:
    return base64.b64decode(text, validate=True).hex()


def _word(value: str | int, prefix: str) -> str:
    return str(value).removeprefix(prefix).lower()


def arrange(spans: Sequence[TraceSpan]) -> list[TreeRow]:
    """Walk the forest that the parents make, roots and siblings by start, then ID.

    A span whose parent is not there is a root. Of spans that are one another's ancestors the
    earliest is one. No recursion: a chain may be as long as it likes.
    """
    ordered = sorted(spans, key=lambda span: (span.start_ns, span.span_id))
    known = {span.span_id for span in ordered}
    children: dict[str, list[TraceSpan]] = {}
    roots: list[TraceSpan] = []
    for span in ordered:
        if span.parent_id in known and span.parent_id != span.span_id:
            children.setdefault(span.parent_id, []).append(span)
        else:
            roots.append(span)
    rows: list[TreeRow] = []
    _walk(roots, children, rows)
    while children:
        # What is left goes in circles: begin one with its earliest span.
        first = min((c for group in children.values() for c in group), key=_position)
        group = children[first.parent_id]
        group.remove(first)
        if not group:
            del children[first.parent_id]
        _walk([first], children, rows)
    return rows


def _position(span: TraceSpan) -> tuple[int, str]:
    return span.start_ns, span.span_id


def _walk(
    roots: Sequence[TraceSpan], children: dict[str, list[TraceSpan]], rows: list[TreeRow]
) -> None:
    """Add the trees of ``roots``; their children leave ``children``."""
    stack = _level(roots, 0)
    while stack:
        row = stack.pop()
        rows.append(row)
        stack += _level(children.pop(row.span.span_id, ()), row.depth + 1)


def _level(spans: Sequence[TraceSpan], depth: int) -> list[TreeRow]:
    """Make the rows of siblings, last first."""
    return [
        TreeRow(span=span, depth=depth, is_last=not index)
        for index, span in enumerate(reversed(spans))
    ]

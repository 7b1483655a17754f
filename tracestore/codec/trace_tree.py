"""A trace as a tree: the JSON of the public API -> spans, each below its parent.

Pure. A Python object per span is right here: somebody asked for this trace.
Source: wire contract, sections 7.2 to 7.5.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracestore.codec.any_value_json import Value, read_attributes

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


def read_spans(trace: Mapping[str, Any]) -> Iterator[TraceSpan]:
    """Read the JSON of a trace. Raises: ValueError, KeyError, TypeError, AttributeError."""
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

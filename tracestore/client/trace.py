"""A whole trace: the body of ``/api/v2/traces/{id}`` as spans, and as the tree they form.

Source: wire contract, sections 7.2 to 7.5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracestore.codec.trace_tree import TraceSpan, TreeRow, arrange, read_spans
from tracestore.errors import UnavailableError

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow as pa


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
        spans = tuple(read_spans(body["trace"]))
        message = body.get("message", "") if body.get("status") == "PARTIAL" else ""
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnavailableError(
            f"{source} answered with something that is no trace ({error!r})"
        ) from error
    if not spans:
        return None
    return Trace(trace_id=trace_id, body=body, spans=spans, message=message)

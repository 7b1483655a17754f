"""What a search found: the body of ``/api/search`` as values, and as tables of spans and traces.

Source: wire contract, section 8.3.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tracestore.codec.any_value_json import Value, read_attributes
from tracestore.errors import UnavailableError
from tracestore.model.ids import parse_trace_id
from tracestore.model.times import MILLISECOND_NS

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow as pa

Rows = Literal["spans", "traces"]
SERVICE_KEY = "service.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSpan:
    """A matched span."""

    trace_id: str
    span_id: str
    name: str
    start_ns: int
    duration_ns: int
    service: str | None
    """None: not told."""
    attributes: tuple[tuple[str, Value], ...]
    """What the query mentions but the service, then what its spanset says (``by``, aggregates)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTrace:
    """A trace with a match. IDs are 32 hex digits."""

    trace_id: str
    root_service: str
    root_name: str
    start_ns: int
    duration_ns: int
    """To the millisecond."""
    matched: int
    """Matched spans, shown or not."""
    spans: tuple[FoundSpan, ...]
    services: Mapping[str, tuple[int, int]]
    """Per service: spans, and those of them with an error."""

    @property
    def span_count(self) -> int:
        """Spans of the trace."""
        return sum(spans for spans, _ in self.services.values())

    @property
    def error_count(self) -> int:
        """Spans of the trace with an error."""
        return sum(errors for _, errors in self.services.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """How many traces match in all."""

    traces: int
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The answer to a search."""

    body: Mapping[str, Any]
    """As it was given."""
    traces: tuple[FoundTrace, ...]

    @property
    def total(self) -> Total | None:
        """How many traces match in all; None if that was not asked."""
        total = self.body.get("total")
        if total is None:
            return None
        return Total(traces=int(total["traces"]), exact=bool(total["exact"]))

    @property
    def is_complete(self) -> bool:
        """Whether all was read; False only if ``partial`` was asked for."""
        metrics = self.body.get("metrics") or {}
        return int(metrics.get("completedJobs", 0)) >= int(metrics.get("totalJobs", 0))

    @property
    def next_cursor(self) -> str | None:
        """Where the next page begins; None if there is none, or ``count`` was not asked."""
        return self.body.get("nextCursor")

    @property
    def explain(self) -> Any | None:
        """What was pruned, read and looked at; None if that was not asked."""
        return self.body.get("explain")

    @property
    def spans(self) -> Iterator[FoundSpan]:
        """The matched spans that are shown, trace by trace."""
        return (span for trace in self.traces for span in trace.spans)

    @property
    def spans_left_out(self) -> int:
        """Matched spans of these traces that are not shown: ask for more ``spans_per_trace``."""
        return sum(trace.matched - len(trace.spans) for trace in self.traces)

    def to_arrow(self, rows: Rows = "spans") -> pa.Table:
        """Make a table with a row per matched span, or per trace (docs/cli.md lists the columns).

        Raises: InvalidRequestError for other rows.
        """
        from tracestore.client.frames import found_table

        return found_table(self, rows)

    def to_pandas(self, rows: Rows = "spans") -> pandas.DataFrame:
        """Make a pandas frame. Raises: ImportError if pandas is not installed."""
        from tracestore.client.frames import to_pandas

        return to_pandas(self.to_arrow(rows))

    def to_polars(self, rows: Rows = "spans") -> polars.DataFrame:
        """Make a Polars frame. Raises: ImportError if Polars is not installed."""
        from tracestore.client.frames import to_polars

        return to_polars(self.to_arrow(rows))

    def _repr_html_(self) -> str:
        from tracestore.client.html import found_html

        return found_html(self)

    def __repr__(self) -> str:
        shown = sum(1 for _ in self.spans)
        return f"<tracestore search: traces={len(self.traces)} spans={shown}>"


def read_found(content: bytes, *, source: str) -> Found:
    """Read the body of ``/api/search``. Raises: UnavailableError if it is none."""
    try:
        body = json.loads(content)
        traces = tuple(_trace(trace) for trace in body.get("traces") or ())
        found = Found(body=body, traces=traces)
        _ = found.total
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnavailableError(
            f"{source} answered with something that is no search result ({error!r})"
        ) from error
    return found


def _trace(trace: Mapping[str, Any]) -> FoundTrace:
    trace_id = parse_trace_id(trace["traceID"]).hex()
    sets = trace.get("spanSets") or [one for one in (trace.get("spanSet"),) if one]
    services = {
        name: (int(stats.get("spanCount", 0)), int(stats.get("errorCount", 0)))
        for name, stats in (trace.get("serviceStats") or {}).items()
    }
    return FoundTrace(
        trace_id=trace_id,
        root_service=trace.get("rootServiceName", ""),
        root_name=trace.get("rootTraceName", ""),
        start_ns=int(trace.get("startTimeUnixNano", 0)),
        duration_ns=int(trace.get("durationMs", 0)) * MILLISECOND_NS,
        matched=sum(int(one.get("matched", 0)) for one in sets),
        spans=tuple(span for one in sets for span in _spans(trace_id, one)),
        services=services,
    )


def _spans(trace_id: str, span_set: Mapping[str, Any]) -> Iterator[FoundSpan]:
    of_set = read_attributes(span_set.get("attributes") or ())
    for span in span_set.get("spans") or ():
        attributes = read_attributes(span.get("attributes") or ())
        service = _take_service(attributes)
        yield FoundSpan(
            trace_id=trace_id,
            span_id=span["spanID"].zfill(16),
            name=span.get("name", ""),
            start_ns=int(span.get("startTimeUnixNano", 0)),
            duration_ns=int(span.get("durationNanos", 0)),
            service=service,
            attributes=(*attributes, *of_set),
        )


def _take_service(attributes: list[tuple[str, Value]]) -> str | None:
    """Take the service out: the last of that name, for the resource comes after the span."""
    for index in reversed(range(len(attributes))):
        key, value = attributes[index]
        if key == SERVICE_KEY and isinstance(value, str):
            del attributes[index]
            return value
    return None

"""Masks -> what a search shows of a trace: the first matched spans, their attributes, its services.

Python per span only for the spans that are shown. Source: TraceQL reference, 5.9 and 5.10.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from traceql.values import Kind, Status, ValueType, duration_text
from tracestore.model.results import (
    AttributeValue,
    ServiceStats,
    SpanSet,
    SpanSummary,
    TraceSummary,
)
from tracestore.model.tables import Table
from tracestore.query.columns import numbers, validity
from tracestore.query.expressions import Expression
from tracestore.query.groups import Spansets
from tracestore.query.masks import BoolArray, Mask
from tracestore.query.mentions import BoundMentions
from tracestore.query.parts import Domain, Ids, Lists, Numbers, Operand, Part, Texts
from tracestore.query.scan import ChunkScan
from tracestore.query.trace_scan import TraceScan

Rows = npt.NDArray[np.int64]
_STATUS_ERROR = Status.ERROR.code
_STATUS_TEXTS = {status.code: status.value for status in Status}
_KIND_TEXTS = {kind.code: kind.value for kind in Kind}
NIL_TEXT = "nil"
_SHOWN_COLUMNS = {
    Table.TRACES: ["root_service_name", "root_name"],
    Table.SPANS: ["start_time", "duration", "span_id", "name", "status_code", "resource"],
}
"""What is read for every trace that is shown, whatever the query names."""


class Renderer:
    """Makes summaries of traces of a chunk.

    What every trace shows is taken out of the columns of the chunk; what the query names is
    evaluated over the rows of each trace.
    """

    def __init__(self, chunk: ChunkScan, shown: BoundMentions, *, spans_per_span_set: int) -> None:
        for table, names in _SHOWN_COLUMNS.items():
            chunk.read_ahead(table, names)
        self._chunk = chunk
        self._shown = shown
        self._spans_per_span_set = spans_per_span_set
        self._root_service = chunk.column(Domain.TRACE, "root_service_name")
        self._root_name = chunk.column(Domain.TRACE, "root_name")
        self._start = numbers(chunk.column(Domain.SPAN, "start_time")).view(np.uint64)
        self._duration = numbers(chunk.column(Domain.SPAN, "duration"))
        self._span_id = chunk.column(Domain.SPAN, "span_id")
        self._name = chunk.column(Domain.SPAN, "name")
        self._status = chunk.column(Domain.SPAN, "status_code")
        self._status_code = numbers(self._status)
        self._resource = numbers(chunk.column(Domain.SPAN, "resource"))

    def summary(self, scan: TraceScan, spansets: Spansets) -> TraceSummary:
        """Summarise a trace of the chunk.

        Args:
            spansets: of the trace.
        """
        trace, first = scan.chunk.first_trace, scan.chunk.first_span - self._chunk.chunk.first_span
        traces, row = scan.of_source.traces, trace - self._chunk.chunk.first_trace
        start_ns, end_ns = int(traces.start_ns[trace]), int(traces.end_ns[trace])
        one = _OneTrace(self, self._shown, scan, first)
        return TraceSummary(
            trace_id=traces.trace_id(trace),
            root_service_name=self._root_service[row].as_py() or "",
            root_name=self._root_name[row].as_py() or "",
            start_ns=start_ns,
            duration_ns=end_ns - start_ns,
            span_sets=tuple(one.span_sets(spansets)),
            service_stats=self._service_stats(slice(first, first + scan.chunk.spans)),
        )

    def first_spans(self, rows: Rows) -> list[int]:
        """Choose the spans of a spanset that are shown: the earliest."""
        order = np.argsort(self._start[rows], kind="stable")[: self._spans_per_span_set]
        shown: list[int] = rows[order].tolist()
        return shown

    def span(self, row: int, attributes: list[tuple[str, AttributeValue]]) -> SpanSummary:
        """Show a span of the chunk."""
        return SpanSummary(
            span_id=self._span_id[row].as_py(),
            name=self._name[row].as_py(),
            start_ns=int(self._start[row]),
            duration_ns=int(self._duration[row]),
            attributes=tuple(attributes),
        )

    def _service_stats(self, spans: slice) -> dict[str, ServiceStats]:
        failed: BoolArray = self._status_code[spans] == _STATUS_ERROR
        if self._status.null_count and failed.any():  # what lies under a null may be anything
            failed &= validity(self._status.slice(spans.start, len(failed)))
        resource = self._resource[spans]
        total = np.bincount(resource)
        errors = np.bincount(resource[failed], minlength=len(total))
        used = np.flatnonzero(total)
        counts = zip(used.tolist(), total[used].tolist(), errors[used].tolist(), strict=True)
        named: dict[str, tuple[int, int]] = {}
        for row, count, errors_of in counts:
            name = self._service_name(row)
            before = named.get(name, (0, 0))
            named[name] = (before[0] + count, before[1] + errors_of)
        return {
            name: ServiceStats(spans=count, errors=errors_of)
            for name, (count, errors_of) in sorted(named.items())
        }

    def _service_name(self, resource: int) -> str:
        known = self._shown.service_names
        if resource not in known:
            service = self._shown.service
            value = value_at(self._chunk.operand(service, service.domain), resource)
            known[resource] = value if isinstance(value, str) else ""
        return known[resource]


class _OneTrace:
    """The spansets of one trace; its rows begin at ``first`` in the chunk of the renderer."""

    def __init__(
        self, renderer: Renderer, shown: BoundMentions, scan: TraceScan, first: int
    ) -> None:
        self._renderer = renderer
        self._shown = shown
        self._scan = scan
        self._first = first
        self._operands: dict[Expression, Operand] = {}

    def span_sets(self, spansets: Spansets) -> Iterator[SpanSet]:
        """Show the spansets, in order."""
        matched = np.arange(self._scan.chunk.spans)
        if not isinstance(spansets.marked, bool):
            matched = np.flatnonzero(spansets.marked)
        if not spansets.groups.is_split:
            yield self._span_set(matched, 0, spansets)
            return
        group = spansets.groups.of_span[matched]
        order = np.argsort(group, kind="stable")
        matched, group = matched[order], group[order]
        begins = np.flatnonzero(np.diff(group, prepend=-1))
        for begin, end in zip(begins, [*begins[1:], len(group)], strict=True):
            self._scan.of_source.control.check()
            yield self._span_set(matched[begin:end], int(group[begin]), spansets)

    def _span_set(self, matched: Rows, group: int, spansets: Spansets) -> SpanSet:
        said = ((name, value_at(value, group)) for name, value in spansets.groups.attributes)
        return SpanSet(
            matched=len(matched),
            spans=tuple(
                self._renderer.span(row, self._attributes(row - self._first))
                for row in self._renderer.first_spans(matched + self._first)
            ),
            attributes=tuple((name, NIL_TEXT if v is None else v) for name, v in said),
        )

    def _attributes(self, row: int) -> list[tuple[str, AttributeValue]]:
        found: list[tuple[int, str, AttributeValue]] = []
        for field in self._shown.fields:
            value = value_at(self._operand(field.value), self._row_of(field.value, row))
            if value is not None:
                found.append((field.level, field.name, value))
        for asked in self._shown.nil_fields:
            is_there = asked.owned is None or self._owns(asked.owned, row)
            if is_there and not any(self._is_present(side, row) for side in asked.sides):
                found.append((asked.level, asked.name, NIL_TEXT))
        found.sort(key=lambda each: each[:2])
        return [(name, value) for _, name, value in found]

    def _is_present(self, bound: Expression, row: int) -> bool:
        return _at(self._operand(bound).present, self._row_of(bound, row))

    def _owns(self, domain: Domain, row: int) -> bool:
        """Tell whether a span has an event (or link)."""
        owned = self._scan.owned(domain)
        return bool(owned.first[row] < len(owned) - 1)

    def _operand(self, bound: Expression) -> Operand:
        if bound not in self._operands:
            self._operands[bound] = self._scan.operand(bound, bound.domain)
        return self._operands[bound]

    def _row_of(self, bound: Expression, row: int) -> int:
        return row if bound.domain == Domain.SPAN else int(self._scan.index(bound.domain)[row])


def _at(mask: Mask, row: int) -> bool:
    return mask if isinstance(mask, bool) else bool(mask[row])


def value_at(operand: Operand, row: int) -> AttributeValue | None:
    """Get the value in one row as an answer shows it; None if there is none."""
    for part in operand.parts:
        if _at(part.valid, row):
            return _value(part, row)
    return None


def _value(part: Part, row: int) -> AttributeValue:
    match part:
        case Texts():
            text: str = part.dictionary[int(part.codes[row])].as_py()
            return text
        case Ids():
            digits = part.raw[row].tobytes().hex()
            return digits.lstrip("0") or "0" if part.stripped else digits
        case Lists():
            elements = range(int(part.offsets[row]), int(part.offsets[row + 1]))
            values = [_value(part.elements, element) for element in elements]
            return tuple(value for value in values if not isinstance(value, tuple))
        case Numbers():
            return number_value(part.type, part.values[row])


def number_value(kind: ValueType, value: np.generic | float) -> int | float | bool | str:
    """Show a number: status, kind and durations as their text."""
    plain: int | float | bool = value.item() if isinstance(value, np.generic) else value
    match kind:
        case ValueType.STATUS:
            return _STATUS_TEXTS.get(int(plain), str(plain))
        case ValueType.KIND:
            return _KIND_TEXTS.get(int(plain), str(plain))
        case ValueType.DURATION:
            return duration_text(int(plain))
    return plain

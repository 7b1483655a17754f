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
from tracestore.query.columns import numbers
from tracestore.query.expressions import Expression
from tracestore.query.groups import Spansets
from tracestore.query.masks import BoolArray, Mask
from tracestore.query.mentions import BoundMentions
from tracestore.query.parts import Domain, Ids, Lists, Numbers, Operand, Part, Texts
from tracestore.query.scan import ChunkScan

Rows = npt.NDArray[np.int64]
_STATUS_ERROR = Status.ERROR.code
_STATUS_TEXTS = {status.code: status.value for status in Status}
_KIND_TEXTS = {kind.code: kind.value for kind in Kind}
NIL_TEXT = "nil"


class Renderer:
    """Makes summaries of traces of one chunk."""

    def __init__(self, scan: ChunkScan, shown: BoundMentions, *, spans_per_span_set: int) -> None:
        self._scan = scan
        self._shown = shown
        self._spans_per_span_set = spans_per_span_set
        self._operands: dict[Expression, Operand] = {}
        self._start = numbers(scan.column(Domain.SPAN, "start_time")).view(np.uint64)

    def summary(self, trace: int, spansets: Spansets) -> TraceSummary:
        """Summarise a trace.

        Args:
            trace: row of ``traces`` in the source.
            spansets: of the chunk.
        """
        traces = self._scan.of_source.traces
        row = trace - self._scan.chunk.first_trace
        first = int(traces.first_span[trace]) - self._scan.chunk.first_span
        spans = slice(first, first + int(traces.span_count[trace]))
        start_ns, end_ns = int(traces.start_ns[trace]), int(traces.end_ns[trace])
        return TraceSummary(
            trace_id=traces.trace_id(trace),
            root_service_name=self._trace_text("root_service_name", row),
            root_name=self._trace_text("root_name", row),
            start_ns=start_ns,
            duration_ns=end_ns - start_ns,
            span_sets=tuple(self._span_sets(spans, row, spansets)),
            service_stats=self._service_stats(spans),
        )

    def _trace_text(self, column: str, row: int) -> str:
        return self._scan.column(Domain.TRACE, column)[row].as_py() or ""

    def _span_sets(self, spans: slice, trace: int, spansets: Spansets) -> Iterator[SpanSet]:
        matched = np.arange(spans.start, spans.stop)
        if not isinstance(spansets.marked, bool):
            matched = matched[spansets.marked[spans]]
        if not spansets.groups.is_split:
            yield self._span_set(matched, trace, spansets)
            return
        group = spansets.groups.of_span[matched]
        order = np.argsort(group, kind="stable")
        matched, group = matched[order], group[order]
        begins = np.flatnonzero(np.diff(group, prepend=-1))
        for begin, end in zip(begins, [*begins[1:], len(group)], strict=True):
            self._scan.of_source.control.check()
            yield self._span_set(matched[begin:end], int(group[begin]), spansets)

    def _span_set(self, matched: Rows, group: int, spansets: Spansets) -> SpanSet:
        order = np.argsort(self._start[matched], kind="stable")[: self._spans_per_span_set]
        said = ((name, value_at(value, group)) for name, value in spansets.groups.attributes)
        return SpanSet(
            matched=len(matched),
            spans=tuple(self._span(row) for row in matched[order].tolist()),
            attributes=tuple((name, NIL_TEXT if v is None else v) for name, v in said),
        )

    def _span(self, row: int) -> SpanSummary:
        scan = self._scan
        return SpanSummary(
            span_id=scan.column(Domain.SPAN, "span_id")[row].as_py(),
            name=scan.column(Domain.SPAN, "name")[row].as_py(),
            start_ns=int(self._start[row]),
            duration_ns=int(numbers(scan.column(Domain.SPAN, "duration"))[row]),
            attributes=tuple(self._attributes(row)),
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

    def _service_stats(self, spans: slice) -> dict[str, ServiceStats]:
        status = self._scan.column(Domain.SPAN, "status_code")[spans]
        failed: BoolArray = status.fill_null(0).to_numpy() == _STATUS_ERROR
        resource = self._scan.index(Domain.RESOURCE)[spans]
        rows, position = np.unique(resource, return_inverse=True)
        total = np.bincount(position)
        errors = np.bincount(position, weights=failed).astype(np.int64)
        named: dict[str, tuple[int, int]] = {}
        for row, spans_of, errors_of in zip(rows.tolist(), total, errors, strict=True):
            value = value_at(self._operand(self._shown.service), row)
            name = value if isinstance(value, str) else ""
            before = named.get(name, (0, 0))
            named[name] = (before[0] + int(spans_of), before[1] + int(errors_of))
        return {
            name: ServiceStats(spans=count, errors=errors_of)
            for name, (count, errors_of) in sorted(named.items())
        }


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
            return _number(part.type, part.values[row])


def _number(kind: ValueType, value: np.generic) -> int | float | bool | str:
    plain: int | float | bool = value.item()
    match kind:
        case ValueType.STATUS:
            return _STATUS_TEXTS.get(int(plain), str(plain))
        case ValueType.KIND:
            return _KIND_TEXTS.get(int(plain), str(plain))
        case ValueType.DURATION:
            return duration_text(int(plain))
    return plain

"""Masks -> what a search shows of a trace: the first matched spans, their attributes, its services.

Python per span only for the spans that are shown. Source: TraceQL reference, 5.9 and 5.10.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from traceql.values import Kind, Status, ValueType, duration_text
from tracestore import kernel
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
from tracestore.query.masks import BoolArray, Mask, mask_and, to_array
from tracestore.query.mentions import BoundMentions
from tracestore.query.parts import Domain, Ids, IntArray, Lists, Numbers, Operand, Part, Texts
from tracestore.query.shown_traces import ShownTraces

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _SetOfSpans:
    """One spanset: its trace and number, how many spans it has, and which rows are shown."""

    trace: int
    group: int
    matched: int
    shown: slice


class Renderer:
    """Makes the summaries of some traces of a source."""

    def __init__(self, scan: ShownTraces, shown: BoundMentions, *, spans_per_span_set: int) -> None:
        for table, names in _SHOWN_COLUMNS.items():
            scan.read_ahead(table, names)
        self._scan = scan
        self._shown = shown
        self._spans_per_span_set = spans_per_span_set
        self._operands: dict[Expression, Operand] = {}

    def summaries(self, spansets: Spansets) -> list[TraceSummary]:
        """Summarise the traces, in their order.

        Args:
            spansets: of the traces.
        """
        rows, sets = self._choose(spansets)
        spans = self._spans(rows)
        said = self._said(spansets, sets)
        span_sets: list[list[SpanSet]] = [[] for _ in self._scan.traces]
        for one, attributes in zip(sets, said, strict=True):
            self._scan.of_source.control.check()
            shown = tuple(spans[one.shown])
            span_sets[one.trace].append(
                SpanSet(matched=one.matched, spans=shown, attributes=attributes)
            )
        return list(self._traces(span_sets))

    def _traces(self, span_sets: list[list[SpanSet]]) -> Iterator[TraceSummary]:
        scan, traces = self._scan, self._scan.of_source.traces
        root_service = scan.column(Domain.TRACE, "root_service_name").to_pylist()
        root_name = scan.column(Domain.TRACE, "root_name").to_pylist()
        starts, ends = traces.start_ns[scan.traces].tolist(), traces.end_ns[scan.traces].tolist()
        stats = self._service_stats()
        for place, row in enumerate(scan.traces.tolist()):
            yield TraceSummary(
                trace_id=traces.trace_id(row),
                root_service_name=root_service[place] or "",
                root_name=root_name[place] or "",
                start_ns=starts[place],
                duration_ns=ends[place] - starts[place],
                span_sets=tuple(span_sets[place]),
                service_stats=stats[place],
            )

    # --- spans -------------------------------------------------------------------------------

    def _choose(self, spansets: Spansets) -> tuple[Rows, list[_SetOfSpans]]:
        """Choose the spans that are shown: of each spanset the earliest, ties by row."""
        matched = spansets.rows
        start = self._start_ns().take(matched)
        trace = self._scan.index(Domain.TRACE).take(matched)
        group = spansets.groups.of_span.take(matched) if spansets.groups.is_split else trace
        order = np.lexsort((start, group))
        matched, group, trace = matched[order], group[order], trace[order]
        begins = np.flatnonzero(np.diff(group, prepend=-1))
        counts = np.diff(begins, append=len(group))
        place = np.arange(len(group)) - np.repeat(begins, counts)
        shown = matched[place < self._spans_per_span_set]
        ends = np.cumsum(np.minimum(counts, self._spans_per_span_set)).tolist()
        places = map(slice, [0, *ends], ends)
        columns = (trace[begins].tolist(), group[begins].tolist(), counts.tolist(), places)
        sets = [
            _SetOfSpans(trace=of_trace, group=number, matched=count, shown=place)
            for of_trace, number, count, place in zip(*columns, strict=True)
        ]
        return shown, sets

    def _start_ns(self) -> npt.NDArray[np.uint64]:
        return numbers(self._scan.column(Domain.SPAN, "start_time")).view(np.uint64)

    def _spans(self, rows: Rows) -> list[SpanSummary]:
        """Show spans."""
        scan, places = self._scan, pa.array(rows)
        span_id = scan.column(Domain.SPAN, "span_id").take(places).to_pylist()
        name = scan.column(Domain.SPAN, "name").take(places).to_pylist()
        start_ns = self._start_ns().take(rows).tolist()
        duration_ns = numbers(scan.column(Domain.SPAN, "duration")).take(rows).tolist()
        attributes = self._attributes(rows)
        columns = (span_id, name, start_ns, duration_ns, attributes)
        return [
            SpanSummary(span_id=i, name=n, start_ns=s, duration_ns=d, attributes=a)
            for i, n, s, d, a in zip(*columns, strict=True)
        ]

    def _attributes(self, rows: Rows) -> list[tuple[tuple[str, AttributeValue], ...]]:
        """Get what is shown of each span, in order; what has no value is left out."""
        columns: list[tuple[int, str, Sequence[AttributeValue | None]]] = []
        for field in self._shown.fields:
            operand, index = self._of_rows(field.value, rows)
            columns.append((field.level, field.name, values_at(operand, index)))
        for asked in self._shown.nil_fields:
            is_nil = np.ones(len(rows), np.bool_)
            if asked.owned is not None:
                owned = self._scan.owned(asked.owned)
                is_nil &= owned.first.take(rows) < len(owned) - 1
            for side in asked.sides:
                operand, index = self._of_rows(side, rows)
                is_nil &= ~_mask_at(operand.present, index)
            texts = [NIL_TEXT if nil else None for nil in is_nil.tolist()]
            columns.append((asked.level, asked.name, texts))
        columns.sort(key=lambda column: column[:2])
        return [
            tuple((name, values[at]) for _, name, values in columns if values[at] is not None)  # type: ignore[misc]  # None is left out
            for at in range(len(rows))
        ]

    def _of_rows(self, bound: Expression, rows: Rows) -> tuple[Operand, IntArray]:
        """Evaluate an expression in its domain, and tell where in it each of some spans is."""
        if bound not in self._operands:
            self._operands[bound] = self._scan.operand(bound, bound.domain)
        domain = bound.domain
        return self._operands[bound], (
            rows if domain == Domain.SPAN else self._scan.index(domain).take(rows)
        )

    def _said(
        self, spansets: Spansets, sets: Sequence[_SetOfSpans]
    ) -> list[tuple[tuple[str, AttributeValue], ...]]:
        """Get what was said of each spanset."""
        group = np.array([one.group for one in sets], np.int64)
        said = [
            [(name, NIL_TEXT if value is None else value) for value in values_at(make(), group)]
            for name, make in spansets.groups.attributes
        ]
        return list(zip(*said, strict=True)) if said else [()] * len(sets)

    # --- services ----------------------------------------------------------------------------

    def _service_stats(self) -> list[dict[str, ServiceStats]]:
        """Count the spans and errors of the services of each trace, in order of their names."""
        scan, status = self._scan, self._scan.column(Domain.SPAN, "status_code")
        failed: Mask = numbers(status) == _STATUS_ERROR
        failed = mask_and(failed, validity(status))  # what lies under a null may be anything
        trace_of_span = scan.index(Domain.TRACE)
        number, first = kernel.split_runs(trace_of_span, None, self._resource)
        total = kernel.count_groups(None, number, len(first)).tolist()
        errors = kernel.count_groups(to_array(failed, scan.chunk.spans), number, len(first))
        names = self._service_names(self._resource.take(first))
        trace = trace_of_span.take(first).tolist()
        counts: list[dict[str, tuple[int, int]]] = [{} for _ in scan.traces]
        for of_trace, name, spans, failures in zip(
            trace, names, total, errors.tolist(), strict=True
        ):
            before = counts[of_trace].get(name, (0, 0))
            counts[of_trace][name] = (before[0] + spans, before[1] + failures)
        return [
            {name: ServiceStats(spans=one[0], errors=one[1]) for name, one in sorted(named.items())}
            for named in counts
        ]

    @property
    def _resource(self) -> npt.NDArray[np.int32]:
        found: npt.NDArray[np.int32] = numbers(self._scan.column(Domain.SPAN, "resource"))
        return found

    def _service_names(self, resources: npt.NDArray[np.int32]) -> list[str]:
        known, service = self._shown.service_names, self._shown.service
        rows = resources.tolist()
        new = [row for row in set(rows) if row not in known]
        if new:
            values = values_at(self._scan.operand(service, service.domain), np.array(new))
            for row, value in zip(new, values, strict=True):
                known[row] = value if isinstance(value, str) else ""
        return [known[row] for row in rows]


def _mask_at(mask: Mask, rows: IntArray) -> BoolArray:
    return np.full(len(rows), mask) if isinstance(mask, bool) else mask.take(rows)


def values_at(operand: Operand, rows: IntArray) -> list[AttributeValue | None]:
    """Get the values in some rows as an answer shows them; None where there is none."""
    found: list[AttributeValue | None] = [None] * len(rows)
    missing = np.arange(len(rows))
    for part in operand.parts:
        has = _mask_at(part.valid, rows[missing])
        places, missing = missing[has], missing[~has]
        for place, value in zip(places.tolist(), _values(part, rows[places]), strict=True):
            found[place] = value
    return found


def _values(part: Part, rows: IntArray) -> list[AttributeValue]:
    """Get values that are there."""
    if isinstance(part, Texts):
        texts: list[AttributeValue] = part.dictionary.take(pa.array(part.codes[rows])).to_pylist()
        return texts
    return [_value(part, row) for row in rows.tolist()]


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

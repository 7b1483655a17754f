"""Masks -> what a search shows of a trace: the first matched spans, their attributes, its services.

Python per span only for the spans that are shown. Source: TraceQL reference, 5.9 and 5.10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traceql import nodes
from traceql.attributes import Attribute, Field, Intrinsic, Level, Scope
from traceql.values import Kind, Status, ValueType, duration_text
from tracestore.model.results import (
    AttributeValue,
    ServiceStats,
    SpanSet,
    SpanSummary,
    TraceSummary,
)
from tracestore.query.bind import Binder, references
from tracestore.query.columns import numbers
from tracestore.query.expressions import Expression
from tracestore.query.masks import BoolArray, Mask
from tracestore.query.parts import Domain, Ids, Lists, Numbers, Operand, Part, Texts
from tracestore.query.scan import ChunkScan

_SHOWN_ELSEWHERE = frozenset(
    {
        Intrinsic.NAME,
        Intrinsic.DURATION,
        Intrinsic.TRACE_DURATION,
        Intrinsic.ROOT_NAME,
        Intrinsic.ROOT_SERVICE_NAME,
        Intrinsic.TRACE_ID,
        Intrinsic.SPAN_ID,
    }
)
_LEVEL_ORDER = [Level.SPAN, Level.RESOURCE, Level.INSTRUMENTATION, Level.TRACE]
_STATUS_ERROR = Status.ERROR.code
_STATUS_TEXTS = {status.code: status.value for status in Status}
_KIND_TEXTS = {kind.code: kind.value for kind in Kind}
NIL_TEXT = "nil"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A field that a query names, and whether it asks for ``= nil`` of it."""

    field: Field
    asks_nil: bool


def mentions(expressions: Sequence[nodes.FieldExpression]) -> tuple[Mention, ...]:
    """Collect the fields whose values a search shows with each span, in the order shown."""
    found: dict[Field, bool] = {}
    for expression in expressions:
        for reference in references(expression):
            found.setdefault(reference.field, False)
        for field in _asked_nil(expression):
            found[field] = True
    shown = [
        Mention(field=field, asks_nil=asks_nil)
        for field, asks_nil in found.items()
        if field not in _SHOWN_ELSEWHERE
    ]
    return tuple(shown)


def _asked_nil(node: nodes.FieldExpression) -> list[Field]:
    match node:
        case nodes.Exists(nodes.Reference(field), negated=True):
            return [field]
        case nodes.Logical():
            return [field for operand in node.operands for field in _asked_nil(operand)]
        case nodes.Binary():
            return _asked_nil(node.left) + _asked_nil(node.right)
        case nodes.Unary() | nodes.Exists():
            return _asked_nil(node.operand)
    return []


class BoundMentions:
    """What is shown of the spans of one source."""

    def __init__(self, binder: Binder, shown: Sequence[Mention]) -> None:
        self.fields = _bind_mentions(binder, shown)
        self.nil_fields = [
            (name_of(mention.field), _bind_mentions(binder, [mention]))
            for mention in shown
            if mention.asks_nil
        ]
        self.service = binder.attribute(Scope.RESOURCE, "service.name")


class Renderer:
    """Makes summaries of traces of one chunk."""

    def __init__(self, scan: ChunkScan, shown: BoundMentions, *, spans_per_span_set: int) -> None:
        self._scan = scan
        self._shown = shown
        self._spans_per_span_set = spans_per_span_set
        self._operands: dict[Expression, Operand] = {}
        self._start = numbers(scan.column(Domain.SPAN, "start_time")).view(np.uint64)

    def summary(self, trace: int, mask: Mask) -> TraceSummary:
        """Summarise a trace.

        Args:
            trace: row of ``traces`` in the source.
            mask: the matched spans of the chunk.
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
            span_sets=(self._span_set(spans, mask),),
            service_stats=self._service_stats(spans),
        )

    def _trace_text(self, column: str, row: int) -> str:
        return self._scan.column(Domain.TRACE, column)[row].as_py() or ""

    def _span_set(self, spans: slice, mask: Mask) -> SpanSet:
        matched = np.arange(spans.start, spans.stop)
        if not isinstance(mask, bool):
            matched = matched[mask[spans]]
        order = np.argsort(self._start[matched], kind="stable")[: self._spans_per_span_set]
        shown = tuple(self._span(row) for row in matched[order].tolist())
        return SpanSet(matched=len(matched), spans=shown)

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
        for level, name, bound in self._shown.fields:
            value = value_at(self._operand(bound), self._row_of(bound, row))
            if value is not None:
                found.append((level, name, value))
        for name, sides in self._shown.nil_fields:
            if not any(self._is_present(bound, row) for _, _, bound in sides):
                found.append((sides[0][0], name, NIL_TEXT))
        found.sort(key=lambda each: each[:2])
        return [(name, value) for _, name, value in found]

    def _is_present(self, bound: Expression, row: int) -> bool:
        return _at(self._operand(bound).present, self._row_of(bound, row))

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


def _bind_mentions(binder: Binder, shown: Sequence[Mention]) -> list[tuple[int, str, Expression]]:
    """Bind what is shown, in order: span, resource, scope, each by name; ``.x`` is two fields."""
    found: list[tuple[int, str, Expression]] = []
    seen = set()
    for mention in shown:
        for level, field in _scoped(mention.field):
            if field not in seen:
                seen.add(field)
                found.append((level, name_of(field), binder.field(field)))
    return sorted(found, key=lambda each: each[:2])


def _scoped(field: Field) -> list[tuple[int, Field]]:
    if isinstance(field, Attribute) and field.scope is Scope.NONE:
        sides = (Attribute(scope, field.name) for scope in (Scope.SPAN, Scope.RESOURCE))
        return [(number, side) for number, side in enumerate(sides)]
    (level,) = field.levels
    return [(_LEVEL_ORDER.index(level), field)]


def name_of(field: Field) -> str:
    """Name a field in an answer: an attribute without its scope, an intrinsic canonically."""
    return field.name if isinstance(field, Attribute) else field.text


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


def matched_traces(
    mask: Mask, first_span: npt.NDArray[np.int64], span_count: npt.NDArray[np.int32]
) -> npt.NDArray[np.int64]:
    """Find the traces with a marked span.

    Args:
        mask: (N,) spans of a chunk.
        first_span: (T,) where each trace begins among them, ascending.
        span_count: (T,) spans of each.

    Returns: rows among the T, ascending.
    """
    if isinstance(mask, bool):
        return np.flatnonzero(span_count > 0) if mask else np.empty(0, np.int64)
    spans = np.flatnonzero(mask)
    if len(spans) * 16 < len(mask):
        rows = np.searchsorted(first_span, spans, side="right") - 1
        return rows[np.diff(rows, prepend=-1) > 0]
    return np.flatnonzero(np.logical_or.reduceat(mask, first_span))

"""``compare()``: how often each value of each attribute occurs, in a selection and in the rest.

Attributes of a resource or scope are counted per resource and scope, which are few; those of spans
column by column. Counts are exact, of any number of values.

Source: TraceQL reference, 6.6; wire contract, 10.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from traceql import nodes
from traceql.attributes import SERVICE_NAME, Attribute, Intrinsic, Scope
from traceql.plan import plan_filter
from traceql.values import ValueType
from tracestore.model.results import AttributeValue
from tracestore.model.series import Exemplar, Floats, Labels
from tracestore.query.bind import Binder
from tracestore.query.cells import CellStore
from tracestore.query.counted import CountedSpans
from tracestore.query.exemplars import Candidate, ExemplarPicker, Offer
from tracestore.query.expressions import Expression
from tracestore.query.function_series import Frame, OfSource
from tracestore.query.masks import to_array
from tracestore.query.metrics_parts import Cells, ComparePart, FunctionPart, checked, other_query
from tracestore.query.metrics_plan import SubQuery
from tracestore.query.overflow_counts import count_overflow
from tracestore.query.parts import Domain, Lists, Operand
from tracestore.query.series_table import SeriesTable
from tracestore.query.spansets import number_value
from tracestore.query.value_counts import Top, ValueCounts, Weighted, unvalued, value_type

META_TYPE = "__meta_type"
NIL_TEXT = "nil"
GROUPS = ("baseline", "selection")
COUNTED_INTRINSICS = (
    Intrinsic.NAME,
    Intrinsic.STATUS,
    Intrinsic.STATUS_MESSAGE,
    Intrinsic.KIND,
    Intrinsic.CHILD_COUNT,
    Intrinsic.ROOT_NAME,
    Intrinsic.ROOT_SERVICE_NAME,
    Intrinsic.SCOPE_NAME,
    Intrinsic.SCOPE_VERSION,
)
Rows = npt.NDArray[np.int64]


class CompareSeries:
    """``Accumulator`` of ``compare``."""

    def __init__(self, query: SubQuery, frame: Frame) -> None:
        assert isinstance(query.function, nodes.Compare)
        self.node = query.function
        self.selection = plan_filter(self.node.selection).filter.expression
        self.frame = frame
        self.size = len(GROUPS) * frame.grid.count
        """Groups times intervals: a *slot* is one of these."""
        self.picker = ExemplarPicker(frame.exemplars, query.fields)
        self._counts: dict[str, dict[ValueType, ValueCounts]] = {}
        self._places: dict[str, int] = {}
        self._totals = CellStore((np.add,), frame.budget)

    def bind(self, binder: Binder) -> OfSource:
        return _Bound(self, binder)

    def note(self) -> str:
        cut = sorted(
            name
            for name, types in self._counts.items()
            if any(counts.is_cut for counts in types.values())
        )
        if not cut:
            return ""
        return (
            f"compare() met more than {self.frame.compared_values_max} values "
            f"(query.max_compared_values) of {', '.join(cut)}: counts of single values of these "
            "may be too low, totals are exact."
        )

    def part(self) -> ComparePart:
        values = [
            (name, one)
            for name, types in self._counts.items()
            for counts in types.values()
            if (one := counts.part()) is not None
        ]
        return ComparePart(
            values=tuple(values),
            names=tuple(self._places),
            totals=Cells.of(*self._totals.settle()),
            candidates=self.picker.part(),
        )

    def absorb(self, part: FunctionPart | ComparePart) -> None:
        if not isinstance(part, ComparePart):
            raise other_query()
        for name, values in part.values:
            self.counts(name, value_type(values.type)).absorb(values)
        names = [self._places.setdefault(name, len(self._places)) for name in part.names]
        keys, columns = part.totals.arrays(1, len(names) * self.size)
        place, slot = np.divmod(keys, self.size)
        self._totals.add(np.array(names, np.int64)[place] * self.size + slot, columns)
        checked(part.candidates, frozenset(range(len(GROUPS))), self.frame.grid.count)
        for one in part.candidates:
            self.picker.add(Candidate(one.series, one.part, one.exemplar, one.trace_id))

    def counts(self, name: str, kind: ValueType) -> ValueCounts:
        """Get the counts of one type of an attribute."""
        types = self._counts.setdefault(name, {})
        if kind not in types:
            frame = self.frame
            types[kind] = ValueCounts(kind, self.size, frame.budget, frame.compared_values_max)
        return types[kind]

    def add_total(self, name: str, slots: Rows, counts: Floats) -> None:
        """Count spans that have an attribute, whatever its value."""
        place = self._places.setdefault(name, len(self._places))
        self._totals.add(place * self.size + slots, [counts])

    def table(self) -> SeriesTable:
        points = self.frame.grid.count
        cells, (totals,) = self._totals.settle()
        place, slot = np.divmod(cells, self.size)
        group, point = np.divmod(slot, points)
        made = _Made(points)
        exemplar_series = [0, 0]
        for name, number in self._places.items():
            for which, title in enumerate(GROUPS):
                for top in self._top(name, which):
                    labels = ((META_TYPE, title), (name, _shown(top)))
                    made.add(labels, top.slots, top.counts)
                own = np.flatnonzero((place == number) & (group == which))
                if len(own) == 0:
                    continue
                if name == Intrinsic.NAME.text:
                    exemplar_series[which] = len(made.labels)
                labels = ((META_TYPE, f"{title}_total"), (name, NIL_TEXT))
                made.add(labels, point[own], totals[own])
        picked = self.picker.picked()
        return made.table([(exemplar_series[one.series], one.exemplar) for one in picked])

    def _top(self, name: str, group: int) -> Iterator[Top]:
        """Find the most frequent values of an attribute in a group, over all of its types."""
        points = self.frame.grid.count
        many, begin = self.node.top_n, group * points
        found = [
            top
            for counts in self._counts.get(name, {}).values()
            for top in counts.top(many, begin, begin + points)
        ]
        yield from sorted(found, key=lambda top: (-top.total, top.text, top.type))[:many]


class _Made:
    """Series as they are made."""

    def __init__(self, points: int) -> None:
        self._points = points
        self.labels: list[Labels] = []
        self._cells: list[Rows] = [np.empty(0, np.int64)]
        self._values: list[Floats] = [np.empty(0)]

    def add(self, labels: Labels, points: Rows, values: Floats) -> None:
        """Add a series with the values of some points, ascending."""
        self._cells.append(len(self.labels) * self._points + points)
        self._values.append(values)
        self.labels.append(labels)

    def table(self, exemplars: Sequence[tuple[int, Exemplar]]) -> SeriesTable:
        """Give them out; where nothing was counted they are 0."""
        return SeriesTable(
            points=self._points,
            labels=tuple(self.labels),
            fill=np.zeros(len(self.labels)),
            cells=np.concatenate(self._cells),
            values=np.concatenate(self._values),
            exemplars=tuple(exemplars),
        )


def _shown(top: Top) -> AttributeValue:
    if top.type in (ValueType.STATUS, ValueType.KIND):
        return number_value(top.type, int(top.value))
    if top.type is ValueType.BOOLEAN:
        return bool(top.value)
    value: AttributeValue = top.value
    return value


@dataclass(frozen=True, slots=True)
class _Column:
    """An attribute in one source."""

    name: str
    bound: Expression


class _Bound:
    """``OfSource`` of ``CompareSeries``."""

    def __init__(self, owner: CompareSeries, binder: Binder) -> None:
        self._owner = owner
        self._binder = binder
        self._selection = binder.condition(owner.selection)
        self._columns: dict[Domain, list[_Column]] = {}
        for name, bound in _columns(binder):
            self._columns.setdefault(bound.domain, []).append(_Column(name, bound))
        shown = [(one.name, one.bound) for each in self._columns.values() for one in each]
        self._picker = owner.picker.bind(binder, shown)

    def add(self, spans: CountedSpans) -> None:
        scan, points = spans.scan, spans.grid.count
        group = self._groups(spans)
        slot = group * points + spans.points(None)
        size = self._owner.size
        weights = spans.weights() if self._owner.frame.extrapolate else None
        for domain, columns in self._columns.items():
            rows = Weighted(size=size, slot=slot, counts=weights)
            if domain != Domain.SPAN:
                index = scan.index(domain)
                index = index if spans.rows is None else index.take(spans.rows)
                cells, counts = rows.cells(index.astype(np.int64))
                rows = Weighted(size=size, slot=cells % size, index=cells // size, counts=counts)
            for column in columns:
                operand = scan.operand(column.bound, domain)
                if domain == Domain.SPAN:
                    operand = spans.spread(operand)
                total = len(spans) if domain == Domain.SPAN else scan.rows(domain)
                self._count(column.name, operand, rows, total)
        count_overflow(self._owner, self._binder, spans, slot, weights)
        both = np.arange(len(GROUPS))
        self._picker.offer(
            Offer(
                spans=spans,
                places=None,
                numbers=group.take,
                occurring=both,
                series=both,
                values=None,
            )
        )

    def _groups(self, spans: CountedSpans) -> Rows:
        """Tell which spans are of the selection: (M,) 0 or 1."""
        scan, node = spans.scan, self._owner.node
        selected = to_array(scan.mask(self._selection, Domain.SPAN), scan.chunk.spans)
        if spans.rows is not None:
            selected = selected[spans.rows]
        if node.end_ns:
            # offsets are counted from the nanosecond behind the origin
            origin_ns = spans.grid.origin_ns
            start_ns = spans.offsets(None).astype(np.int64) + (origin_ns + 1)
            selected = selected & (start_ns > node.start_ns) & (start_ns <= node.end_ns)
        return selected.astype(np.int64)

    def _count(self, name: str, operand: Operand, rows: Weighted, total: int) -> None:
        """Count the values of an attribute, and what has none under ``nil``."""
        owner = self._owner
        scalars = tuple(part for part in operand.parts if not isinstance(part, Lists))
        for part in scalars:
            owner.counts(name, part.type).add(part, rows)
        odd = unvalued(operand.present, scalars, total)
        if len(odd):
            count_nil(owner, name, _at_rows(rows, odd, total))
        present = operand.present
        if present is False:
            return
        if present is not True:
            there = present if rows.index is None else present.take(rows.index)
            rows = rows.where(np.flatnonzero(there))
        if len(rows.slot):
            cells, counts = rows.cells(np.zeros(len(rows.slot), np.int64))
            owner.add_total(name, cells, counts)


def count_nil(owner: CompareSeries, name: str, rows: Weighted) -> None:
    """Count spans whose attribute has no value that could be shown: as the text is."""
    if len(rows.slot):
        cells, counts = rows.cells(np.zeros(len(rows.slot), np.int64))
        owner.counts(name, ValueType.STRING).add_counted(pa.array([NIL_TEXT]), cells, counts)


def _at_rows(rows: Weighted, wanted: Rows, total: int) -> Weighted:
    """Take the rows that are of some rows of the operand."""
    if rows.index is None:
        return rows.where(wanted)
    is_wanted = np.zeros(total, np.bool_)
    is_wanted[wanted] = True
    return rows.where(np.flatnonzero(is_wanted[rows.index]))


def _columns(binder: Binder) -> Iterator[tuple[str, Expression]]:
    """Walk over what is counted of a source: intrinsics, and every attribute with a column."""
    for intrinsic in COUNTED_INTRINSICS:
        yield intrinsic.text, binder.field(intrinsic)
    for key in binder.columns.keys(Scope.SPAN):
        yield Attribute(Scope.SPAN, key).text, binder.columns.own_columns(Scope.SPAN, key)
    for scope in (Scope.RESOURCE, Scope.INSTRUMENTATION):
        for key in binder.columns.every_key(scope):
            field = Attribute(scope, key)
            if field != SERVICE_NAME:
                yield field.text, binder.attribute(scope, key)
    yield SERVICE_NAME.text, binder.field(SERVICE_NAME)

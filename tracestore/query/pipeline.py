"""Runs a pipeline over a chunk: filters, operators between spansets, ``by``, scalar filters.

All traces of the chunk go through each stage together, as a mask and a number a span (``groups``).
Masks of filters are made when they are first asked for; those that a trace must match come first,
the cheapest before all, and where they leave no trace nothing else is read.

Source: TraceQL reference, 5.1 to 5.7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traceql import nodes
from traceql.operators import STRUCTURE, Operator, Structure
from traceql.render import render
from tracestore.errors import InvalidRequestError
from tracestore.query.aggregates import aggregate, count_spans
from tracestore.query.arithmetic import calculate
from tracestore.query.bind import Binder, literal
from tracestore.query.columns import numbers
from tracestore.query.expressions import NEVER, Condition, Constant, Expression
from tracestore.query.groups import SpansetAttribute, Spansets, TraceGroups
from tracestore.query.masks import BoolArray, Mask, mask_and, mask_or, settle, take, to_array
from tracestore.query.numbering import Codes, number_by_first, number_values
from tracestore.query.parts import Domain, Operand
from tracestore.query.plan import SearchPlan, scalar_pipes
from tracestore.query.predicates import mask_operands
from tracestore.query.scan import ChunkScan, SourceScan
from tracestore.query.structure import Forest, regroup, relate

_RARE = 64
"""If one of so many spans matches a filter, all filters may well match in no trace of a chunk."""
_Side = nodes.Filter | nodes.SpansetOperation | nodes.Pipeline


class BoundPipeline:
    """A plan bound to one source."""

    def __init__(self, scan: SourceScan, plan: SearchPlan) -> None:
        self.binder = Binder(scan)
        self.plan = plan
        by_text: dict[str, Condition] = {}
        self._conditions: dict[int, Condition] = {}
        for text, planned in zip(plan.filter_texts, plan.fetch.filters, strict=True):
            if text not in by_text:
                by_text[text] = self.binder.condition(planned.filter.expression)
            self._conditions[id(planned.filter)] = by_text[text]
        pipes = zip(scalar_pipes(plan.fetch.pipeline), plan.pipe_texts, strict=True)
        self._pipe_texts = {id(pipe): text for pipe, text in pipes}
        self._expressions: dict[int, Expression] = {}
        self.required = [
            [self.condition(plan.fetch.filters[number].filter) for number in group]
            for group in plan.required
        ]
        self.required.sort(key=lambda group: sum(condition.cost for condition in group))

    @property
    def is_never(self) -> bool:
        """Whether no trace of the source can match."""
        return any(all(one is NEVER for one in group) for group in self.required)

    def condition(self, node: nodes.Filter) -> Condition:
        """Get what a filter of the plan is in this source."""
        return self._conditions[id(node)]

    def expression(self, node: nodes.GroupBy | nodes.Aggregate) -> Expression:
        """Get what a node of the plan groups by or aggregates."""
        if id(node) not in self._expressions:
            expression = node.expression if isinstance(node, nodes.GroupBy) else node.operand
            assert expression is not None
            self._expressions[id(node)] = self.binder.expression(expression)
        return self._expressions[id(node)]

    def text(self, node: nodes.Aggregate | nodes.ScalarPipe) -> str:
        """Get the text by which an answer names a number: that of the query, not of its plan."""
        return render(node) if isinstance(node, nodes.Aggregate) else self._pipe_texts[id(node)]

    def run(self, scan: ChunkScan, traces: Mask = True) -> Spansets:
        """Evaluate a chunk.

        Args:
            traces: (T,) the traces of the chunk that are looked at.

        Raises: InvalidRequestError if a structural operator meets several spansets.
        """
        groups = trace_groups(scan)
        marked = traces if isinstance(traces, bool) else take(traces, groups.of_span)
        run = _Run(scan, self)
        if marked is False or not run.has_required(groups):
            return Spansets(False, groups)
        return run.pipeline(self.plan.fetch.pipeline, Spansets(marked, groups))


def trace_groups(scan: ChunkScan) -> TraceGroups:
    """Make one spanset of each trace of a chunk."""
    return TraceGroups(scan.span_counts, scan.chunk.spans)


@dataclass(frozen=True, slots=True)
class _Value:
    """A value of every span, as it lies in its domain."""

    operand: Operand
    domain: Domain


class _Run:
    """One chunk on its way through the pipeline."""

    def __init__(self, scan: ChunkScan, bound: BoundPipeline) -> None:
        self._scan = scan
        self._bound = bound
        self._masks: dict[Condition, Mask] = {}
        self._forest = Forest(scan.span_counts, self._numbers)

    def has_required(self, groups: TraceGroups) -> bool:
        """Tell whether some trace matches what every trace must; reads no more than needed."""
        masks: list[BoolArray] = []
        for group in self._bound.required:
            mask = self._mask(group[0])
            for condition in group[1:]:
                mask = settle(mask_or(mask, self._mask(condition)))
            if mask is False:
                return False
            if mask is not True:
                masks.append(mask)
        spans = self._scan.chunk.spans
        if not any(np.count_nonzero(mask) * _RARE < spans for mask in masks):
            return True
        alive = np.ones(groups.count, np.bool_)
        for mask in masks:
            alive &= groups.marked(mask)
        return bool(alive.any())

    def _mask(self, condition: Condition) -> Mask:
        if condition not in self._masks:
            self._masks[condition] = settle(self._scan.mask(condition, Domain.SPAN))
        return self._masks[condition]

    def pipeline(self, node: nodes.Pipeline, given: Spansets) -> Spansets:
        """Run the stages; ``coalesce`` joins what comes of one spanset that was given."""
        spansets = given
        for stage in node.stages:
            if spansets.marked is False:
                break
            match stage:
                case nodes.Filter() | nodes.SpansetOperation():
                    spansets = Spansets(self._side(stage, spansets), spansets.groups)
                case nodes.GroupBy():
                    spansets = self._group(stage, spansets)
                case nodes.Coalesce():
                    spansets = Spansets(spansets.marked, given.groups.saying(()))
                case nodes.ScalarFilter():
                    spansets = self._pass(stage, spansets)
        return spansets

    # --- spansets ----------------------------------------------------------------------------

    def _side(self, node: _Side, given: Spansets) -> Mask:
        """Evaluate an operand on each spanset: the marked spans."""
        match node:
            case nodes.Filter():
                mask = self._mask(self._bound.condition(node))
                return mask if given.marked is True else settle(mask_and(given.marked, mask))
            case nodes.Pipeline():
                return self.pipeline(node, given).marked
        if node.operator is Operator.OR:
            return settle(mask_or(self._side(node.left, given), self._side(node.right, given)))
        if node.operator is Operator.AND:
            return self._both(node, given)
        return self._related(node, STRUCTURE[node.operator], given)

    def _both(self, node: nodes.SpansetOperation, given: Spansets) -> Mask:
        left = self._side(node.left, given)
        if left is False and not _is_pipeline(node.right):
            return False
        right = self._side(node.right, given)
        groups = given.groups
        kept = groups.marked(left) & groups.marked(right)
        return groups.keep(mask_or(left, right), kept)

    def _related(self, node: nodes.SpansetOperation, structure: Structure, given: Spansets) -> Mask:
        left, right = (self._one_spanset(side, given) for side in (node.left, node.right))
        groups = given.groups
        if right is False or (left is False and not structure.negated):
            return False
        if left is False:
            return right
        spans = self._scan.chunk.spans
        left, right = to_array(left, spans), to_array(right, spans)
        if not groups.is_split:
            return settle(relate(structure, self._forest, left, right))
        members = np.flatnonzero(left | right)
        forest, rows = regroup(self._forest, groups.of_span, groups.count, members)
        found = np.zeros(spans, np.bool_)
        found[rows] = relate(structure, forest, left[rows], right[rows])
        return settle(found)

    def _one_spanset(self, node: _Side, given: Spansets) -> Mask:
        """Evaluate a side of a structural operator, which must be one spanset at most."""
        if not isinstance(node, nodes.Pipeline):
            return self._side(node, given)
        made = self.pipeline(node, given)
        if made.groups.is_split and made.marked is not False:
            rows = made.rows
            _, first = number_by_first(made.groups.of_span[rows].astype(np.int64))
            if np.bincount(given.groups.of_span[rows[first]]).max() > 1:
                raise InvalidRequestError(
                    "a side of a structural operator has several spansets in one trace, "
                    f"join them by coalesce(): {render(node)}"
                )
        return made.marked

    def _numbers(self, column: str) -> npt.NDArray[np.int32]:
        found: npt.NDArray[np.int32] = numbers(self._scan.column(Domain.SPAN, column))
        return found

    # --- groups and scalars ------------------------------------------------------------------

    def _group(self, stage: nodes.GroupBy, given: Spansets) -> Spansets:
        rows = None if given.marked is True else given.rows
        expression = self._bound.expression(stage)
        value = self._value(expression)
        if value.domain == Domain.SPAN:
            operand = value.operand if rows is None else value.operand.spread(rows)
            codes = number_values(operand, self._scan.chunk.spans if rows is None else len(rows))
        else:
            index = self._scan.index(value.domain)
            codes = self._codes(expression, value).take(index if rows is None else index.take(rows))
        groups, first = given.groups.split(rows, codes)
        said = (render(stage), lambda: self._at(value, first))
        return Spansets(given.marked, groups.saying((*groups.attributes, said)))

    def _codes(self, expression: Expression, value: _Value) -> Codes:
        """Number the values of a domain that is not that of spans; once, where sources have it."""
        if value.domain == Domain.TRACE:
            return number_values(value.operand, self._scan.rows(value.domain))
        known = self._scan.of_source.codes
        if expression not in known:
            known[expression] = number_values(value.operand, self._scan.rows(value.domain))
        return known[expression]

    def _value(self, expression: Expression) -> _Value:
        domain = expression.domain
        return _Value(self._scan.operand(expression, domain), domain)

    def _at(self, value: _Value, rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Operand:
        if value.domain != Domain.SPAN:
            return value.operand.spread(self._scan.index(value.domain)[rows])
        return value.operand.spread(rows)

    def _pass(self, stage: nodes.ScalarFilter, given: Spansets) -> Spansets:
        told: list[SpansetAttribute] = []
        left = self._scalar(stage.left, given, told.append)
        right = self._scalar(stage.right, given, told.append)
        groups = given.groups
        kept = to_array(mask_operands(left, stage.operator, right, groups.count), groups.count)
        marked = groups.keep(given.marked, kept)
        return Spansets(marked, groups.saying((*groups.attributes, *told)))

    def _scalar(
        self, node: nodes.Scalar, given: Spansets, tell: Callable[[SpansetAttribute], None]
    ) -> Operand:
        """Evaluate a scalar for each spanset; aggregates are told in the order of the text."""
        match node:
            case nodes.Literal():
                return (
                    Constant(literal(node.value)).operand(self._scan).repeated(given.groups.count)
                )
            case nodes.ScalarArithmetic():
                left = self._scalar(node.left, given, tell)
                return calculate(left, node.operator, self._scalar(node.right, given, tell))
            case nodes.ScalarPipe():
                made = self.pipeline(node.pipeline, given)
                value = self._aggregate(node.aggregate, Spansets(made.marked, given.groups))
            case nodes.Aggregate():
                value = self._aggregate(node, given)
        tell((self._bound.text(node), lambda: value))
        return value

    def _aggregate(self, node: nodes.Aggregate, given: Spansets) -> Operand:
        if node.operand is None:
            return count_spans(given.groups, given.marked)
        value = self._scan.operand(self._bound.expression(node), Domain.SPAN)
        return aggregate(node.function, value, given.groups, given.marked)


def _is_pipeline(node: _Side) -> bool:
    return isinstance(node, nodes.Pipeline)

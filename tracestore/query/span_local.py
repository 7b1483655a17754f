"""What a filter asks of a span alone, apart from what depends on the rest of its trace.

A part of a trace tells the one and not the other: the place in the tree, the root and the duration
of a trace are another thing of a part than of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from traceql import nodes
from traceql.operators import Operator
from traceql.values import Bool
from traceql.walk import fields_of
from tracestore.query.bind import Binder
from tracestore.query.expressions import NEVER
from tracestore.query.intrinsics import needs_whole_trace
from tracestore.query.plan import SearchPlan
from tracestore.query.scan import SourceScan

_ANY_SPAN = nodes.Literal(Bool(True))


def span_local(node: nodes.FieldExpression) -> nodes.FieldExpression:
    """Weaken a filter to what follows from it for the span alone, wherever its trace lies.

    A condition that mentions something of the trace is taken as true, as a whole: under ``!`` a
    part of it that is taken as true would make the filter stronger.
    """
    if isinstance(node, nodes.Logical):
        parts = [span_local(operand) for operand in node.operands]
        if node.operator is Operator.AND:
            kept = tuple(part for part in parts if part is not _ANY_SPAN)
            if len(kept) < 2:
                return kept[0] if kept else _ANY_SPAN
            return nodes.Logical(node.operator, kept)
        if any(part is _ANY_SPAN for part in parts):
            return _ANY_SPAN
        return nodes.Logical(node.operator, tuple(parts))
    return _ANY_SPAN if any(map(needs_whole_trace, fields_of(node))) else node


@dataclass(frozen=True, slots=True)
class Holders:
    """Which sources may hold the spans that a trace needs, whole, to match."""

    groups: list[list[SourceScan]] = field(default_factory=list)
    """A trace can only match if, of each list, one source has a part of it."""
    unable: set[SourceScan] = field(default_factory=set)
    """Sources in which nothing matches by itself."""


def find_holders(scans: Sequence[SourceScan], plan: SearchPlan) -> Holders:
    """Find the sources that may hold what is required of a trace.

    A span of a whole trace is a span of one of its parts, so that what is asked of it alone holds
    in that part. Cost: filters and schemas of every source, unless nothing is asked of a span.
    """
    filters = plan.fetch.filters
    groups = [[span_local(filters[n].filter.expression) for n in group] for group in plan.required]
    groups = [group for group in groups if _ANY_SPAN not in group]
    found = Holders([[] for _ in groups])
    if not groups:
        return found
    for scan in scans:
        scan.control.check()
        binder = Binder(scan)
        for group, holders in zip(groups, found.groups, strict=True):
            if any(binder.condition(each) is not NEVER for each in group):
                holders.append(scan)
            else:
                found.unable.add(scan)
    return found

"""What a filter asks of a span alone, apart from what depends on the rest of its trace.

A part of a trace tells the one and not the other: the place in the tree, the root and the duration
of a trace are another thing of a part than of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from traceql import nodes
from traceql.attributes import SERVICE_NAME, Attribute, Intrinsic
from traceql.operators import ARITHMETIC, Operator
from traceql.values import Bool, String
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


def asked_of_others(node: nodes.FieldExpression) -> Iterator[nodes.FieldExpression]:
    """Yield what a filter asks of a parent or of the root, which are spans of the trace too.

    What is yielded can be true in a source only if the source holds such a span.
    """
    if isinstance(node, nodes.Logical) and node.operator is Operator.AND:
        for operand in node.operands:
            yield from asked_of_others(operand)
    if not isinstance(node, nodes.Binary) or not isinstance(node.left, nodes.Reference):
        return
    asked, wanted = node.left.field, node.right
    if not isinstance(wanted, nodes.Literal) or node.operator in ARITHMETIC:
        return
    if isinstance(asked, Attribute) and asked.of_parent:
        yield node
    # without a root, its name reads as the empty text
    elif node.operator is Operator.EQ and wanted.value != String(""):
        if asked is Intrinsic.ROOT_NAME:
            yield replace(node, left=nodes.Reference(Intrinsic.NAME))
        elif asked is Intrinsic.ROOT_SERVICE_NAME:
            yield replace(node, left=nodes.Reference(SERVICE_NAME))


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
    for required in plan.required:
        if len(required) == 1:
            asked = asked_of_others(filters[required[0]].filter.expression)
            groups += [[each] for each in asked]
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

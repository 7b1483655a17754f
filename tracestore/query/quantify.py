"""A condition over events and links -> a condition over spans, and which event stands for a span.

"Some event makes the filter true" is taken apart where that changes nothing: of ``a || b`` each
side may ask for its own event, and of ``a && b`` what says nothing of events stands outside. Only
what ties events to links in one term is evaluated over pairs.

Source: TraceQL reference, 4.10, 5.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracestore.query.expressions import And, Condition, Expression, Or, all_of, any_of
from tracestore.query.joins import any_of_span, at_rows, first_of_span
from tracestore.query.masks import BoolArray, Mask, mask_or, to_array
from tracestore.query.parts import Domain, Operand
from tracestore.query.scan import ChunkScan

_JOIN_COST = 10
Rows = npt.NDArray[np.int64]


@dataclass(eq=False)
class SomeRow(Condition):
    """Some event, link or pair of a span satisfies a condition."""

    condition: Condition

    def __post_init__(self) -> None:
        assert self.condition.domain > Domain.SPAN
        self.domain, self.cost = Domain.SPAN, self.condition.cost + _JOIN_COST

    def mask(self, scan: ChunkScan) -> Mask:
        return any_of_span(scan, self.condition)


@dataclass(eq=False)
class AtFirst(Expression):
    """An expression over events as a value of the span: that of its first event and link."""

    expression: Expression

    def __post_init__(self) -> None:
        assert self.expression.domain > Domain.SPAN
        self.domain, self.cost = Domain.SPAN, self.expression.cost + _JOIN_COST

    def operand(self, scan: ChunkScan) -> Operand:
        domain = self.expression.domain
        events = scan.owned(Domain.EVENT).first if domain.has_events else None
        links = scan.owned(Domain.LINK).first if domain.has_links else None
        return at_rows(scan, self.expression, events, links)


@dataclass(eq=False)
class AtMatch(Expression):
    """Likewise, but of the event and link that made a filter true, if one did; for answers.

    A span without events has no such field to speak of: it counts as there, without a value.
    """

    expression: Expression
    witnesses: Witnesses

    def __post_init__(self) -> None:
        assert self.expression.domain > Domain.SPAN
        self.domain, self.cost = Domain.SPAN, self.expression.cost + _JOIN_COST

    def operand(self, scan: ChunkScan) -> Operand:
        domain = self.expression.domain
        assert not domain.is_joined
        rows = self.witnesses.rows(scan)
        is_event = domain == Domain.EVENT
        found = at_rows(scan, self.expression, *((rows, None) if is_event else (None, rows)))
        return Operand(found.parts, mask_or(found.present, scan.owned(domain).counts == 0))


class Witnesses:
    """The event (or link) of each span that made one of several filters true."""

    def __init__(self, domain: Domain, conditions: Sequence[Condition]) -> None:
        """Take EVENT or LINK and the filters, the one that is asked first in front."""
        self._domain = domain
        self._conditions = conditions

    def rows(self, scan: ChunkScan) -> Rows:
        """Get its row for each span: by the first filter that the span satisfies, else its first.

        Raises: DeadlineError.
        """
        if self not in scan.memo:
            rows = scan.owned(self._domain).first
            for condition in reversed(self._conditions):
                is_found, witness = _witness(scan, condition, self._domain)
                rows = np.where(to_array(is_found, len(rows)), witness, rows)
            scan.memo[self] = rows
        found: Rows = scan.memo[self]
        return found


def for_some(condition: Condition) -> Condition:
    """Bind events and links: there is one, for all that the condition says of them."""
    if condition.domain <= Domain.SPAN:
        return condition
    if isinstance(condition, Or) and condition.domain.is_joined:
        return any_of([for_some(part) for part in condition.parts])
    if isinstance(condition, And):
        alone, groups = _groups(condition)
        if alone or len(groups) > 1:
            return all_of([*alone, *(for_some(group) for group in groups)])
    return SomeRow(condition)


def of_first(expression: Expression) -> Expression:
    """Make an expression over events one over spans, by the first of them."""
    return expression if expression.domain <= Domain.SPAN else AtFirst(expression)


def _groups(condition: And) -> tuple[list[Condition], list[Condition]]:
    """Part a chain into what is of spans alone, and groups that share no event and no link."""
    alone: list[Condition] = []
    events: list[Condition] = []
    links: list[Condition] = []
    is_mixed = False
    for part in _flat(condition):
        domain = part.domain
        is_mixed |= domain == Domain.EVENT_LINK
        if domain <= Domain.SPAN:
            alone.append(part)
        else:
            (events if domain.has_events else links).append(part)
    groups = [[*events, *links]] if is_mixed else [events, links]
    return alone, [all_of(group) for group in groups if group]


def _flat(condition: And) -> list[Condition]:
    found: list[Condition] = []
    for part in condition.parts:
        found.extend(_flat(part) if isinstance(part, And) else [part])
    return found


def _witness(scan: ChunkScan, condition: Condition, domain: Domain) -> tuple[Mask, Rows]:
    """Find where a filter is true, and the first event (or link) of each span that makes it so."""
    first = scan.owned(domain).first
    if condition.domain <= Domain.SPAN:
        return scan.mask(condition, Domain.SPAN), first
    if isinstance(condition, And):
        alone, groups = _groups(condition)
        if alone or len(groups) > 1:
            found: BoolArray = np.ones(scan.chunk.spans, np.bool_)
            rows = first
            for part in [*alone, *groups]:
                is_found, witness = _witness(scan, part, domain)
                found &= is_found
                rows = witness if domain.meet(part.domain) == part.domain else rows
            return found, rows
    return first_of_span(scan, condition, domain)

"""Spans beside their events and links: the rows over which a filter on events is evaluated.

A filter that mentions events is true for a span if some event makes it true, all event fields read
from that event; with links too, some pair. A span without events stands beside a row whose fields
are nil. Rows of one span are the product of its events and links, which may be many, so they are
made slice by slice.

Source: TraceQL reference, 4.10.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.query.masks import BoolArray, Mask, take, to_array
from tracestore.query.parts import Domain, IntArray, Operand
from tracestore.query.scan import ChunkScan, Evaluable
from tracestore.query.source import ColumnStatistics

ROWS_PER_SLICE = 1 << 18


class JoinedScan(ChunkScan):
    """Rows that each are a span, an event and a link of a chunk; evaluates as a chunk does.

    What belongs to one of the three alone is evaluated once per chunk, and spread.
    """

    def __init__(self, scan: ChunkScan) -> None:
        super().__init__(scan.of_source, scan.chunk)
        self._scan = scan
        self._masks: dict[Evaluable, Mask] = {}
        self._operands: dict[Evaluable, Operand] = {}
        self._rows: dict[Domain, IntArray] = {}

    def at(self, spans: IntArray, events: IntArray | None, links: IntArray | None) -> None:
        """Move to other rows: of each the span, and the row of its event and of its link."""
        self._rows = {Domain.SPAN: spans}
        if events is not None:
            self._rows[Domain.EVENT] = events
        if links is not None:
            self._rows[Domain.LINK] = links

    def rows(self, domain: Domain) -> int:
        return len(self._rows[Domain.SPAN]) if domain.is_joined else self._scan.rows(domain)

    def column(self, domain: Domain, name: str) -> pa.Array:
        return self._scan.column(domain, name)

    def statistics(self, column: str) -> ColumnStatistics | None:
        return self._scan.statistics(column)

    def index(self, domain: Domain) -> IntArray:
        """Get for each row that of another domain."""
        if domain not in self._rows:
            spans = self._rows[Domain.SPAN]
            is_constant = domain == Domain.CONSTANT
            found = np.zeros(len(spans), np.int32) if is_constant else self._scan.index(domain)
            self._rows[domain] = found if is_constant else found[spans]
        return self._rows[domain]

    def mask(self, expression: Evaluable, domain: Domain) -> Mask:
        """Evaluate a condition and spread it to these rows."""
        assert domain.is_joined
        own = expression.domain
        if own.is_joined:
            return expression.mask(self)
        if expression not in self._masks:
            self._masks[expression] = self._scan.mask(expression, own)
        mask = self._masks[expression]
        return mask if isinstance(mask, bool) else take(mask, self.index(own))

    def operand(self, expression: Evaluable, domain: Domain) -> Operand:
        """Evaluate an expression and spread its value to these rows."""
        assert domain.is_joined
        own = expression.domain
        if own.is_joined:
            return expression.operand(self)
        if expression not in self._operands:
            self._operands[expression] = self._scan.operand(expression, own)
        return self._operands[expression].spread(self.index(own))


Rows = npt.NDArray[np.int64]
Slice = tuple[Rows, Rows | None, Rows | None]
"""Of each row the span, the row of its event and the row of its link."""


def slices(scan: ChunkScan, domain: Domain) -> Iterator[Slice]:
    """Cut the rows of a joined domain into slices of bounded size.

    Rows of a span come in order of its events, then of its links. Raises: DeadlineError.
    """
    spans = scan.chunk.spans
    events = scan.owned(Domain.EVENT) if domain.has_events else None
    links = scan.owned(Domain.LINK) if domain.has_links else None
    of_events = np.maximum(events.counts, 1) if events else np.ones(spans, np.int64)
    of_links = np.maximum(links.counts, 1) if links else np.ones(spans, np.int64)
    ends = np.cumsum(of_events * of_links)
    total = int(ends[-1]) if spans else 0
    for start in range(0, total, ROWS_PER_SLICE):
        scan.of_source.control.check()
        row = np.arange(start, min(start + ROWS_PER_SLICE, total))
        span = np.searchsorted(ends, row, side="right")
        place = row - (ends[span] - of_events[span] * of_links[span])
        event = events.first[span] + place // of_links[span] if events else None
        link = links.first[span] + place % of_links[span] if links else None
        yield span, event, link


def any_of_span(scan: ChunkScan, condition: Evaluable) -> Mask:
    """Mark the spans for which a condition over events, links or both holds somewhere."""
    domain = condition.domain
    if not domain.is_joined:
        return _any_owned(scan, scan.mask(condition, domain), domain)
    found: BoolArray = np.zeros(scan.chunk.spans, np.bool_)
    joined = JoinedScan(scan)
    for span, event, link in slices(scan, domain):
        joined.at(span, event, link)
        mask = condition.mask(joined)
        if isinstance(mask, bool):
            found[span] |= mask
        else:
            found[span[mask]] = True
    return found


def _any_owned(scan: ChunkScan, mask: Mask, domain: Domain) -> Mask:
    if isinstance(mask, bool):
        return mask
    owned = scan.owned(domain)
    found: BoolArray = np.zeros(scan.chunk.spans, np.bool_)
    found[owned.owners[mask[:-1]]] = True
    if mask[-1]:
        found[owned.bare] = True
    return found


def first_of_span(scan: ChunkScan, condition: Evaluable, wanted: Domain) -> tuple[Mask, Rows]:
    """Find the first row of each span for which a condition holds.

    Returns: the spans that have one, and for those the row of its event (``wanted`` is EVENT) or
    its link; of others, or if the condition says nothing of ``wanted``, the first they have.
    """
    rows = scan.owned(wanted).first.copy()
    found: BoolArray = np.zeros(scan.chunk.spans, np.bool_)
    joined = JoinedScan(scan)
    domain = condition.domain
    if not domain.is_joined:
        domain = domain.meet(Domain.SPAN)
    for span, event, link in slices(scan, domain):
        joined.at(span, event, link)
        mask = joined.mask(condition, domain)
        held = np.flatnonzero(to_array(mask, len(span)))
        held = held[~found[span[held]]][::-1]  # the first row is written last, and stays
        witness = event if wanted == Domain.EVENT else link
        if witness is not None:
            rows[span[held]] = witness[held]
        found[span[held]] = True
    return found, rows


def at_rows(
    scan: ChunkScan, expression: Evaluable, events: IntArray | None, links: IntArray | None
) -> Operand:
    """Evaluate an expression for each span, with one event and one link of each.

    Args:
        events: (N,) row of the event for each span; None: the expression says nothing of events.
        links: likewise.
    """
    joined = JoinedScan(scan)
    joined.at(np.arange(scan.chunk.spans), events, links)
    return joined.operand(expression, expression.domain.meet(Domain.SPAN))

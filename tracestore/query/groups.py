"""Which spans of a chunk are together in a spanset, and what was said of it.

A span is in at most one spanset at any time: filters take spans away, ``by`` splits, ``coalesce``
joins, and the operators between spansets work on one of them at a time. So the spansets of a chunk
are one mask and one number a span. Kernels: no I/O.

Source: TraceQL reference, 5.1, 5.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tracestore.query.masks import BoolArray, Mask, count_before, mask_and, settle, to_array
from tracestore.query.numbering import Codes, number_by_first
from tracestore.query.parts import Operand

Ints = npt.NDArray[np.signedinteger]
SpansetAttribute = tuple[str, Operand]
"""A name, and its value for each group."""


class Groups:
    """The spansets of a chunk, numbered in order: by first span, parts of one together.

    ``attributes``: what ``by`` and aggregates said, in order. ``is_split``: whether a trace may
    have several.
    """

    is_split = True

    def __init__(
        self,
        count: int,
        of_span: Callable[[], Ints],
        attributes: tuple[SpansetAttribute, ...] = (),
    ) -> None:
        """Take what is known.

        Args:
            of_span: gives (N,) the group of each span, of the marked ones at least.
        """
        self.count = count
        self.attributes = attributes
        self._of_span = of_span

    @cached_property
    def of_span(self) -> Ints:
        """(N,) the group of each span; of a span in no spanset it means nothing."""
        return self._of_span()

    def marked(self, mask: Mask) -> BoolArray:
        """Tell which groups have a marked span: (count,) mask."""
        if mask is False:
            return np.zeros(self.count, np.bool_)
        found = np.zeros(self.count, np.bool_)
        rows = np.flatnonzero(to_array(mask, len(self.of_span)))
        found[self.of_span.take(rows)] = True
        return found

    def saying(self, attributes: tuple[SpansetAttribute, ...]) -> Groups:
        """Make the same groups with other attributes."""
        return Groups(self.count, lambda: self.of_span, attributes)

    def keep(self, mask: Mask, kept: BoolArray) -> Mask:
        """Unmark the spans of groups that are not kept."""
        if kept.all():
            return mask
        return False if not kept.any() else settle(mask_and(mask, kept.take(self.of_span)))

    def split(self, rows: npt.NDArray[np.int64], codes: Codes) -> tuple[Groups, Ints]:
        """Split groups by a number that each span has.

        Args:
            rows: (M,) the marked spans, ascending.
            codes: (M,) the number of each, 0 or more.

        Returns: the new groups with the old attributes, and a place among ``rows`` of each.
        """
        is_all = len(rows) == len(self.of_span)
        of_row = self.of_span if is_all else self.of_span.take(rows)
        keys = of_row.astype(np.int64)
        keys *= int(codes.max(initial=0)) + 1
        keys += codes
        number, first = number_by_first(keys)
        before = self.of_span[rows[first]]
        if self.is_split:
            order = np.argsort(before, kind="stable")
            rank = np.empty(len(order), np.int32)
            rank[order] = np.arange(len(order), dtype=np.int32)
            number, first, before = rank[number], first[order], before[order]
        attributes = tuple((name, value.spread(before)) for name, value in self.attributes)
        of_span = number
        if not is_all:
            of_span = np.zeros(len(self.of_span), np.int32)
            of_span[rows] = number
        return Groups(len(first), lambda: of_span, attributes), first


class TraceGroups(Groups):
    """One spanset a trace: what a pipeline begins with."""

    is_split = False

    def __init__(
        self,
        first_span: npt.NDArray[np.int64],
        span_count: npt.NDArray[np.int32],
        of_span: Callable[[], Ints],
        attributes: tuple[SpansetAttribute, ...] = (),
    ) -> None:
        """Take (T,) where each trace begins among the spans, ascending, and its spans."""
        super().__init__(len(first_span), of_span, attributes)
        self.first_span = first_span
        self.span_count = span_count

    def marked(self, mask: Mask) -> BoolArray:
        if isinstance(mask, bool):
            return np.full(self.count, mask)
        found = np.zeros(self.count, np.bool_)
        found[matched_traces(mask, self.first_span, self.span_count)] = True
        return found

    def saying(self, attributes: tuple[SpansetAttribute, ...]) -> TraceGroups:
        return TraceGroups(self.first_span, self.span_count, lambda: self.of_span, attributes)


@dataclass(frozen=True, slots=True)
class Spansets:
    """The spansets of a chunk: the spans that are in one, and which one that is."""

    marked: Mask
    groups: Groups

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The marked spans, ascending."""
        if isinstance(self.marked, bool):
            return np.arange(len(self.groups.of_span) if self.marked else 0)
        return np.flatnonzero(self.marked)


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
    if np.count_nonzero(mask) * 64 < len(mask) or len(first_span) == 0:
        rows = np.searchsorted(first_span, np.flatnonzero(mask), side="right") - 1
        return np.compress(np.diff(rows, prepend=-1) > 0, rows)
    before = count_before(mask, np.append(first_span, first_span[-1] + span_count[-1]))
    return np.flatnonzero(before[1:] > before[:-1])

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
from typing import Any

import numpy as np
import numpy.typing as npt

from tracestore import kernel
from tracestore.query.masks import BoolArray, Mask, mask_and, settle, to_array
from tracestore.query.numbering import Codes, number_by_first
from tracestore.query.parts import Operand

Ints = npt.NDArray[np.signedinteger]
Values = npt.NDArray[Any]
SpansetAttribute = tuple[str, Callable[[], Operand]]
"""A name, and what makes its value for each group: only of groups that are shown it is made."""
Rows = npt.NDArray[np.int64]


class Groups:
    """The spansets of a chunk, numbered in order: by first span, parts of one together.

    ``attributes``: what ``by`` and aggregates said, in order. ``is_split``: whether a trace may
    have several.
    """

    is_split = True

    def __init__(
        self,
        count: int,
        of_span: Callable[[], npt.NDArray[np.int32]],
        attributes: tuple[SpansetAttribute, ...] = (),
    ) -> None:
        """Take what is known.

        Args:
            of_span: gives (N,) the group of each span; of those that are not marked any of them.
        """
        self.count = count
        self.attributes = attributes
        self._of_span = of_span

    @cached_property
    def of_span(self) -> npt.NDArray[np.int32]:
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

    def sizes(self, mask: Mask) -> npt.NDArray[np.int64]:
        """Count the marked spans of each group: (count,)."""
        if mask is False:
            return np.zeros(self.count, np.int64)
        return kernel.count_groups(_marks(mask), self.of_span, self.count)

    def sums(self, values: Values, mask: Mask) -> Values:
        """Sum the marked ones of (N,) values group by group; int64 wraps."""
        return kernel.sum_groups(_dense(values), _marks(mask), self.of_span, self.count)

    def exact_sums(self, values: Values, mask: Mask) -> npt.NDArray[np.float64]:
        """Sum the marked ones of (N,) ints group by group, without wrapping."""
        return kernel.sum_exactly(_dense(values), _marks(mask), self.of_span, self.count)

    def extremes(self, values: Values, mask: Mask, *, is_largest: bool) -> Values:
        """Find the smallest or largest marked value of each group; arbitrary without one."""
        marks = _marks(mask)
        return kernel.extremes_of_groups(
            _dense(values), marks, self.of_span, self.count, is_largest
        )

    def saying(self, attributes: tuple[SpansetAttribute, ...]) -> Groups:
        """Make the same groups with other attributes."""
        return Groups(self.count, lambda: self.of_span, attributes)

    def keep(self, mask: Mask, kept: BoolArray) -> Mask:
        """Unmark the spans of groups that are not kept."""
        if kept.all():
            return mask
        return False if not kept.any() else settle(mask_and(mask, kept.take(self.of_span)))

    def split(self, rows: Rows | None, codes: Codes) -> tuple[Groups, Rows]:
        """Split groups by a number that each span has.

        Args:
            rows: (M,) the marked spans, ascending; None: all.
            codes: (M,) the number of each, 0 or more.

        Returns: the new groups with the old attributes, and the first span of each.
        """
        rows = np.arange(len(self.of_span)) if rows is None else rows
        keys = self.of_span.take(rows).astype(np.int64)
        keys *= int(codes.max(initial=0)) + 1
        keys += codes
        number, first = number_by_first(keys)
        before = self.of_span[rows[first]]
        order = np.argsort(before, kind="stable")
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        of_span = np.zeros(len(self.of_span), np.int32)
        of_span[rows] = rank[number]
        return self._parted(of_span, rows[first[order]])

    def _parted(self, of_span: npt.NDArray[np.int32], first: Rows) -> tuple[Groups, Rows]:
        """Make parts of these groups. Args: first: (K,) the first span of each part."""

        def part(value: Callable[[], Operand]) -> Callable[[], Operand]:
            return lambda: value().spread(self.of_span[first])

        attributes = tuple((name, part(value)) for name, value in self.attributes)
        return Groups(len(first), lambda: of_span, attributes), first


class TraceGroups(Groups):
    """One spanset a trace: what a pipeline begins with."""

    is_split = False

    def __init__(
        self,
        span_count: npt.NDArray[np.int32],
        spans: int,
        attributes: tuple[SpansetAttribute, ...] = (),
    ) -> None:
        """Take (T,) the spans of each trace, which lie one trace after the other, and their sum."""
        super().__init__(len(span_count), lambda: kernel.run_numbers(span_count, spans), attributes)
        self.span_count = span_count
        self._spans = spans

    def marked(self, mask: Mask) -> BoolArray:
        if isinstance(mask, bool):
            return np.full(self.count, mask)
        found = np.zeros(self.count, np.bool_)
        found[kernel.marked_runs(mask, self.span_count)] = True
        return found

    def sizes(self, mask: Mask) -> npt.NDArray[np.int64]:
        if isinstance(mask, bool):
            return self.span_count.astype(np.int64) * mask
        return kernel.count_marked(mask, self.span_count)

    def sums(self, values: Values, mask: Mask) -> Values:
        return kernel.sum_runs(_dense(values), _marks(mask), self.of_span, self.count)

    def extremes(self, values: Values, mask: Mask, *, is_largest: bool) -> Values:
        marks = _marks(mask)
        return kernel.extremes_of_runs(_dense(values), marks, self.of_span, self.count, is_largest)

    def saying(self, attributes: tuple[SpansetAttribute, ...]) -> TraceGroups:
        return TraceGroups(self.span_count, self._spans, attributes)

    def keep(self, mask: Mask, kept: BoolArray) -> Mask:
        if kept.all():
            return mask
        if not kept.any():
            return False
        return settle(mask_and(mask, kernel.spread_runs(kept, self.span_count, self._spans)))

    def split(self, rows: Rows | None, codes: Codes) -> tuple[Groups, Rows]:
        of_span, first = kernel.split_runs(self.of_span, rows, codes)
        return self._parted(of_span, first if rows is None else rows[first])


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


def matched_traces(mask: Mask, span_count: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Find the traces with a marked span.

    Args:
        mask: (N,) spans of a chunk.
        span_count: (T,) spans of each trace; they lie one trace after the other.

    Returns: rows among the T, ascending.
    """
    if isinstance(mask, bool):
        return np.flatnonzero(span_count > 0) if mask else np.empty(0, np.int64)
    return kernel.marked_runs(mask, span_count)


def _marks(mask: Mask) -> BoolArray | None:
    """Write a mask as the kernel takes it, where some span is marked."""
    assert mask is not False
    return None if mask is True else mask


def _dense(values: Values) -> Values:
    """Make values lie side by side: those of a constant are one."""
    return np.ascontiguousarray(values)

"""The sources of a metrics query, newest first, so that each span counts once and traces are whole.

Traces that lie in several sources are told apart first. If the query looks at a trace as a whole
they are left out where they lie in parts, put together and looked at at the end; else a span that
is in several sources is left out of all but one, that of the lowest ID as ``fragments`` keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tracestore.model.series import Grid
from tracestore.model.times import SECOND_NS, TimeRange
from tracestore.query.candidates import is_inside
from tracestore.query.columns import fixed_bytes, numbers
from tracestore.query.fragments import (
    SplitTraces,
    locate,
    read_whole,
    split_traces,
)
from tracestore.query.masks import BoolArray, Mask, settle
from tracestore.query.parts import Domain
from tracestore.query.plan import SearchPlan
from tracestore.query.scan import ChunkScan, SourceScan
from tracestore.query.source import Chunk
from tracestore.query.span_local import find_holders

CLOCK_SLACK_NS = 60 * SECOND_NS
"""A span whose clock ran backwards begins behind its end, and so behind that of its source."""
Rows = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk, and what of it is to be looked at."""

    scan: ChunkScan
    traces: Mask
    """(T,) traces of the chunk."""
    repeated: Rows
    """Spans of the chunk that another source counts."""


class Searching(Protocol):
    """A part of a question."""

    @property
    def search(self) -> SearchPlan:
        """What marks its spans."""


class SourcesPlan(Protocol):
    """What a question asks of its sources."""

    @property
    def needs_whole_trace(self) -> bool:
        """Whether traces in parts must be put together before they are looked at."""

    @property
    def queries(self) -> Sequence[Searching]:
        """The parts of it."""


class MetricsSources:
    """What is looked at: sources by themselves, and traces put together."""

    def __init__(
        self,
        scans: Sequence[SourceScan],
        plan: SourcesPlan,
        grid: Grid,
        reach_ns: int | None,
        primary: frozenset[str] | None = None,
    ) -> None:
        """Take sources with traces, in order of their IDs.

        Args:
            primary: IDs of the sources that are answered for; None: all.
            reach_ns: how far from the range other parts of its traces are looked for; None: at any
                distance.
        """
        self._plan = plan
        self._window = TimeRange(start_ns=grid.origin_ns + 1, end_ns=grid.end_ns + 1)
        self._primary = primary
        self._all_inside = _overlapping(scans, self._window, CLOCK_SLACK_NS)
        self.inside = self._primary_of(self._all_inside)
        near = scans
        if reach_ns is not None:
            near = _overlapping(scans, self._window, max(reach_ns, CLOCK_SLACK_NS))
        self._near = near if plan.needs_whole_trace else self._all_inside

    def _primary_of(self, scans: Sequence[SourceScan]) -> Sequence[SourceScan]:
        if self._primary is None:
            return scans
        return [scan for scan in scans if scan.source.id in self._primary]

    @property
    def newest_first(self) -> list[SourceScan]:
        """The sources that may hold spans of the range."""
        return sorted(self.inside, key=lambda scan: (-scan.source.end_ns, scan.source.id))

    @cached_property
    def _split(self) -> SplitTraces:
        if len(self._near) < 2:
            return split_traces([])
        touching = None if self._primary is None else self._primary_of(self._near)
        return split_traces(self._near, touching).inside(self._window)

    @cached_property
    def _repeats(self) -> dict[tuple[str, int], Rows]:
        if self._plan.needs_whole_trace or not len(self._split):
            return {}
        if self._primary is None:
            return _find_repeats(self.inside, self._split)
        if not self.inside:
            return {}
        # a span is left out for the sake of sources of lower IDs: behind the last nobody is asked
        last = self.inside[-1].source.id
        before = [scan for scan in self._all_inside if scan.source.id <= last]
        return _find_repeats(before, self._split.touching(self.inside))

    @property
    def joins(self) -> int:
        """How many traces are put together."""
        return len(self._joined) if self._plan.needs_whole_trace else 0

    def pieces(self, scan: SourceScan) -> Iterator[Piece]:
        """Cut a source into chunks with a trace in the range. Raises: DeadlineError."""
        wanted = is_inside(scan.traces, self._window)
        if len(self._split):
            is_split = self._split.contain(scan.traces.keys)
            wanted = wanted & ~is_split if self._plan.needs_whole_trace else wanted | is_split
        for chunk_scan, traces in _chunks(scan, wanted):
            repeated = self._repeats.get((scan.source.id, chunk_scan.chunk.index), _NO_ROWS)
            yield Piece(chunk_scan, traces, repeated)

    def pieces_of_whole(self, scan: SourceScan) -> Iterator[Piece]:
        """Cut traces that were put together into chunks."""
        for chunk_scan, traces in _chunks(scan, is_inside(scan.traces, self._window)):
            yield Piece(chunk_scan, traces, _NO_ROWS)

    @cached_property
    def _joined(self) -> SplitTraces:
        """The traces in parts that may match as a whole, by one of the queries."""
        split = self._split
        if not len(split):
            return split
        found = np.zeros(len(split), np.bool_)
        for query in self._plan.queries:
            found |= _holding(self._near, query.search, split).contain(split.keys)
        joined = split.where(found)
        return joined if self._primary is None else joined.led_by(self._near, self._primary)

    def wholes(self) -> Iterator[SourceScan]:
        """Put traces together that lie in several sources, some at a time."""
        if not self.joins:
            return
        ids = np.unique(self._joined.ids)
        first = self._near[0]
        for whole in read_whole(locate(self._near, ids), ids, np.arange(len(ids))):
            first.control.check()
            yield SourceScan(whole, first.stats, first.control)


_NO_ROWS = np.empty(0, np.int64)


def _chunks(scan: SourceScan, wanted: BoolArray) -> Iterator[tuple[ChunkScan, Mask]]:
    """Yield the chunks with a wanted trace, and which of their traces are wanted."""
    for chunk in scan.chunks:
        chunk_scan = scan.chunk(chunk)
        traces = settle(wanted[chunk_scan.trace_slice])
        if traces is not False:
            yield chunk_scan, traces


def _overlapping(scans: Sequence[SourceScan], window: TimeRange, reach_ns: int) -> list[SourceScan]:
    wide = TimeRange(start_ns=window.start_ns - reach_ns, end_ns=window.end_ns + reach_ns)
    return [s for s in scans if wide.overlaps(s.source.start_ns, s.source.end_ns)]


def _holding(scans: Sequence[SourceScan], plan: SearchPlan, split: SplitTraces) -> SplitTraces:
    """Find the traces whose parts, together, may have all spans that a match needs."""
    groups = find_holders(scans, plan).groups
    if not all(groups):
        return split_traces([])
    for holders in groups:
        if len(holders) < len(scans):
            split = split.touching(holders)
    return split


def _find_repeats(scans: Sequence[SourceScan], split: SplitTraces) -> dict[tuple[str, int], Rows]:
    """Find the spans that a source of a lower ID has, too: rows by source and chunk.

    Spans are equal if trace, span ID and kind are; 128 bits of them are compared.
    Cost: reads two columns of the chunks with such traces; a sort of 16 B a span of them.
    """
    places: list[tuple[str, int, Rows]] = []
    hashes: list[tuple[Hashes, Hashes]] = []
    for scan in scans:
        is_split = split.contain(scan.traces.keys)
        for chunk in scan.chunks if is_split.any() else ():
            rows = _rows_of(scan, chunk, is_split)
            if len(rows):
                chunk_scan = scan.chunk(chunk)
                hashes.append(_identities(chunk_scan, rows))
                places.append((scan.source.id, chunk.index, rows))
    if not hashes:
        return {}
    first = np.concatenate([pair[0] for pair in hashes])
    second = np.concatenate([pair[1] for pair in hashes])
    order = np.lexsort((np.arange(len(first)), second, first))
    same = (np.diff(first[order]) == 0) & (np.diff(second[order]) == 0)
    is_repeated: BoolArray = np.zeros(len(first), np.bool_)
    is_repeated[order[1:][same]] = True
    found = {}
    begin = 0
    for id, index, rows in places:
        own = rows[is_repeated[begin : begin + len(rows)]]
        if len(own):
            found[id, index] = own
        begin += len(rows)
    return found


def _rows_of(scan: SourceScan, chunk: Chunk, wanted: BoolArray) -> Rows:
    """List the spans of some traces of a chunk."""
    part = slice(chunk.first_trace, chunk.first_trace + chunk.traces)
    spread = np.repeat(wanted[part], scan.traces.span_count[part])
    return np.flatnonzero(spread)


def _identities(scan: ChunkScan, rows: Rows) -> tuple[Hashes, Hashes]:
    """Make two independent numbers of the identity of spans."""
    raw = np.ascontiguousarray(fixed_bytes(scan.column(Domain.SPAN, "span_id")))
    span = raw.view(np.uint64).reshape(-1)[rows]
    kind = numbers(scan.column(Domain.SPAN, "kind"))[rows].astype(np.uint64)
    traces = scan.of_source.traces
    words = traces.ids[scan.trace_slice].view("<u8").reshape(-1, 2)
    trace = scan.index(Domain.TRACE)[rows]
    return (
        _mix(_mix(_mix(words[trace, 0], 0) ^ words[trace, 1], 1) ^ span, 2) ^ kind,
        _mix(_mix(_mix(span, 3) ^ words[trace, 1], 2) ^ words[trace, 0], 1) + kind,
    )


def _mix(numbers: Hashes, which: int) -> Hashes:
    """Spread every bit over all. Source: the finaliser of SplitMix64 and MurmurHash3."""
    mixed = numbers * np.uint64(_MULTIPLIERS[which])
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(_MULTIPLIERS[(which + 1) % 4])
    mixed ^= mixed >> np.uint64(29)
    return mixed

"""The spans whose names and values are asked for: of each source those that a filter marks.

A trace with spans in several sources is put together only if the filter or the tag asks something
of the whole trace; else every span is judged where it lies. Without a filter all spans count.

Source: TraceQL reference, 7.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traceql import QueryError, TagFilter, nodes
from traceql.attributes import Field
from traceql.values import Bool
from tracestore.model.results import QueryStats
from tracestore.model.times import TimeRange
from tracestore.query.candidates import is_inside
from tracestore.query.control import QueryControl
from tracestore.query.found import Scope
from tracestore.query.fragments import SplitTraces, locate, read_whole
from tracestore.query.groups import matched_traces
from tracestore.query.intrinsics import needs_whole_trace
from tracestore.query.masks import BoolArray, Mask, settle
from tracestore.query.parts import Domain
from tracestore.query.pipeline import BoundPipeline
from tracestore.query.plan import SearchPlan, plan_search
from tracestore.query.scan import ChunkScan, SourceScan, SourceTraces
from tracestore.query.source import SpanSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What narrows an answer, whether of names or of values."""

    filter: TagFilter | None = None
    window: TimeRange | None = None
    """Sources that overlap it are asked; with a filter, their traces that do."""
    reach_ns: int | None = None
    """How far from the window parts of its traces are looked for, if those must be whole."""
    limit: int = 0
    """Most values, or names of a scope; 0: all."""
    stale_max: int = 0
    """Stop when so many names or values in a row are known already; 0: never."""
    bytes_max: int = 0
    """Bytes of distinct text beyond which the answer is cut; 0: no bound."""


class MarkedSpans:
    """The sources of one lookup, and which of their spans count."""

    def __init__(
        self,
        sources: Sequence[SpanSource],
        lookup: Lookup,
        filter: nodes.Filter | None,
        control: QueryControl,
        *,
        tag: Field | None = None,
        primary: frozenset[str] | None = None,
    ) -> None:
        """Take the sources.

        Args:
            primary: IDs of the sources that are answered for; None: all.
            filter: what is evaluated, which may be less than that of the lookup.
            tag: whose values are asked for.
        """
        plan = None if filter is None else _plan(filter)
        self.is_filtered = plan is not None
        self.scope = Scope(
            sources,
            plan or _EVERY_SPAN,
            control,
            window=lookup.window,
            reach_ns=lookup.reach_ns,
            primary=primary,
        )
        self.scans = sorted(
            self.scope.inside, key=lambda scan: (scan.source.end_ns, scan.source.id), reverse=True
        )
        """The newest first."""
        is_whole = plan is not None and (
            plan.needs_whole_trace or (tag is not None and needs_whole_trace(tag))
        )
        self._split = self.scope.split_inside if is_whole and len(self.scope.scans) > 1 else None

    @property
    def stats(self) -> QueryStats:
        """What was looked at so far."""
        return self.scope.stats

    def of(self, scan: SourceScan) -> Iterator[tuple[ChunkScan, Mask]]:
        """Yield the chunks of a source with spans that count, and these. Raises: DeadlineError."""
        if not self.is_filtered:
            for chunk in scan.chunks:
                yield scan.chunk(chunk), True
            return
        pipeline = BoundPipeline(scan, self.scope.plan)
        if pipeline.is_never:
            self.stats.pruned_blocks += not scan.source.is_live
            return
        counted = is_inside(scan.traces, self.scope.window)
        if self._split is not None:
            counted &= ~_contained(self._split, scan.traces)
        yield from self._run(scan, pipeline, counted)

    def _run(
        self, scan: SourceScan, pipeline: BoundPipeline, counted: BoolArray
    ) -> Iterator[tuple[ChunkScan, Mask]]:
        for chunk in scan.chunks:
            chunk_scan = scan.chunk(chunk)
            traces = settle(counted[chunk_scan.trace_slice])
            marked = settle(pipeline.run(chunk_scan, traces).marked)
            if chunk_scan.has_read:
                self.stats.inspected_spans += chunk.spans
                self.stats.inspected_traces += chunk.traces
            if marked is not False:
                yield chunk_scan, marked

    def joined(self) -> Iterator[SourceScan]:
        """Put the traces together that must be judged whole; some at a time, as sources."""
        if self._split is None:
            return
        scope = self.scope
        split = scope.split_candidates() if scope.plan.needs_whole_trace else self._split
        ids = np.unique(scope.led(split).ids)
        if len(ids) == 0:
            return
        self._split = None
        for whole in read_whole(locate(scope.scans, ids), ids, np.arange(len(ids))):
            yield SourceScan(whole, self.stats, scope.control)


def _plan(filter: nodes.Filter) -> SearchPlan | None:
    """Plan a filter; None if it has a pattern that cannot be searched with."""
    try:
        return plan_search(nodes.Query(nodes.Pipeline((filter,))))
    except QueryError:
        return None


_EVERY_SPAN = plan_search(nodes.Query(nodes.Pipeline((nodes.Filter(nodes.Literal(Bool(True))),))))


def _contained(split: SplitTraces, traces: SourceTraces) -> BoolArray:
    """Mark the traces that are among the split ones."""
    found = split.contain(traces.keys)
    rows = np.flatnonzero(found)
    places = np.searchsorted(split.keys, traces.keys[rows])
    found[rows] = split.ids[places] == traces.ids[rows]
    return found


def rows_of(chunk: ChunkScan, marked: Mask, domain: Domain) -> Mask:
    """Mark the traces, events or links that belong to marked spans; of spans the mask itself."""
    if isinstance(marked, bool) or domain is Domain.SPAN:
        return marked
    if domain is Domain.TRACE:
        found = np.zeros(chunk.chunk.traces, np.bool_)
        found[matched_traces(marked, chunk.span_counts)] = True
        return found
    assert domain in (Domain.EVENT, Domain.LINK)
    return np.append(marked[chunk.owned(domain).owners], np.False_)


def spans_of(chunk: ChunkScan, marked: Mask, domain: Domain) -> npt.NDArray[np.int64]:
    """Count the marked spans of each resource (of each scope)."""
    index = chunk.index(domain)
    if not isinstance(marked, bool):
        index = index[marked]
    return np.bincount(index, minlength=chunk.rows(domain))

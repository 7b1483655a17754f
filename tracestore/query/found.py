"""What the two ways of searching share: the sources of a query, whole traces, and summaries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tracestore.model.results import Explanation, QueryStats, TraceSummary
from tracestore.model.tables import Table
from tracestore.model.times import TimeRange
from tracestore.query.candidates import Matches, evaluate
from tracestore.query.control import QueryControl
from tracestore.query.fragments import (
    PROBES_MAX,
    Ids,
    Rows,
    SplitTraces,
    locate,
    read_whole,
    split_traces,
)
from tracestore.query.masks import BoolArray
from tracestore.query.mentions import BoundMentions
from tracestore.query.metered_source import MeteredSource
from tracestore.query.pipeline import BoundPipeline
from tracestore.query.plan import SearchPlan
from tracestore.query.scan import SourceScan
from tracestore.query.shown_traces import ShownTraces, batches
from tracestore.query.source import SpanSource
from tracestore.query.span_local import Holders, find_holders
from tracestore.query.spansets import Renderer


@dataclass(frozen=True, slots=True)
class Found:
    """A trace of the answer: the row ``row`` of ``traces`` in the source of ``matches``."""

    matches: Matches
    row: int


class Scope:
    """The sources of one query, by how they lie to its time window."""

    def __init__(
        self,
        sources: Sequence[SpanSource],
        plan: SearchPlan,
        control: QueryControl,
        *,
        window: TimeRange | None,
        reach_ns: int | None,
        primary: frozenset[str] | None = None,
        explanation: Explanation | None = None,
    ) -> None:
        """Take the sources.

        Args:
            primary: IDs of the sources that are answered for; the others are there for traces in
                parts. None: all.
            explanation: is filled in if given.
            reach_ns: how far from the window a source may lie that is asked by itself for spans of
                traces that touch the window; None: any distance.
        """
        self.plan = plan
        self.control = control
        self.window = window
        self.stats = QueryStats()
        self.explanation = explanation or Explanation()
        self.scans = [
            SourceScan(MeteredSource(source, control, explanation), self.stats, control)
            for source in sorted(sources, key=lambda source: source.id)
            if source.rows(Table.TRACES)
        ]
        self._primary = primary
        self._all_inside = self._overlapping(0)
        self.inside = self._primary_of(self._all_inside)
        """The sources in the window that are answered for."""
        self._near = self.scans if reach_ns is None else self._overlapping(reach_ns)
        self.explanation.sources = len(self._primary_of(self.scans))
        self.explanation.outside_window = self.explanation.sources - len(self.inside)
        self.stats.total_jobs = len(self.inside)
        for scan in self.inside:
            if not scan.source.is_live:
                self.stats.total_blocks += 1
                self.stats.total_block_bytes += scan.source.stored_bytes

    def _overlapping(self, reach_ns: int) -> list[SourceScan]:
        if self.window is None:
            return self.scans
        wide = TimeRange(
            start_ns=self.window.start_ns - reach_ns, end_ns=self.window.end_ns + reach_ns
        )
        return [s for s in self.scans if wide.overlaps(s.source.start_ns, s.source.end_ns)]

    def _primary_of(self, scans: list[SourceScan]) -> list[SourceScan]:
        if self._primary is None:
            return scans
        return [scan for scan in scans if scan.source.id in self._primary]

    @cached_property
    def _split(self) -> SplitTraces:
        if self._primary is None:
            return split_traces(self._near)
        return split_traces(self._near, self._primary_of(self._near))

    @property
    def split_inside(self) -> SplitTraces:
        """Find the traces in the window that may have spans in several sources."""
        return self._split if self.window is None else self._split.inside(self.window)

    def led(self, split: SplitTraces) -> SplitTraces:
        """Take the split traces that are answered for here alone: by the first of their sources."""
        return split if self._primary is None else split.led_by(self._near, self._primary)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of what is done to a stage."""
        begin = self.control.clock.monotonic_ns()
        yield
        spent = self.control.clock.monotonic_ns() - begin
        self.explanation.stage_ns[name] = self.explanation.stage_ns.get(name, 0) + spent

    def split_candidates(self) -> SplitTraces:
        """Find the traces that may match as a whole although no part inside the window matches.

        Of those that have a part in a source that is answered for; others may answer for them, too.
        """
        primary = self._primary_of(self._near)
        if not primary:
            return split_traces([])
        found = self._split_holding() if self.plan.needs_whole_trace else self._split_outside()
        return found if self._primary is None or not len(found) else found.touching(primary)

    def _split_outside(self) -> SplitTraces:
        """Find the traces in the window with a part in a source outside of it that may match."""
        inside = set(self._all_inside)
        outside = [scan for scan in self._near if scan not in inside and self._may_match(scan)]
        return self.split_inside.touching(outside) if outside else split_traces([])

    def _split_holding(self) -> SplitTraces:
        """Find the traces whose parts, together, may have all spans that a match needs."""
        groups = self._holders.groups
        if len(self._near) < 2 or not all(groups):
            return split_traces([])
        split = self.split_inside
        for scans in groups:
            if len(scans) < len(self._near):
                split = split.touching(scans)
        return split

    @cached_property
    def _holders(self) -> Holders:
        if len(self._near) < 2 or not self.plan.needs_whole_trace:
            return Holders()
        return find_holders(self._near, self.plan)

    def _may_match(self, scan: SourceScan) -> bool:
        return not BoundPipeline(scan, self.plan).is_never

    def evaluate(self, scan: SourceScan) -> Matches | None:
        """Evaluate a source inside the window; leaves out traces that lie wholly outside of it."""
        with self.stage("evaluate"):
            is_unable = scan in self._holders.unable
            matches = None if is_unable else evaluate(scan, self.plan, self.window)
        self.stats.completed_jobs += 1
        if matches is None:
            self.explanation.pruned += 1
            self.stats.pruned_blocks += not scan.source.is_live
            return None
        self.explanation.evaluated += 1
        self.explanation.chunks += len(scan.chunks)
        if not matches.outside.any():
            return matches
        kept = ~matches.outside
        kept[matches.outside] = self._split.contain(scan.traces.keys[matches.rows[matches.outside]])
        return replace(matches, rows=matches.rows[kept], outside=matches.outside[kept])

    def may_be_split(self, found: Sequence[Matches]) -> list[BoolArray]:
        """Mark of many matches those that may lie in several sources; of few or far ones, all.

        Few are looked up in filters, which costs less than to open every source.
        """
        count = sum(len(matches.rows) for matches in found)
        if count <= PROBES_MAX or len(self._near) < len(self.scans):
            return [np.ones(len(matches.rows), np.bool_) for matches in found]
        return [self._split.contain(matches.scan.traces.keys[matches.rows]) for matches in found]

    def join(self, ids: Ids) -> tuple[Rows, Iterator[Matches]]:
        """Find out which traces lie in several sources, and evaluate those as a whole.

        Args:
            ids: (K,) S16, ascending, distinct.

        Returns: in how many sources each is; the matches, which are made as they are asked for.
        """
        if len(self.scans) == 1 or len(ids) == 0:
            return np.ones(len(ids), np.int64), iter(())
        with self.stage("locate"):
            parts = locate(self.scans, ids)
        places = np.concatenate([np.empty(0, np.int64), *(part.positions for part in parts)])
        counts = np.bincount(places, minlength=len(ids))
        several = np.flatnonzero(counts > 1)
        if len(several) == 0:
            return counts, iter(())
        self.explanation.joined_traces += len(several)
        return counts, self._evaluate_whole(read_whole(parts, ids, several))

    def _evaluate_whole(self, wholes: Iterator[SpanSource]) -> Iterator[Matches]:
        while True:
            with self.stage("join"):
                whole = next(wholes, None)
            if whole is None:
                return
            before = self.stats.inspected_spans, self.stats.inspected_traces
            scan = SourceScan(whole, self.stats, self.control)
            matches = evaluate(scan, self.plan, self.window)
            self.stats.inspected_spans, self.stats.inspected_traces = before
            if matches is not None:
                yield matches


def summarise(found: Sequence[Found], scope: Scope, spans_per_span_set: int) -> list[TraceSummary]:
    """Summarise traces in the order given; those of one source together."""
    by_source: dict[int, dict[int, int]] = {}
    for place, one in enumerate(found):
        by_source.setdefault(id(one.matches), {})[one.row] = place
    summaries: dict[int, TraceSummary] = {}
    for places in by_source.values():
        matches = found[next(iter(places.values()))].matches
        shown = BoundMentions(matches.binder, scope.plan.shown)
        for rows in batches(matches.scan, np.array(sorted(places), np.int64)):
            scope.control.check()
            traces = ShownTraces(matches.scan, rows)
            renderer = Renderer(traces, shown, spans_per_span_set=spans_per_span_set)
            made = renderer.summaries(matches.spansets(traces))
            summaries |= {places[row]: one for row, one in zip(rows.tolist(), made, strict=True)}
    return [summaries[place] for place in range(len(found))]

"""Counts the spans of any sources, or the requests between them, for the series of a question.

The way through the sources is that of TraceQL metrics: a span in several sources counts once, and
where traces must be whole (requests always) parts are put together before they are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import traceql
from traceql import nodes
from traceql.check import check
from tracestore.errors import CorruptionError, InvalidRequestError, UnavailableError
from tracestore.model.results import QueryStats
from tracestore.model.series import Grid
from tracestore.model.tables import Table
from tracestore.query.control import QueryControl
from tracestore.query.edge_counting import EdgeCounting, edge_labels, graph_settings
from tracestore.query.groups import TraceGroups
from tracestore.query.masks import Mask, mask_and, take, to_array
from tracestore.query.metered_source import MeteredSource
from tracestore.query.metrics_sources import CLOCK_SLACK_NS, MetricsSources, Piece
from tracestore.query.pipeline import BoundPipeline
from tracestore.query.plan import SearchPlan, plan_search
from tracestore.query.scan import SourceScan
from tracestore.query.series_index import SeriesIndex
from tracestore.query.series_tally import SeriesPart, SeriesTally
from tracestore.query.source import SpanSource
from tracestore.query.span_counting import SpanCounting, bare_settings, span_labels
from tracestore.query.span_series import Family, SeriesCells, SeriesQuestion
from tracestore.settings.generator_tree import ProcessorSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesParams:
    """How much may be counted, and by which rules."""

    processor: ProcessorSettings
    """What the metrics of the tenant look like."""
    series_max: int = 0
    """Series that may be kept; 0: any number."""
    cells_max: int = 0
    """Values that may be kept; 0: any number."""
    samples_max: int = 0
    """Values of an answer, zeros among them; 0: any number."""
    reach_ns: int | None = None
    """How far from the range parts of its traces are looked for; None: at any distance."""
    allow_partial: bool = False
    """Leave out sources that cannot be read, and name them."""


def count_series(
    sources: Sequence[SpanSource],
    question: SeriesQuestion,
    params: SeriesParams,
    control: QueryControl,
) -> SeriesCells:
    """Count everything.

    Raises: InvalidRequestError; DeadlineError; LimitExceededError; what a source raises that cannot
    be read, unless a partial answer will do.
    """
    run, missing = _counted(sources, question, params, control, None)
    return run.tally.result(run.stats, missing, params.samples_max)


def count_part(
    sources: Sequence[SpanSource],
    question: SeriesQuestion,
    params: SeriesParams,
    control: QueryControl,
    primary: frozenset[str],
) -> SeriesPart:
    """Count what some sources are answered for. Raises: as ``count_series``."""
    run, missing = _counted(sources, question, params, control, primary)
    return run.tally.part(run.stats, missing)


def combine_series(
    parts: Sequence[SeriesPart],
    question: SeriesQuestion,
    params: SeriesParams,
    control: QueryControl,
    stats: QueryStats,
) -> SeriesCells:
    """Make the answer of parts whose primary sources are all sources, each in one.

    Args:
        stats: of all of them.

    Raises: LimitExceededError; CorruptionError for parts that are not of this question.
    """
    run = _Run((), question, params, control, None)
    for part in parts:
        run.tally.absorb(part)
    control.check_bytes(stats.inspected_bytes)
    missing = tuple(sorted({name for part in parts for name in part.missing}))
    return run.tally.result(stats, missing, params.samples_max)


def _counted(
    sources: Sequence[SpanSource],
    question: SeriesQuestion,
    params: SeriesParams,
    control: QueryControl,
    primary: frozenset[str] | None,
) -> tuple[_Run, tuple[str, ...]]:
    """Look at the sources that can be read; also gives those that cannot."""
    readable, missing = list(sources), list[str]()
    while True:
        run = _Run(readable, question, params, control, primary)
        try:
            run.evaluate(len(missing))
            return run, tuple(sorted(missing))
        except (CorruptionError, UnavailableError):
            failed = run.failed()
            if not (params.allow_partial and failed):
                raise
            readable = [source for source in readable if source.id not in failed]
            missing += failed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is asked of the sources."""

    search: SearchPlan
    needs_whole_trace: bool

    @property
    def queries(self) -> Sequence[_Plan]:
        return (self,)


def plan_filter(text: str, family: Family) -> _Plan:
    """Read the filter of a question. Raises: InvalidRequestError with the position."""
    try:
        query = traceql.parse(text)
        check(query, text)
        if not isinstance(query.body, nodes.Pipeline):
            raise InvalidRequestError(
                f"invalid TraceQL query: a filter of spans is expected, not metrics: {text}"
            )
        search = plan_search(query)
    except traceql.QueryError as error:
        raise InvalidRequestError(f"invalid TraceQL query: {error.locate(text)}") from error
    is_whole = family is Family.EDGES or search.needs_whole_trace
    return _Plan(search=search, needs_whole_trace=is_whole)


class _Run:
    """One attempt to answer."""

    def __init__(
        self,
        sources: Sequence[SpanSource],
        question: SeriesQuestion,
        params: SeriesParams,
        control: QueryControl,
        primary: frozenset[str] | None,
    ) -> None:
        question.check()
        self._question = question
        self._plan = plan_filter(question.filter, question.family)
        self.stats = QueryStats()
        graphs = params.processor.service_graphs
        self._graphs = graph_settings(graphs) if question.is_graph else graphs
        spans = params.processor.span_metrics
        self._spans = bare_settings(spans) if question.is_graph else spans
        self._is_of_edges = question.family is Family.EDGES
        known = edge_labels(self._graphs) if self._is_of_edges else span_labels(self._spans)
        self._index = SeriesIndex(known, question.matchers, question.by, params.series_max)
        own = self._graphs if self._is_of_edges else self._spans
        bounds = own.histogram_buckets if question.bounds is None else question.bounds
        self.tally = SeriesTally(question, bounds, self._index, params.cells_max)
        self._metered = [
            MeteredSource(source, control, None)
            for source in sorted(sources, key=lambda source: source.id)
            if source.rows(Table.TRACES)
        ]
        scans = [SourceScan(source, self.stats, control) for source in self._metered]
        wide = _widened(question.grid)
        self._sources = MetricsSources(scans, self._plan, wide, params.reach_ns, primary)

    def failed(self) -> list[str]:
        """Name the sources that could not be read."""
        return [source.id for source in self._metered if source.has_failed]

    def evaluate(self, missing: int) -> None:
        """Look at everything. Args: missing: how many sources there are besides."""
        if self._index.is_never:
            return
        scans, stats = self._sources.newest_first, self.stats
        stats.total_jobs = len(scans) + bool(self._sources.joins) + missing
        for scan in scans:
            if not scan.source.is_live:
                stats.total_blocks += 1
                stats.total_block_bytes += scan.source.stored_bytes
            self._evaluate(scan)
            stats.completed_jobs += 1
        for whole in self._sources.wholes():
            before = stats.inspected_spans, stats.inspected_traces
            self._evaluate(whole, is_whole=True)
            stats.inspected_spans, stats.inspected_traces = before
        stats.completed_jobs += bool(self._sources.joins)

    def _evaluate(self, scan: SourceScan, *, is_whole: bool = False) -> None:
        pipeline = BoundPipeline(scan, self._plan.search)
        if pipeline.is_never:
            self.stats.pruned_blocks += not (scan.source.is_live or is_whole)
            return
        bound: SpanCounting | EdgeCounting
        if self._is_of_edges:
            bound = EdgeCounting(pipeline.binder, self._question, self._graphs, self._index)
        else:
            bound = SpanCounting(pipeline.binder, self._question, self._spans, self._index)
        pieces = self._sources.pieces_of_whole if is_whole else self._sources.pieces
        for piece in pieces(scan):
            self._evaluate_piece(piece, pipeline, bound)

    def _evaluate_piece(
        self, piece: Piece, pipeline: BoundPipeline, bound: SpanCounting | EdgeCounting
    ) -> None:
        scan, grid = piece.scan, self._question.grid
        marked = pipeline.run(scan, piece.traces).marked
        if marked is not False:
            if isinstance(bound, EdgeCounting):
                seen = bound.observe(scan, _spread(piece), marked, grid)
            else:
                seen = bound.observe(scan, _without_repeats(piece, marked), grid)
            if seen is not None:
                self.tally.add(seen, scan.of_source.traces.ids)
        if scan.has_read:
            self.stats.inspected_spans += scan.chunk.spans
            self.stats.inspected_traces += scan.chunk.traces


def _widened(grid: Grid) -> Grid:
    """Make a range in which each trace lies of which a span ends in the grid.

    A span whose clock ran backwards ends before it begins, and so does its trace.
    """
    length = grid.end_ns - grid.origin_ns + 2 * CLOCK_SLACK_NS
    return Grid(origin_ns=grid.origin_ns - CLOCK_SLACK_NS, step_ns=length, count=1)


def _spread(piece: Piece) -> Mask:
    """Mark the spans of the traces that are looked at."""
    if isinstance(piece.traces, bool):
        return piece.traces
    groups = TraceGroups(piece.scan.span_counts, piece.scan.chunk.spans)
    return take(piece.traces, groups.of_span)


def _without_repeats(piece: Piece, marked: Mask) -> Mask:
    """Leave out spans that another source counts."""
    if marked is False or len(piece.repeated) == 0:
        return marked
    kept = to_array(True, piece.scan.chunk.spans)
    kept[piece.repeated] = False
    return mask_and(marked, kept)

"""Metrics: series over a grid of intervals, out of the spans of any sources.

Every matched span that begins in an interval counts once, wherever it lies; traces themselves are
not windowed. Sources are looked at newest first, what they give adds up.

Source: TraceQL reference, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from traceql import nodes
from traceql.values import Float, Int
from traceql.walk import walk
from tracestore.errors import CorruptionError, LimitExceededError, UnavailableError
from tracestore.model.results import QueryStats
from tracestore.model.series import Grid, MetricsResult
from tracestore.model.tables import Table
from tracestore.query.cells import CellBudget
from tracestore.query.compare import CompareSeries
from tracestore.query.control import QueryControl
from tracestore.query.counted import Timeline
from tracestore.query.function_series import Accumulator, Frame, FunctionSeries, OfSource
from tracestore.query.masks import Mask, mask_and, to_array
from tracestore.query.metered_source import MeteredSource
from tracestore.query.metrics_parts import ComparePart, FunctionPart
from tracestore.query.metrics_plan import MetricsPlan, SubQuery
from tracestore.query.metrics_sources import MetricsSources, Piece
from tracestore.query.pipeline import BoundPipeline
from tracestore.query.progress import Progress
from tracestore.query.scan import SourceScan
from tracestore.query.second_stage import apply_stages
from tracestore.query.series_math import combine
from tracestore.query.series_table import SeriesTable
from tracestore.query.source import SpanSource
from tracestore.query.totals import sum_stats


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsParams:
    """What to compute over, and how much of it."""

    grid: Grid
    exemplars: int = 0
    """How many there may be in all; the query's own hint comes before it."""
    exemplars_max: int = 100
    """However many are asked for."""
    series_shown_max: int = 0
    """Series of an answer; more are cut off, and it says so. 0: all."""
    series_max: int = 0
    """Series that may be kept while computing; 0: any number."""
    cells_max: int = 0
    """Values that may be kept while computing; 0: any number."""
    samples_max: int = 0
    """Values of an answer, the zeros among them; 0: any number."""
    compared_values_max: int = 0
    """Values of one attribute that ``compare`` keeps; 0: all."""
    reach_ns: int | None = None
    """How far from the range parts of its traces are looked for; None: at any distance."""
    allow_partial: bool = False
    """Leave out sources that cannot be read, and name them."""


def metrics(
    sources: Sequence[SpanSource],
    plan: MetricsPlan,
    params: MetricsParams,
    control: QueryControl,
    progress: Progress[MetricsResult] | None = None,
) -> MetricsResult:
    """Compute the series of a query.

    Args:
        progress: is shown what is known so far, after sources.

    Raises: DeadlineError; LimitExceededError; InvalidRequestError if a structural operator meets
    several spansets; what a source raises that cannot be read, unless a partial answer will do.
    """
    run, missing = _evaluated(sources, plan, params, control, progress=progress)
    return run.result(missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsPart:
    """What some of the sources add to the series of each function of a query."""

    functions: tuple[FunctionPart | ComparePart, ...]
    stats: QueryStats
    missing: tuple[str, ...] = ()
    """IDs of sources that could not be read."""


def metrics_part(
    sources: Sequence[SpanSource],
    plan: MetricsPlan,
    params: MetricsParams,
    control: QueryControl,
    primary: frozenset[str],
) -> MetricsPart:
    """Compute what some sources add: spans that lie in them first, traces that begin there.

    Raises: as ``metrics``.
    """
    run, missing = _evaluated(sources, plan, params, control, primary=primary)
    return MetricsPart(functions=run.parts(), stats=run.stats, missing=tuple(missing))


def combine_metrics(
    parts: Sequence[MetricsPart], plan: MetricsPlan, params: MetricsParams, control: QueryControl
) -> MetricsResult:
    """Make the answer of parts whose primary sources are all sources, each in one.

    Sums of floats are added in another order, so that their last bits may differ.

    Raises: LimitExceededError; CorruptionError for parts that are not of this query.
    """
    run = _Run((), plan, params, control)
    for part in parts:
        run.absorb(part)
    run.stats = sum_stats([part.stats for part in parts])
    control.check_bytes(run.stats.inspected_bytes)
    return run.result(sorted({name for part in parts for name in part.missing}))


def _evaluated(
    sources: Sequence[SpanSource],
    plan: MetricsPlan,
    params: MetricsParams,
    control: QueryControl,
    *,
    primary: frozenset[str] | None = None,
    progress: Progress[MetricsResult] | None = None,
) -> tuple[_Run, list[str]]:
    """Look at the sources that can be read; also gives those that cannot."""
    readable, missing = list(sources), list[str]()
    while True:
        run = _Run(readable, plan, params, control, primary)
        try:
            run.evaluate(progress, missing)
            return run, missing
        except (CorruptionError, UnavailableError):
            failed = run.failed()
            if not (params.allow_partial and failed):
                raise
            readable = [source for source in readable if source.id not in failed]
            missing += failed


class _Run:
    """One attempt to answer."""

    def __init__(
        self,
        sources: Sequence[SpanSource],
        plan: MetricsPlan,
        params: MetricsParams,
        control: QueryControl,
        primary: frozenset[str] | None = None,
    ) -> None:
        self._plan = plan
        self._params = params
        self.stats = QueryStats()
        self._metered = [
            MeteredSource(source, control, None)
            for source in sorted(sources, key=lambda source: source.id)
            if source.rows(Table.TRACES)
        ]
        scans = [SourceScan(source, self.stats, control) for source in self._metered]
        self._sources = MetricsSources(scans, plan, params.grid, params.reach_ns, primary)
        frame = Frame(
            grid=params.grid,
            budget=CellBudget(params.cells_max),
            series_max=params.series_max,
            exemplars=self._exemplars(),
            compared_values_max=params.compared_values_max,
            extrapolate=plan.extrapolate,
        )
        self._accumulators = [_accumulator(query, frame) for query in plan.queries]

    def _exemplars(self) -> int:
        """Share the exemplars out among the queries."""
        asked = self._plan.exemplars
        wanted = self._params.exemplars if asked is None else asked
        wanted = min(wanted, self._params.exemplars_max)
        return max(wanted // len(self._plan.queries), min(wanted, 1))

    def failed(self) -> list[str]:
        """Name the sources that could not be read."""
        return [source.id for source in self._metered if source.has_failed]

    def parts(self) -> tuple[FunctionPart | ComparePart, ...]:
        """Give out what was counted."""
        return tuple(accumulator.part() for accumulator in self._accumulators)

    def absorb(self, part: MetricsPart) -> None:
        """Add what was counted elsewhere. Raises: CorruptionError, LimitExceededError."""
        if len(part.functions) != len(self._accumulators):
            raise CorruptionError("a part is of another query", key="part of metrics")
        for accumulator, one in zip(self._accumulators, part.functions, strict=True):
            accumulator.absorb(one)

    def evaluate(self, progress: Progress[MetricsResult] | None, missing: Sequence[str]) -> None:
        """Look at everything."""
        scans = self._sources.newest_first
        stats = self.stats
        stats.total_jobs = len(scans) + bool(self._sources.joins) + len(missing)
        for scan in scans:
            if not scan.source.is_live:
                stats.total_blocks += 1
                stats.total_block_bytes += scan.source.stored_bytes
        for number, scan in enumerate(scans, 1):
            self._evaluate(scan)
            stats.completed_jobs += 1
            if progress is not None and number < len(scans):
                self._show(progress, missing, next_scan=scans[number])
        for whole in self._sources.wholes():
            before = stats.inspected_spans, stats.inspected_traces
            self._evaluate_whole(whole)
            stats.inspected_spans, stats.inspected_traces = before
        stats.completed_jobs += bool(self._sources.joins)

    def _show(
        self, progress: Progress[MetricsResult], missing: Sequence[str], *, next_scan: SourceScan
    ) -> None:
        if not progress.is_due():
            return
        try:
            result = self.result(missing)
        except LimitExceededError:  # the whole answer may still keep to it
            result = MetricsResult(grid=self._params.grid, series=())
        settled_from = self._settled_from(next_scan)
        progress.show(replace(result, stats=replace(self.stats), settled_from=settled_from))

    def _settled_from(self, next_scan: SourceScan) -> int:
        """Find the first point that the sources from ``next_scan`` on add nothing to."""
        grid = self._params.grid
        if _is_open(self._plan) or self._sources.joins:
            return grid.count
        return _point_behind(grid, next_scan.source.end_ns)

    # --- spans into series -------------------------------------------------------------------

    def _evaluate(self, scan: SourceScan) -> None:
        bound = _bind(scan, self._plan, self._accumulators)
        if not bound:
            self.stats.pruned_blocks += not scan.source.is_live
            return
        for piece in self._sources.pieces(scan):
            self._evaluate_piece(piece, bound)

    def _evaluate_whole(self, scan: SourceScan) -> None:
        bound = _bind(scan, self._plan, self._accumulators)
        for piece in self._sources.pieces_of_whole(scan) if bound else ():
            self._evaluate_piece(piece, bound)

    def _evaluate_piece(self, piece: Piece, bound: Sequence[_Bound]) -> None:
        scan = piece.scan
        timeline = Timeline(scan, self._params.grid)
        for pipeline, function in bound:
            marked = pipeline.run(scan, piece.traces).marked
            spans = timeline.counted(_without(piece, marked))
            if spans is not None:
                function.add(spans)
        if scan.has_read:
            self.stats.inspected_spans += scan.chunk.spans
            self.stats.inspected_traces += scan.chunk.traces

    # --- series into an answer ---------------------------------------------------------------

    def result(self, missing: Sequence[str]) -> MetricsResult:
        """Make the answer of what was counted until now."""
        grid, params = self._params.grid, self._params
        tables = [accumulator.table().settled() for accumulator in self._accumulators]
        table = _compute(self._plan.body, self._plan, tables)
        assert isinstance(table, SeriesTable)
        table = table.sorted()
        notes = [note for one in self._accumulators if (note := one.note())]
        shown = params.series_shown_max
        if shown and len(table) > shown:
            table = table.take(range(shown))
            notes.insert(0, too_many_series(shown))
        if params.samples_max and table.samples > params.samples_max:
            raise LimitExceededError(
                f"the answer has {table.samples} values, more than {params.samples_max}: take a "
                "larger step, a shorter range, topk() or fewer labels in by(), "
                "or allow more (query.max_metrics_samples)",
                limit="max_metrics_samples",
            )
        if missing:
            notes.append(f"blocks that could not be read are missing: {', '.join(missing)}")
        return MetricsResult(
            grid=grid,
            series=table.to_series(grid),
            stats=self.stats,
            message=" ".join(notes),
            missing=tuple(sorted(missing)),
        )


def settled_point(plan: MetricsPlan, grid: Grid, latest_ns: int) -> int:
    """Find the first point that sources add nothing to of which none ends after ``latest_ns``."""
    if _is_open(plan) or plan.needs_whole_trace:
        return grid.count
    return _point_behind(grid, latest_ns)


def _is_open(plan: MetricsPlan) -> bool:
    """Tell whether values that win over others may lose to a series of a source not yet read."""
    return any(isinstance(n, nodes.Compare | nodes.TopK) for n in walk(plan.body))


def _point_behind(grid: Grid, end_ns: int) -> int:
    point = -((grid.origin_ns - end_ns) // grid.step_ns)
    return min(max(point, 1), grid.count)


_Bound = tuple[BoundPipeline, OfSource]


def too_many_series(limit: int) -> str:
    """Say that series were cut off, in Tempo's words."""
    return (
        f"Response exceeds maximum series limit of {limit}, a partial response is returned. "
        "Warning: the accuracy of each individual value is not guaranteed."
    )


def _accumulator(query: SubQuery, frame: Frame) -> Accumulator:
    if isinstance(query.function, nodes.Compare):
        return CompareSeries(query, frame)
    return FunctionSeries(query, frame)


def _bind(scan: SourceScan, plan: MetricsPlan, accumulators: Sequence[Accumulator]) -> list[_Bound]:
    """Bind the queries that may match in a source."""
    bound = []
    for query, accumulator in zip(plan.queries, accumulators, strict=True):
        pipeline = BoundPipeline(scan, query.search)
        if not pipeline.is_never:
            bound.append((pipeline, accumulator.bind(pipeline.binder)))
    return bound


def _without(piece: Piece, marked: Mask) -> Mask:
    """Leave out spans that another source counts."""
    if marked is False or len(piece.repeated) == 0:
        return marked
    kept = to_array(True, piece.scan.chunk.spans)
    kept[piece.repeated] = False
    return mask_and(marked, kept)


def _compute(
    node: nodes.MathOperand, plan: MetricsPlan, tables: Sequence[SeriesTable]
) -> SeriesTable | float:
    """Compute a part of the query out of the series of its functions."""
    match node:
        case nodes.Literal(Int(value) | Float(value)):
            return float(value)
        case nodes.MetricsQuery():
            return apply_stages(tables[plan.query_of(node)], node.second)
        case nodes.MetricsMath():
            left, right = (_compute(side, plan, tables) for side in (node.left, node.right))
            return apply_stages(combine(left, node.operator, right), node.second)
    raise AssertionError(f"{node} is no operand of metrics")

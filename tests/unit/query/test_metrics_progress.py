"""Metrics that show what they know while they run: what is called settled does not change."""

from __future__ import annotations

from itertools import cycle

from hypothesis import given, settings
from hypothesis import strategies as st
from support.naive_tables import naive_tables
from support.otlp import EPOCH_NS, request, span
from support.query import control, plan_of_metrics, run_metrics

from tracestore.model.series import Grid, MetricsResult
from tracestore.query.metrics import MetricsParams, metrics
from tracestore.query.source import SpanSource
from tracestore.query.tables_source import TablesSource

STEP_NS = 5_000_000_000
GRID = Grid(origin_ns=EPOCH_NS - STEP_NS, step_ns=STEP_NS, count=12)
QUERIES = [
    "{} | rate()",
    "{} | count_over_time() by (name)",
    "{} | max_over_time(duration) by (resource.service.name)",
    "{} | quantile_over_time(duration, .5) by (name)",
    "{} | histogram_over_time(duration)",
    "{} | count_over_time() by (name) > 1",
    "{} | rate() by (name) | topk(1)",
    "{} | rate() by (name) | bottomk(1)",
    "({} | rate() by (name)) - ({ duration > 2s } | rate() by (name))",
    "{} | compare({ name = `a` })",
    "{ nestedSetParent < 0 } | count_over_time() by (rootName)",
]
Placed = tuple[int, int, str, int]
"""Trace, start and duration in seconds, name."""
placed = st.lists(
    st.tuples(
        st.integers(1, 4), st.integers(0, 50), st.sampled_from(["a", "b", "c"]), st.integers(1, 9)
    ),
    min_size=1,
    max_size=5,
)


class Notes:
    """Keeps what it is shown."""

    def __init__(self, due: list[bool]) -> None:
        self.seen: list[MetricsResult] = []
        self._due = cycle(due)

    def is_due(self) -> bool:
        return next(self._due)

    def show(self, partial: MetricsResult) -> None:
        self.seen.append(partial)


def source_of(number: int, spans: list[Placed]) -> TablesSource:
    made = [
        span(
            trace=trace,
            id=100 * number + place,
            name=name,
            start_ms=1000 * start,
            duration_ms=1000 * length,
        )
        for place, (trace, start, name, length) in enumerate(spans, 1)
    ]
    resource = {"service.name": f"s{number % 2}"}
    return TablesSource(naive_tables([request(resource=resource, spans=made)]), f"s{number}")


def samples(result: MetricsResult, first: int) -> dict[tuple[object, int], float]:
    """Get the samples there are from a point on."""
    found = {}
    for series in result.series:
        for point, value in enumerate(series.dense(GRID.count).tolist()):
            if point >= first and value == value:
                found[series.labels, point] = value
    return found


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(QUERIES),
    st.lists(placed, min_size=1, max_size=4),
    st.lists(st.booleans(), min_size=1, max_size=3),
)
def test_what_is_settled_is_in_the_answer(
    query: str, parts: list[list[Placed]], due: list[bool]
) -> None:
    sources: list[SpanSource] = [source_of(n, part) for n, part in enumerate(parts, 1)]
    notes = Notes(due)

    result = metrics(sources, plan_of_metrics(query), MetricsParams(grid=GRID), control(), notes)

    whole = samples(result, 0)
    assert whole == samples(run_metrics(sources, query, GRID), 0)
    before = GRID.count
    for one in notes.seen:
        assert 0 < one.settled_from <= before
        before = one.settled_from
        assert samples(one, one.settled_from).items() <= whole.items()
        assert one.stats.completed_jobs < one.stats.total_jobs
    assert result.settled_from == 0


def test_a_point_is_settled_when_nothing_older_reaches_into_it() -> None:
    sources: list[SpanSource] = [
        source_of(1, [(1, 2, "a", 1)]),
        source_of(2, [(2, 22, "b", 1)]),
        source_of(3, [(3, 42, "c", 1)]),
    ]
    notes = Notes([True])
    metrics(
        sources,
        plan_of_metrics("{} | count_over_time() by (name)"),
        MetricsParams(grid=GRID),
        control(),
        notes,
    )

    # the source before ends at 23 s, in the interval up to 25 s, that before it at 3 s
    assert [one.settled_from for one in notes.seen] == [6, 2]
    assert [len(one.series) for one in notes.seen] == [1, 2]

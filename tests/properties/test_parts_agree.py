"""However the sources are parted, the parts of an answer make the answer of one who has them all.

A long run: ``pytest --hypothesis-profile=long tests/properties/test_parts_agree.py``.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, assume, given, note, settings
from hypothesis import strategies as st
from support.golden_series import differences, written
from support.jobs import ask_in_parts, site
from support.metrics_queries import metrics_queries
from support.otlp import EPOCH_NS
from support.search_cases import TRACES, Placed, placed_spans, request_for
from support.search_queries import BROAD_FILTERS, queries
from support.source_makers import Maker, makers

import traceql
from traceql.check import check
from tracestore.errors import InvalidRequestError
from tracestore.model.series import Grid
from tracestore.model.tags import TagScope
from tracestore.model.times import MILLISECOND_NS, TimeRange
from tracestore.query.jobs.metrics import ComputeMetrics
from tracestore.query.jobs.search import SearchTraces
from tracestore.query.jobs.tags import ListNames, ListValues, Narrowing
from tracestore.query.jobs.trace import GetTrace
from tracestore.query.metrics import MetricsParams
from tracestore.query.ordering import Cursor, Sort
from tracestore.query.search import SearchParams
from tracestore.query.source import SpanSource

USUAL = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate],  # shrinking such cases takes minutes
)
pytestmark = pytest.mark.timeout(7200)
SOURCES = 4

windows = st.one_of(
    st.none(),
    st.tuples(st.sampled_from([0, 1, 2, 900, 2000]), st.sampled_from([1, 500, 5001, 9000])).map(
        lambda ms: TimeRange(
            start_ns=EPOCH_NS + ms[0] * MILLISECOND_NS,
            end_ns=EPOCH_NS + (ms[0] + ms[1]) * MILLISECOND_NS,
        )
    ),
)
reaches = st.sampled_from([None, 0, 1000 * MILLISECOND_NS])
owners = st.lists(st.integers(0, 2), min_size=SOURCES, max_size=SOURCES)


@st.composite
def sources(draw: st.DrawFn) -> list[SpanSource]:
    """Draw the spans of a few traces over some sources, and what the sources are."""
    placed: list[Placed] = draw(placed_spans(sources=SOURCES))
    made: list[Maker] = draw(st.lists(makers, min_size=SOURCES, max_size=SOURCES))
    chunk = draw(st.sampled_from([1, 3, 1000]))
    return [make(request_for(placed, n), str(n), chunk, 512) for n, make in enumerate(made)]


def checked(text: str) -> str:
    try:
        check(traceql.parse(text))
    except traceql.QueryError:
        assume(False)
    return text


@USUAL
@given(
    sources=sources(),
    owners=owners,
    text=queries(),
    limit=st.integers(1, 4),
    window=windows,
    reach=reaches,
    sort=st.sampled_from(Sort),
    count=st.booleans(),
)
def test_searches(
    sources: list[SpanSource],
    owners: list[int],
    text: str,
    limit: int,
    window: TimeRange | None,
    reach: int | None,
    sort: Sort,
    count: bool,
) -> None:
    params = SearchParams(
        limit=limit,
        spans_per_span_set=3,
        window=window,
        reach_ns=reach,
        sort=sort,
        count=count,
        query=text,
    )
    operation = SearchTraces(text=checked(text), params=params)
    assume(operation.is_divisible)
    note(text)

    while True:
        whole = operation.answer(sources, site())
        combined = ask_in_parts(operation, sources, owners)
        # written out, so that NaN equals NaN
        assert repr(combined.traces) == repr(whole.traces)
        assert (combined.total, combined.next_cursor) == (whole.total, whole.next_cursor)
        assert combined.stats.total_jobs == whole.stats.total_jobs
        if not whole.next_cursor:
            break
        after = Cursor.decode(whole.next_cursor, query=text, sort=sort)
        operation = replace(operation, params=replace(params, cursor=after))


@USUAL
@given(
    sources=sources(),
    owners=owners,
    text=metrics_queries(),
    begin_ms=st.sampled_from([-4000, -1000, -1, 0, 1, 999]),
    step_ms=st.sampled_from([1, 2, 500, 1000, 4000]),
    count=st.integers(1, 9),
    reach=reaches,
)
def test_metrics(
    sources: list[SpanSource],
    owners: list[int],
    text: str,
    begin_ms: int,
    step_ms: int,
    count: int,
    reach: int | None,
) -> None:
    grid = Grid(
        origin_ns=EPOCH_NS + begin_ms * MILLISECOND_NS,
        step_ns=step_ms * MILLISECOND_NS,
        count=count,
    )
    params = MetricsParams(grid=grid, exemplars=4, reach_ns=reach)
    operation = ComputeMetrics(text=checked(text), is_instant=False, params=params)
    note(text)

    try:
        whole = operation.answer(sources, site())
    except InvalidRequestError:
        with pytest.raises(InvalidRequestError, match="several spansets"):
            ask_in_parts(operation, sources, owners)
        return
    combined = ask_in_parts(operation, sources, owners)

    # sums of floats are added in another order
    assert differences(written(combined), written(whole), tolerance=1e-12) == []
    # written out, so that NaN equals NaN
    assert repr([one.labels for one in combined.series]) == repr(
        [one.labels for one in whole.series]
    )
    assert combined.message == whole.message
    shown = sum(len(one.exemplars) for one in combined.series)
    assert shown <= 4
    assert bool(shown) == any(one.exemplars for one in whole.series)


filters = st.sampled_from(
    [
        "",
        *BROAD_FILTERS,
        "{ kind = server || status = error }",
        '{ rootName != "a" }',
        '{ .a = "a" }',
        '{ parent.a = "a" || kind = server }',
    ]
)


@st.composite
def narrowings(draw: st.DrawFn) -> Narrowing:
    """Draw what narrows names and values."""
    return Narrowing(
        filter=draw(filters),
        window=draw(windows),
        reach_ns=draw(reaches),
        limit=draw(st.sampled_from([0, 1, 3])),
        bytes_max=100_000,
    )


@USUAL
@given(
    sources=sources(),
    owners=owners,
    narrowing=narrowings(),
    scopes=st.sets(st.sampled_from(TagScope)),
    bytes_max=st.sampled_from([0, 3, 30]),
)
def test_names(
    sources: list[SpanSource],
    owners: list[int],
    narrowing: Narrowing,
    scopes: set[TagScope],
    bytes_max: int,
) -> None:
    narrowing = replace(narrowing, bytes_max=bytes_max)
    operation = ListNames(scopes=tuple(sorted(scopes)), narrowing=narrowing)

    whole = operation.answer(sources, site())
    combined = ask_in_parts(operation, sources, owners)

    assert combined.scopes == whole.scopes


@USUAL
@given(
    sources=sources(),
    owners=owners,
    narrowing=narrowings(),
    tag=st.sampled_from(
        [".a", ".n", "span.b", "resource.service.name", "event.a", "name", "rootName", "kind", "id"]
    ),
    is_legacy=st.booleans(),
)
def test_values(
    sources: list[SpanSource],
    owners: list[int],
    narrowing: Narrowing,
    tag: str,
    is_legacy: bool,
) -> None:
    operation = ListValues(tag=tag, is_legacy=is_legacy, narrowing=narrowing)
    note(tag)

    try:
        whole = operation.answer(sources, site())
    except InvalidRequestError:
        assume(False)
    combined = ask_in_parts(operation, sources, owners)

    assert list(combined.values) == list(whole.values)


@USUAL
@given(
    sources=sources(),
    owners=owners,
    number=st.sampled_from([*TRACES, 0xAB]),
    filter=st.sampled_from(["", "{ kind = server }", '{ .a = "a" }', "{ parent.n > 0 }"]),
)
def test_traces(sources: list[SpanSource], owners: list[int], number: int, filter: str) -> None:
    operation = GetTrace(trace_id=number.to_bytes(16, "big"), filter=filter)

    whole = operation.answer(sources, site())
    combined = ask_in_parts(operation, sources, owners)

    assert (combined is None) == (whole is None)
    if combined is None or whole is None:
        return
    assert combined.found.otlp == whole.found.otlp
    assert combined.found.spans == whole.found.spans
    assert combined.matched == whole.matched

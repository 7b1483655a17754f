"""Weighted series are those of the naive evaluator that counts a span of weight w as w spans.

A long run: ``pytest --hypothesis-profile=long tests/properties/test_extrapolation.py``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, note, settings
from hypothesis import strategies as st
from support.golden_series import Written, differences, labels_text, written
from support.jobs import ask_in_parts
from support.metrics_queries import metrics_queries
from support.naive_metrics import Intervals, compute
from support.naive_pipelines import SeveralSpansetsError
from support.naive_spans import SpanOf, TraceOf, read_traces
from support.otlp import EPOCH_NS
from support.query import run_metrics
from support.search_cases import Placed, placed_spans, request_for
from support.written_blocks import write_block

import traceql
from traceql import nodes
from traceql.check import check
from tracestore.errors import InvalidRequestError
from tracestore.kernel import build_tables
from tracestore.model.series import Grid
from tracestore.model.times import MILLISECOND_NS
from tracestore.query.block_source import BlockSource
from tracestore.query.jobs.metrics import ComputeMetrics
from tracestore.query.metrics import MetricsParams
from tracestore.query.source import SpanSource
from tracestore.query.tables_source import TablesSource
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.weights import with_weights
from tracestore.storage.objects.memory import MemoryObjectStore

SLOW = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
pytestmark = pytest.mark.timeout(7200)
SOURCES = 3
STATES = {
    "": 1.0,
    "ot=th:8": 2.0,
    "rojo=00f067aa0ba902b7, ot=rv:7c0000000000a1;th:c": 4.0,
    "ot=th:0": 1.0,
    "ot=th:zz": 1.0,
    "other=th:8": 1.0,
}
WEIGHTS = (1.0, 1.0, 10.0, 2.5, 1 / 0.3)


def with_states(placed: list[Placed], seed: int) -> list[Placed]:
    rng = random.Random(seed)
    for each in placed:
        each.span.trace_state = rng.choice([*STATES, "", "", ""])
    return placed


def sources_of(
    placed: list[Placed], weights: dict[bytes, float], are_blocks: Sequence[bool]
) -> list[SpanSource]:
    found: list[SpanSource] = []
    for number, is_block in enumerate(are_blocks):
        tables = build_tables([request_for(placed, number)])
        ids = tables.traces["trace_id"].to_pylist()
        own = np.array([weights[one] for one in ids])
        if (own != 1).any():  # else there is no column, as in blocks without sampling
            tables = with_weights(tables, own)
        if not is_block or not ids:
            found.append(TablesSource(tables, str(number), spans_per_chunk=3))
            continue
        store = MemoryObjectStore()
        block = f"0190b6f0-0000-7000-8000-00000000000{number}"
        how = BlockSettings(row_group_spans=3)
        meta = write_block(store, tables, settings=how, block=block)
        found.append(BlockSource(store, meta, BlockCache(1 << 20)))
    return found


grids = st.builds(
    lambda step_ms, begin_ms, count: Grid(
        origin_ns=EPOCH_NS + begin_ms * MILLISECOND_NS,
        step_ns=step_ms * MILLISECOND_NS,
        count=count,
    ),
    st.sampled_from([2, 500, 4000]),
    st.sampled_from([-4000, -1, 0]),
    st.integers(1, 5),
)


@SLOW
@given(
    text=metrics_queries(),
    placed=placed_spans(sources=SOURCES),
    are_blocks=st.tuples(*[st.booleans()] * SOURCES),
    grid=grids,
    seed=st.integers(0, 1000),
)
def test_a_span_counts_as_many_times_as_it_stands_for(
    text: str, placed: list[Placed], are_blocks: tuple[bool, ...], grid: Grid, seed: int
) -> None:
    query = traceql.parse(text)
    try:
        check(query)
    except traceql.QueryError:
        assume(False)
    assert not isinstance(query.body, nodes.Pipeline)
    rng = random.Random(seed)
    requests = [request_for(with_states(placed, seed), number) for number in range(SOURCES)]
    traces = read_traces(requests)
    weights = {trace.id: rng.choice(WEIGHTS) for trace in traces}
    sources = sources_of(placed, weights, are_blocks)
    intervals = Intervals(origin_ns=grid.origin_ns, step_ns=grid.step_ns, count=grid.count)
    note(text)

    def weigh(span: SpanOf, trace: TraceOf) -> float:
        return weights[trace.id] * STATES[span.message.trace_state]

    try:
        naive = compute(traces, query.body, intervals, weigh)
    except SeveralSpansetsError:
        with pytest.raises(InvalidRequestError, match="several spansets"):
            run_metrics(sources, f"{text} with(extrapolate=true)", grid)
        return
    expected: Written = {labels_text(one): tuple(samples) for one, samples in naive}
    found = run_metrics(sources, f"{text} with(extrapolate=true)", grid, exemplars=4)
    assert differences(written(found), expected, tolerance=1e-9) == []

    params = MetricsParams(grid=grid)
    operation = ComputeMetrics(
        text=f"{text} with(extrapolate=true)", is_instant=False, params=params
    )
    in_parts = ask_in_parts(operation, sources, [rng.randrange(2) for _ in sources])
    assert differences(written(in_parts), expected, tolerance=1e-9) == []

    plain = {
        labels_text(one): tuple(samples) for one, samples in compute(traces, query.body, intervals)
    }
    for hint in ("", " with(extrapolate=false)", " with(extrapolate=1)"):
        assert (
            differences(written(run_metrics(sources, text + hint, grid)), plain, tolerance=1e-9)
            == []
        )

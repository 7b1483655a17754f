"""Collections of metrics for tests: drawn ones, and one that looks like span metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from tracestore.model.collection import (
    Collection,
    Exemplars,
    Family,
    Labels,
    MetricType,
    NativeHistograms,
)
from tracestore.model.ids import SINGLE_TENANT, TenantId

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
NUMBERS = st.one_of(st.floats(width=64), st.integers(0, 2**50).map(float))
TIMES = st.one_of(st.integers(1_600_000_000_000, 1_900_000_000_000), st.integers(0, 2**45))


@st.composite
def label_sets(draw: st.DrawFn) -> Labels:
    names = draw(st.sets(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), max_size=5))
    pairs = {"__name__": draw(st.sampled_from(["a_total", "b_bucket", "c"]))}
    pairs |= {name: draw(TEXTS) for name in sorted(names)}
    return tuple(sorted(pairs.items()))


@st.composite
def histograms(draw: st.DrawFn, numbers: Sequence[int]) -> NativeHistograms:
    counts = st.integers(0, 2**40).map(float) if draw(st.booleans()) else st.floats(0, 1e9)
    count = len(numbers)
    buckets = [
        sorted(draw(st.dictionaries(st.integers(-50, 50), counts, max_size=8)).items())
        for _ in numbers
    ]
    return NativeHistograms(
        series=np.array(numbers, np.int64),
        schema=np.array(draw(st.lists(st.integers(-4, 8), min_size=count, max_size=count)), "i4"),
        counts=np.array([draw(counts) for _ in numbers], np.float64),
        sums=np.array([draw(st.floats(0, 1e9)) for _ in numbers], np.float64),
        zero_counts=np.array([draw(counts) for _ in numbers], np.float64),
        zero_threshold=draw(st.sampled_from([0.0, 2.0**-128])),
        first_bucket=np.cumsum([0] + [len(each) for each in buckets]),
        bucket_index=np.array([i for each in buckets for i, _ in each], np.int32),
        bucket_counts=np.array([n for each in buckets for _, n in each], np.float64),
        is_reset=np.array([draw(st.booleans()) for _ in numbers], np.bool_),
    )


@st.composite
def collections(draw: st.DrawFn) -> Collection:
    """Any collection: samples in any order, several of a series, exemplars, native histograms."""
    count = draw(st.integers(1, 6))
    numbers = draw(st.lists(st.integers(0, 2**40), min_size=count, max_size=count, unique=True))
    labels = {number: draw(label_sets()) for number in numbers}
    classic = draw(st.lists(st.sampled_from(numbers), max_size=8))
    native = sorted(set(numbers) - set(classic))
    named = [number for number in numbers if number in classic or number in native]
    marked = draw(st.lists(st.sampled_from(named), max_size=4))
    families = {
        number: Family(
            name=f"family_{number % 3}",
            type=draw(st.sampled_from(list(MetricType))),
            help=draw(st.sampled_from(["", "what it is", 'quotes " and \\ and\nlines'])),
        )
        for number in numbers
    }
    return Collection(
        tenant=TenantId("team-a"),
        time_ms=draw(TIMES),
        series=np.array(classic, np.int64),
        values=np.array([draw(NUMBERS) for _ in classic], np.float64),
        times_ms=np.array([draw(TIMES) for _ in classic], np.int64),
        labels=labels,
        families=families,
        exemplars=Exemplars(
            series=np.array(marked, np.int64),
            values=np.array([draw(NUMBERS) for _ in marked], np.float64),
            times_ms=np.array([draw(TIMES) for _ in marked], np.int64),
            label="traceID",
            trace_ids=[f"{draw(st.integers(1, 2**128 - 1)):x}" for _ in marked],
        ),
        histograms=draw(histograms(native)) if native else None,
    )


def counters(
    time_ms: int,
    values: Sequence[float],
    *,
    tenant: str = SINGLE_TENANT,
    name: str = "calls_total",
    generation: int = 0,
) -> Collection:
    """One counter family; the series are told apart by a label ``n``."""
    count = len(values)
    return Collection(
        tenant=TenantId(tenant),
        time_ms=time_ms,
        series=np.arange(count, dtype=np.int64),
        values=np.array(values, np.float64),
        times_ms=np.full(count, time_ms, np.int64),
        labels={i: (("__name__", name), ("n", str(i))) for i in range(count)},
        families={
            i: Family(name=name, type=MetricType.COUNTER, help="Calls.") for i in range(count)
        },
        generation=generation,
    )

"""Strategies: metrics queries over the values of ``search_cases``.

A drawn query may be one that ``check`` refuses; nothing else is wrong with it.
"""

from __future__ import annotations

from hypothesis import strategies as st
from support.search_queries import (
    broad_filters,
    generic,
    id_fields,
    int_fields,
    queries,
    string_fields,
)

fields = st.one_of(
    generic,
    generic,
    string_fields,
    id_fields,
    int_fields,
    st.sampled_from(["status", "kind", "name", "duration", "traceDuration", "rootName", "parent"]),
)
by_lists = st.one_of(
    st.just(""),
    st.lists(fields, min_size=1, max_size=4, unique=True).map(
        lambda each: f"by({', '.join(each)})"
    ),
)
summed = st.sampled_from(
    [".n", "span.n", "resource.n", "event.n", "duration", "traceDuration", "span:childCount"]
)
ordered = st.one_of(summed, generic)
bucketed = st.one_of(summed, generic, st.just("event:timeSinceStart"))
quantile_lists = st.sampled_from([".5", "0", "1", "0.9, 0.5", ".25, .5, .99", ".1"])
filters = st.sampled_from(["{}", "{ status = error }", "{ kind = server }", "{ .n > 0 }"])
windows = st.sampled_from(["", ", 1000", ", 1000, 1700000040001000000, 1700000041000000000"])


@st.composite
def functions(draw: st.DrawFn) -> str:
    """Draw any function but ``compare``."""
    name = draw(
        st.sampled_from(
            ["count", "rate", "count", "min", "max", "sum", "avg", "quantile", "histogram"]
        )
    )
    by = draw(by_lists)
    match name:
        case "rate":
            return f"rate() {by}"
        case "count":
            return f"count_over_time() {by}"
        case "min" | "max":
            return f"{name}_over_time({draw(ordered)}) {by}"
        case "sum" | "avg":
            return f"{name}_over_time({draw(summed)}) {by}"
        case "quantile":
            return f"quantile_over_time({draw(bucketed)}, {draw(quantile_lists)}) {by}"
    return f"histogram_over_time({draw(bucketed)}) {by}"


selections = st.one_of(broad_filters, broad_filters, queries())
metrics = st.tuples(selections, functions()).map(" | ".join)
second_stages = st.lists(
    st.sampled_from(
        ["| topk(1)", "| topk(2)", "| bottomk(1)", "| bottomk(2)", "> 0", ">= 1", "= 0", "< 2"]
    ),
    max_size=2,
).map(" ".join)
numbers = st.sampled_from(["2", "0.5", "0", "-1"])


@st.composite
def math(draw: st.DrawFn) -> str:
    """Draw arithmetic of series, with numbers among them."""
    sides = [f"({draw(metrics)} {draw(second_stages)})" for _ in range(2)]
    if draw(st.booleans()):
        by = draw(by_lists)
        sides = [f"({draw(broad_filters)} | {f}() {by})" for f in ("count_over_time", "rate")]
    if draw(st.booleans()):
        sides[draw(st.integers(0, 1))] = draw(numbers)
    return f"{sides[0]} {draw(st.sampled_from(list('+-*/')))} {sides[1]} {draw(second_stages)}"


comparisons = st.tuples(selections, filters, windows).map(
    lambda drawn: f"{drawn[0]} | compare({drawn[1]}{drawn[2]})"
)


@st.composite
def metrics_queries(draw: st.DrawFn) -> str:
    """Draw any metrics query."""
    plain = st.tuples(metrics, second_stages).map(" ".join)
    return draw(st.one_of(plain, plain, plain, math(), comparisons))

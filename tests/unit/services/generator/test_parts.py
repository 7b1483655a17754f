"""Native histograms, filter policies, weights of trace states, texts of values."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.generator import Counted
from support.otlp import request, span

from tracestore.model.span_metrics import dimension_label, le_text, le_texts
from tracestore.services.generator.histograms import (
    NativeHistogram,
    Observations,
    bucket_indexes,
    schema_of,
)
from tracestore.services.generator.reading import float_text
from tracestore.services.generator.weights import multipliers
from tracestore.settings.generator_limits import (
    GeneratorLimits,
    TenantProcessors,
    TenantServiceGraphs,
    TenantSpanMetrics,
)
from tracestore.settings.generator_tree import (
    DimensionMapping,
    FilterPolicy,
    PolicyAttribute,
    PolicyMatch,
)


def observed(seconds: list[float], places: list[int] | None = None) -> Observations:
    at = np.zeros(len(seconds), np.int32) if places is None else np.array(places, np.int32)
    return Observations(
        places=at,
        seconds=np.array(seconds),
        weights=None,
        trace_ids=np.zeros((len(seconds), 2), np.uint64),
    )


@pytest.mark.parametrize(
    ("factor", "schema"),
    [(1.1, 3), (2.0, 0), (1.05, 4), (1.0001, 8), (65536.0, -4), (4.0, -1)],
)
def test_the_schema_is_the_coarsest_whose_buckets_are_narrow_enough(
    factor: float, schema: int
) -> None:
    found = schema_of(factor)
    assert found == schema
    assert found == 8 or 2 ** (2**-found) <= factor


@given(st.floats(1e-9, 1e6), st.integers(-4, 8))
def test_a_bucket_holds_what_lies_between_its_bounds(seconds: float, schema: int) -> None:
    (index,) = bucket_indexes(np.array([seconds]), np.array([schema], np.int32))
    base = 2.0 ** (2.0**-schema)
    assert base ** (index - 1) * (1 - 1e-9) < seconds <= base**index * (1 + 1e-9)


def test_powers_of_the_base_are_the_upper_bounds_of_their_buckets() -> None:
    exponents = np.arange(-30, 20)
    found = bucket_indexes(np.exp2(exponents), np.full(len(exponents), 3, np.int32))
    assert found.tolist() == (exponents * 8).tolist()


def make_native(**changes: object) -> NativeHistogram:
    fields = {"factor": 2.0, "buckets_max": 3, "reset_s": 100.0} | changes
    made = NativeHistogram("x", "help", **fields)  # type: ignore[arg-type]
    made.resize(2)
    return made


def test_a_native_histogram_counts_zeros_apart() -> None:
    made = make_native()
    made.observe(observed([0.0, 1.0, 2.0, 2.0], [0, 0, 1, 0]), 0.0)
    rows = made.rows(np.array([0, 1]), forget=True)
    assert rows.counts.tolist() == [3, 1]
    assert rows.zero_counts.tolist() == [1, 0]
    assert rows.sums.tolist() == [3, 2]
    assert rows.first_bucket.tolist() == [0, 2, 3]
    assert rows.bucket_index.tolist() == [0, 1, 1]
    assert rows.bucket_counts.tolist() == [1, 1, 1]


def test_too_many_buckets_make_it_coarser_and_later_begin_it_anew() -> None:
    made = make_native()
    made.observe(observed([1.0, 2.0, 4.0, 8.0]), 0.0)
    rows = made.rows(np.array([0]), forget=True)
    assert rows.schema.tolist() == [-1]
    assert rows.bucket_index.tolist() == [0, 1, 2]  # up to 1, 4 and 16
    assert rows.bucket_counts.tolist() == [1, 2, 1]
    assert not rows.is_reset.any()
    made.observe(observed([1e6]), 200.0)
    rows = made.rows(np.array([0]), forget=True)
    assert rows.is_reset.tolist() == [True]
    assert rows.schema.tolist() == [0]
    assert rows.counts.tolist() == [0], "what it held goes with it"
    assert not made.rows(np.array([0]), forget=True).is_reset.any()


def test_a_native_histogram_keeps_the_label_sets_that_stay() -> None:
    made = make_native()
    made.observe(observed([1.0, 2.0], [0, 1]), 0.0)
    made.keep(np.array([1]))
    rows = made.rows(np.array([0]), forget=True)
    assert (rows.bucket_index.tolist(), rows.counts.tolist()) == ([1], [1])


def policy(kind: str, match: str, /, **conditions: str | int) -> FilterPolicy:
    attributes = tuple(
        PolicyAttribute(key=key.replace("__", "."), value=value)
        for key, value in conditions.items()
    )
    return FilterPolicy(**{kind: PolicyMatch(match_type=match, attributes=attributes)})


SPANS = {
    "shop GET": ("shop", "server", "ok", {"code": 200}),
    "shop POST": ("shop", "server", "error", {"code": 500}),
    "web GET": ("web", "client", "ok", {"code": 200}),
    "web idle": ("web", "internal", None, {}),
}


@pytest.mark.parametrize(
    ("policies", "kept"),
    [
        ((policy("include", "strict", kind="SPAN_KIND_SERVER"),), {"shop GET", "shop POST"}),
        ((policy("include", "strict", span__code=200),), {"shop GET", "web GET"}),
        ((policy("include", "strict", span__code="200"),), {"shop GET", "web GET"}),
        ((policy("include", "regex", kind="SERVER|CLIENT", name="GET"),), {"shop GET", "web GET"}),
        ((policy("exclude", "regex", resource__service__name="^s"),), {"web GET", "web idle"}),
        ((policy("exclude", "strict", span__nothing="x"),), set(SPANS)),
        (
            (
                policy("include", "strict", status="STATUS_CODE_OK"),
                policy("include", "strict", resource__service__name="web"),
            ),
            {"web GET"},
        ),
        (
            (
                policy("include_any", "strict", name="web idle"),
                policy("include_any", "strict", name="shop POST"),
            ),
            {"web idle", "shop POST"},
        ),
        (
            (
                policy("include", "strict", resource__service__name="shop"),
                policy("include_any", "strict", name="web idle"),
                policy("exclude", "strict", status="STATUS_CODE_ERROR"),
            ),
            {"shop GET", "web idle"},
        ),
    ],
)
def test_policies_choose_spans(policies: tuple[FilterPolicy, ...], kept: set[str]) -> None:
    overrides = TenantProcessors(span_metrics=TenantSpanMetrics(filter_policies=policies))
    counted = Counted(("span-metrics-count",), overrides=overrides)
    for name, (service, kind, status, attributes) in SPANS.items():
        one = span(trace=1, id=1, name=name, kind=kind, status=status, attributes=attributes)
        counted.take(request(resource={"service.name": service}, spans=[one]))
    assert {dict(labels)["span_name"] for labels in counted.values()} == kept
    name = "tempo_metrics_generator_spans_discarded_total"
    labels = {"reason": "span_metrics_filtered", "processor": "span-metrics"}
    discarded = counted.metrics.value(name, tenant="single-tenant", **labels)
    assert discarded == len(SPANS) - len(kept)


@pytest.mark.parametrize("is_client_first", [False, True])
def test_a_side_that_is_dropped_takes_the_other_with_it(is_client_first: bool) -> None:
    dropping = policy("exclude", "strict", resource__service__name="shop")
    overrides = TenantProcessors(service_graphs=TenantServiceGraphs(filter_policies=(dropping,)))
    counted = Counted(("service-graphs",), overrides=overrides)
    sides = [
        request(
            resource={"service.name": "web"},
            spans=[span(trace=1, id=1, kind="client", attributes={"peer.service": "shop"})],
        ),
        request(
            resource={"service.name": "shop"}, spans=[span(trace=1, id=2, parent=1, kind="server")]
        ),
    ]
    counted.take(*(sides if is_client_first else reversed(sides)))
    counted.clock.advance(30)
    counted.tenant.expire()
    assert counted.values() == {}
    labels = {"reason": "service_graphs_filtered", "processor": "service-graphs"}
    name = "tempo_metrics_generator_spans_discarded_total"
    assert counted.metrics.value(name, tenant="single-tenant", **labels) == 2


def test_trace_states_say_how_much_a_span_counts() -> None:
    states = ["", "ot=th:8", "a=b,ot=rv:1;th:c;x:y", "ot=th:0", "xot=th:8", "ot=th:zz", "ot=p:8"]
    found = multipliers(pa.array(states, pa.string()))
    assert found[1:4].tolist() == [2.0, 4.0, 1.0]
    assert all(math.isnan(found[at]) for at in (0, 4, 5, 6))


def test_the_trace_state_has_priority_over_the_attribute() -> None:
    overrides = TenantProcessors(
        span_metrics=TenantSpanMetrics(
            span_multiplier_key="ratio", enable_tracestate_span_multiplier=True
        )
    )
    counted = Counted(("span-metrics-count",), overrides=overrides)
    both = span(trace=1, id=1, name="a", trace_state="ot=th:8", attributes={"ratio": 0.1})
    own = span(trace=1, id=2, name="b", attributes={"ratio": 0.1})
    number = span(trace=1, id=3, name="c", attributes={"ratio": 1})
    counted.take(request(spans=[both, own, number]))
    values = {dict(labels)["span_name"]: value for labels, value in counted.values().items()}
    assert values == {"a": 2.0, "b": 10.0, "c": 1.0}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("classic", {"_bucket", "_sum", "_count"}),
        ("native", set()),
        ("both", {"_bucket", "_sum", "_count"}),
    ],
)
def test_kinds_of_histograms(kind: str, names: set[str]) -> None:
    limits = GeneratorLimits(
        processors=("span-metrics-latency",),
        ingestion_time_range_slack_s=1e9,
        generate_native_histograms=kind,
    )
    counted = Counted(limits=limits)
    counted.take(request(spans=[span(trace=1, id=1, duration_ms=1000)]))
    base = "traces_spanmetrics_latency"
    assert {dict(labels)["__name__"].removeprefix(base) for labels in counted.values()} == names
    collection = counted.tenant.collect()
    assert collection is not None
    if kind == "classic":
        assert collection.histograms is None
        return
    assert collection.histograms is not None
    (number,) = collection.histograms.series.tolist()
    assert dict(collection.labels[number])["__name__"] == base
    assert collection.families[number].name == base
    assert collection.histograms.bucket_index.tolist() == [0]


def test_mappings_join_the_attributes_that_are_there() -> None:
    mappings = (
        DimensionMapping(name="where", source_labels=("service.name", "zone", "rack"), join="/"),
        DimensionMapping(name="service", source_labels=("zone",)),
    )
    overrides = TenantProcessors(span_metrics=TenantSpanMetrics(dimension_mappings=mappings))
    counted = Counted(("span-metrics-count",), overrides=overrides)
    one = span(trace=1, id=1, attributes={"rack": 7, "zone": ""})
    other = span(trace=1, id=2, attributes={"zone": "z"})
    counted.take(request(resource={"service.name": "shop"}, spans=[one, other]))
    found = {(dict(labels)["where"], dict(labels).get("__service")) for labels in counted.values()}
    assert found == {("shop/7", None), ("shop/z", "z")}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1e30, "1" + "0" * 30), (1e-7, "0.0000001"), (0.1, "0.1"), (3.0, "3"), (-0.0, "-0"),
     (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN")],
)  # fmt: skip
def test_numbers_are_written_without_exponents(value: float, expected: str) -> None:
    assert float_text(value) == expected
    counted = Counted(
        ("span-metrics-count",),
        overrides=TenantProcessors(span_metrics=TenantSpanMetrics(dimensions=("x",))),
    )
    for number in range(10):  # the first few have no column
        counted.take(request(spans=[span(trace=1, id=number + 1, attributes={"x": value})]))
    (labels,) = counted.values()
    assert dict(labels)["x"] == expected


def test_bounds_are_written_plainly() -> None:
    assert le_texts((0.002, 1.024, 16.384, 1.0, 1e-7, 100.0)) == (
        "0.002", "1.024", "16.384", "1", "0.0000001", "100", "+Inf",
    )  # fmt: skip
    assert le_text(1e21) == "1000000000000000000000"


def test_dimensions_do_not_hide_labels_of_ours() -> None:
    assert dimension_label("service") == "__service"
    assert dimension_label("http.status-code") == "http_status_code"

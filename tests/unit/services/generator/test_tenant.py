"""The metrics of a tenant: limits, staleness, first samples, exemplars, changed settings."""

from __future__ import annotations

import dataclasses

import pytest
from support.generator import BOTH, Counted, settings_of, values_of
from support.otlp import EPOCH_NS, request, span

from tracestore.kernel import RequestCheck, check
from tracestore.model.ids import BlockId
from tracestore.services.generator import tenant as module
from tracestore.services.generator.service import HeadTap
from tracestore.services.generator.tenant import RetiredError
from tracestore.services.ingester.head import Head
from tracestore.settings.generator_limits import (
    GeneratorLimits,
    TenantProcessors,
    TenantServiceGraphs,
    TenantSpanMetrics,
)
from tracestore.settings.generator_tree import IntrinsicDimensions, RegistrySettings
from tracestore.settings.text_map import TextMap

CALLS = "traces_spanmetrics_calls_total"
OVERFLOW = (("__name__", CALLS), ("metric_overflow", "true"))


def named(name: str, *, service: str = "shop", trace: int = 1, **fields: object) -> bytes:
    one = span(trace=trace, id=1, name=name, **fields)  # type: ignore[arg-type]
    return request(resource={"service.name": service}, spans=[one])


def limits(**changes: object) -> GeneratorLimits:
    base = GeneratorLimits(processors=("span-metrics-count",), ingestion_time_range_slack_s=1e9)
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def calls(counted: Counted) -> dict[str, float]:
    """Get the calls by name of span."""
    return {
        dict(labels).get("span_name", ""): value
        for labels, value in counted.values().items()
        if dict(labels)["__name__"] == CALLS
    }


def test_further_label_sets_than_there_may_be_are_one_series() -> None:
    counted = Counted(limits=limits(max_active_series=2))
    counted.take(named("a"), named("b"), named("c"), named("d"), named("a"))
    assert calls(counted) == {"a": 2, "b": 1, "": 2}
    assert counted.values()[OVERFLOW] == 2
    name = "tempo_metrics_generator_registry_series_limited_total"
    assert counted.metrics.value(name, tenant="single-tenant") == 2


def test_the_limit_counts_every_series_of_a_label_set() -> None:
    counted = Counted(limits=limits(max_active_series=19, processors=("span-metrics",)))
    counted.take(named("a"), named("b"))
    assert calls(counted) == {"a": 1, "": 1}


def test_entities_are_limited_instead_if_it_says_so() -> None:
    settings = settings_of(limiter_type="entity")
    some = limits(max_active_series=1, max_active_entities=2, processors=("span-metrics",))
    counted = Counted(settings=settings, limits=some)
    counted.take(named("a"), named("b"), named("c"))
    assert calls(counted) == {"a": 1, "b": 1, "": 1}


def test_values_of_a_label_beyond_their_limit_become_one() -> None:
    counted = Counted(limits=limits(max_cardinality_per_label=2))
    counted.take(named("a"), named("b"), named("c"), named("a"))
    counted.take(named("d"))
    assert calls(counted) == {"a": 2, "b": 1, "__cardinality_overflow__": 2}


def test_series_that_nothing_touches_go_and_begin_again_at_zero() -> None:
    settings = settings_of(registry=RegistrySettings(stale_duration_s=60))
    counted = Counted(settings=settings, limits=limits())
    counted.take(named("a"), named("b"))
    counted.clock.advance(50)
    counted.take(named("b"))
    counted.clock.advance(50)
    counted.tenant.prune()
    assert calls(counted) == {"b": 2}
    name = "tempo_metrics_generator_registry_series_removed_total"
    assert counted.metrics.value(name, tenant="single-tenant") == 1
    counted.take(named("a"))
    assert calls(counted) == {"a": 1, "b": 2}


def test_numbers_of_series_never_come_again() -> None:
    counted = Counted(limits=limits())
    counted.take(named("a"))
    before = counted.tenant.latest()
    assert before is not None
    counted.clock.advance(10_000)
    counted.tenant.prune()
    counted.take(named("b"))
    after = counted.tenant.latest()
    assert after is not None
    assert not set(before.series.tolist()) & set(after.series.tolist())
    (number,) = before.series.tolist()
    assert dict(before.labels[number])["span_name"] == "a", "names are those of their time"


def test_texts_that_nothing_uses_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNUSED_TEXTS_MIN", 4)
    settings = settings_of(registry=RegistrySettings(stale_duration_s=60))
    counted = Counted(settings=settings, limits=limits(processors=BOTH))
    for number in range(50):
        counted.take(named(f"name {number}"))
    counted.clock.advance(61)
    client = span(trace=5, id=7, kind="client", name="call")
    counted.take(request(resource={"service.name": "web"}, spans=[client]))
    counted.tenant.prune()
    server = span(trace=5, id=8, parent=7, kind="server", name="call")
    counted.take(request(resource={"service.name": "shop"}, spans=[server]))
    assert len(counted.reader.vocabulary) < 25, "it was made anew"
    assert counted.value("traces_service_graph_request_total", client="web", server="shop") == 1
    services = sorted(dict(labels)["service"] for labels in counted.values() if names(labels))
    assert services == ["shop", "web"]


def names(labels: tuple[tuple[str, str], ...]) -> bool:
    return ("__name__", CALLS) in labels


def test_new_counters_are_zero_at_the_end_of_the_minute_before() -> None:
    counted = Counted(limits=limits(processors=("span-metrics",)))
    counted.take(named("a"))
    collection = counted.tenant.collect()
    assert collection is not None
    minute_ms = collection.time_ms // 60_000 * 60_000
    early = values_of(collection, lambda at: collection.times_ms[at] == minute_ms - 1)
    present = values_of(collection)
    assert set(early.values()) == {0.0}
    without = {dict(labels)["__name__"] for labels in present.keys() - early.keys()}
    assert without == {"traces_spanmetrics_latency_sum"}
    again = counted.tenant.collect()
    assert again is not None
    assert (again.times_ms == again.time_ms).all()


def test_looking_at_series_changes_nothing() -> None:
    counted = Counted(limits=limits(processors=("span-metrics",)))
    counted.take(named("a"))
    assert counted.tenant.latest() is not None
    collection = counted.tenant.collect()
    assert collection is not None
    assert (collection.times_ms < collection.time_ms).any()
    assert collection.exemplars is not None


def test_the_last_span_of_a_bucket_is_its_exemplar_without_leading_zeros() -> None:
    counted = Counted(limits=limits(processors=("span-metrics",), trace_id_label_name="trace"))
    counted.take(named("a", trace=0xABC, duration_ms=3), named("a", trace=0xDEF, duration_ms=3.5))
    collection = counted.tenant.collect()
    assert collection is not None
    assert collection.exemplars is not None
    assert collection.exemplars.label == "trace"
    assert list(collection.exemplars.trace_ids) == ["def"]
    assert collection.exemplars.values.tolist() == [0.0035]
    (number,) = collection.exemplars.series.tolist()
    assert dict(collection.labels[number])["le"] == "0.004"
    again = counted.tenant.collect()
    assert again is not None
    assert again.exemplars is None


def test_spans_far_from_now_are_not_counted() -> None:
    counted = Counted(limits=limits(ingestion_time_range_slack_s=30))
    counted.clock.time_ns = EPOCH_NS
    late = named("late", start_ms=-40_000, duration_ms=9_000)
    early = named("early", start_ms=40_000)
    counted.take(late, named("long", start_ms=-40_000, duration_ms=20_000), early)
    assert calls(counted) == {"long": 1}
    name = "tempo_metrics_generator_spans_discarded_total"
    reason = {"reason": "outside_metrics_ingestion_slack", "processor": "all"}
    assert counted.metrics.value(name, tenant="single-tenant", **reason) == 2


def test_only_the_processor_whose_settings_change_begins_again() -> None:
    some = limits(processors=BOTH)
    counted = Counted(limits=some)
    counted.take(named("a", kind="server"))
    counted.clock.advance(11)
    counted.tenant.expire()
    graphs = TenantServiceGraphs(dimensions=("x",))
    changed = dataclasses.replace(some, processor=TenantProcessors(service_graphs=graphs))
    counted.reconfigure(changed)
    assert calls(counted) == {"a": 1}
    assert not [labels for labels in counted.values() if "client" in dict(labels)]
    counted.reconfigure(dataclasses.replace(changed, processors=("service-graphs",)))
    assert calls(counted) == {}
    counted.reconfigure(dataclasses.replace(changed, processors=()))
    assert counted.tenant.latest() is None
    counted.take(named("a"))
    counted.reconfigure(changed)
    counted.take(named("b"))
    assert calls(counted) == {"b": 1}, "what came meanwhile is not counted later"


def test_labels_are_those_of_the_server_too_and_cut() -> None:
    registry = RegistrySettings(
        external_labels=TextMap((("cluster", "eu"),)),
        inject_tenant_id_as="tenant",
        max_label_name_length=22,
        max_label_value_length=5,
    )
    overrides = TenantProcessors(
        span_metrics=TenantSpanMetrics(
            dimensions=("an.attribute.with.a.long.name",),
            intrinsic_dimensions=IntrinsicDimensions(span_kind=False, status_code=False),
        )
    )
    counted = Counted(settings=settings_of(registry=registry), limits=limits(processor=overrides))
    counted.take(named("näääh", attributes={"an.attribute.with.a.long.name": "x"}))
    (found,) = counted.values()
    assert dict(found) == {
        "__name__": CALLS,
        "an_attribute_with_a_lo": "x",
        "cluster": "eu",
        "service": "shop",
        "span_name": "nää",
        "tenant": "single-tenant",
    }


def test_target_info_names_resources_once() -> None:
    overrides = TenantProcessors(
        span_metrics=TenantSpanMetrics(
            enable_target_info=True, target_info_excluded_dimensions=("noise",)
        )
    )
    counted = Counted(limits=limits(processor=overrides))
    one = span(trace=1, id=1, name="a")
    resource = {
        "service.name": "shop",
        "service.namespace": "eu",
        "service.instance.id": "7",
        "host.name": "h",
        "host_name": "i",
        "1st": "x",
        "noise": "y",
        "port": 80,
    }
    counted.take(request(resource=resource, spans=[one, one]))
    counted.take(request(resource={"service.name": "bare"}, spans=[one]))
    counted.take(request(resource={"host.name": "h", "new": "key"}, spans=[one]))
    counted.take(request(resource={"service.name": "shop", "new": "key"}, spans=[one]))
    infos = [
        {name: value for name, value in labels if name != "__name__"}
        for labels in counted.values()
        if ("__name__", "traces_target_info") in labels
    ]
    assert infos == [
        {"job": "eu/shop", "instance": "7", "host_name": "i", "port": "80"},
        {"job": "shop", "new": "key"},
    ]
    jobs = {dict(labels).get("job") for labels in counted.values()}
    assert jobs == {"eu/shop", "bare", "shop", None}


def test_host_info_takes_the_first_identifier() -> None:
    counted = Counted(("host-info",))
    one = span(trace=1, id=1)
    counted.take(request(resource={"host.id": "h", "k8s.node.name": "n"}, spans=[one]))
    counted.take(request(resource={"host.id": "h"}, spans=[one]), request(spans=[one]))
    assert counted.values() == {
        (
            ("__name__", "traces_host_info"),
            ("grafana_host_id", "n"),
            ("host_source", "k8s.node.name"),
        ): 1.0,
        (
            ("__name__", "traces_host_info"),
            ("grafana_host_id", "h"),
            ("host_source", "host.id"),
        ): 1.0,
    }


def test_names_of_spans_lose_their_ids_if_wanted() -> None:
    names = [
        "GET /users/123/items/42",
        "GET /users/7/items/9",
        "job 550e8400-e29b-41d4-a716-446655440000",
        "job 3ffe0a00-e29b-41d4-a716-446655440000",
        "GET /api/v2/users",
    ]
    for mode, expected in (
        ("enabled", {"GET /users/<_>/items/<_>": 2, "job <_>": 2, "GET /api/v2/users": 1}),
        ("dry_run", dict.fromkeys(names, 1)),
    ):
        counted = Counted(limits=limits(span_name_sanitization=mode))
        counted.take(*map(named, names))
        assert calls(counted) == expected
        for form, count in (("sent", 5), ("sanitized", 3)):
            labels = {"tenant": "single-tenant", "form": form}
            assert counted.metrics.value("tracestore_generator_span_names", **labels) == count


def test_a_head_counts_what_is_decoded_but_not_what_is_replayed_or_opted_out() -> None:
    counted = Counted(limits=limits())
    head = Head(
        BlockId("00000000-0000-7000-8000-000000000000"),
        attribute_columns_max=512,
        refresh_s=0,
        clock=counted.clock,
        quarantine=lambda request, error: None,
        tap=HeadTap(counted.tenant.tenant, lambda _: counted.tenant, counted.metrics),
    )
    head.load(named("replayed"))

    def take(sent: bytes, checked: RequestCheck, *, tapped: bool) -> None:
        head.expect(sent)
        head.settle(sent, checked, durable=True, tapped=tapped)

    for name, tapped in (("a", True), ("quiet", False), ("b", True)):
        sent = named(name)
        take(sent, check(sent), tapped=tapped)
    assert calls(counted) == {}
    head.decode()
    assert calls(counted) == {"a": 1, "b": 1}
    assert head.spans == 4, "all are stored"


def test_metrics_that_were_let_go_take_nothing() -> None:
    counted = Counted(limits=limits())
    counted.take(named("a"))
    now_ns = counted.clock.monotonic_ns()
    assert not counted.tenant.retire(now_ns + 1), "it has a series"
    counted.clock.advance(10_000)
    counted.tenant.prune()
    assert not counted.tenant.retire(now_ns), "a span came at that time"
    assert counted.tenant.retire(now_ns + 1)
    with pytest.raises(RetiredError):
        counted.take(named("b"))


def test_a_head_goes_on_with_new_metrics_where_the_old_ones_were_let_go() -> None:
    old, new = Counted(limits=limits()), Counted(limits=limits())
    old.clock.advance(10_000)
    assert old.tenant.retire(old.clock.monotonic_ns())
    found = iter([old.tenant, old.tenant, new.tenant])
    tap = HeadTap(old.tenant.tenant, lambda _: next(found), new.metrics)
    new.builder.append(named("a"))
    tap.take(new.builder)
    assert calls(new) == {"a": 1}

from dataclasses import replace

from tracestore.services.querier.limits import strictest
from tracestore.settings.limits import GlobalLimits, ReadLimits, TenantLimits
from tracestore.settings.tree import QuerySettings

OWN = QuerySettings()


def limits(**read: object) -> TenantLimits:
    return TenantLimits(read=ReadLimits(**read))  # type: ignore[arg-type]


def test_without_limits_the_settings_of_the_process_hold() -> None:
    assert strictest(OWN, []) == OWN
    assert strictest(OWN, [TenantLimits()]) == OWN
    assert strictest(OWN, [TenantLimits(), TenantLimits()]) == OWN


def test_a_limit_of_a_tenant_takes_the_place_of_the_setting() -> None:
    one = limits(
        max_search_duration_s=1e9,
        max_metrics_duration_s=1.0,
        max_bytes_per_tag_values_query=0,
        max_blocks_per_tag_values_query=3,
        max_bytes_read=4,
        query_timeout_s=5.0,
        left_pad_trace_ids=True,
    )
    one = replace(one, global_=GlobalLimits(max_bytes_per_trace=6))

    assert strictest(OWN, [one]) == replace(
        OWN,
        max_duration_s=1e9,
        max_metrics_duration_s=1.0,
        max_bytes_per_tag_values_query=0,
        max_blocks_per_tag_values_query=3,
        max_bytes_read=4,
        query_timeout_s=5.0,
        left_pad_trace_ids=True,
        max_trace_bytes=6,
        prometheus=replace(OWN.prometheus, max_duration_s=1.0),
    )


def test_of_several_tenants_the_strictest_limit_holds() -> None:
    first = limits(max_search_duration_s=10.0, max_bytes_read=7)
    second = limits(max_search_duration_s=5.0, max_bytes_per_tag_values_query=0)

    found = strictest(OWN, [first, second, TenantLimits()])

    assert found == replace(OWN, max_duration_s=5.0, max_bytes_read=7)


def test_promql_reaches_no_further_than_metrics_of_the_tenant() -> None:
    first, second = limits(max_metrics_duration_s=60.0), limits(max_metrics_duration_s=30.0)
    assert strictest(OWN, [first, second]).prometheus.max_duration_s == 30.0
    assert strictest(OWN, [first, TenantLimits()]).prometheus.max_duration_s == 60.0
    unlimited = replace(OWN, prometheus=replace(OWN.prometheus, max_duration_s=0.0))
    assert strictest(unlimited, [TenantLimits()] * 2).prometheus.max_duration_s == 0.0
    assert strictest(unlimited, [first, TenantLimits()]).prometheus.max_duration_s == 60.0

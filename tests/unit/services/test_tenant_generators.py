"""What holds for the metrics of a tenant: server, defaults, ``*``, its block, and what it sets."""

from __future__ import annotations

import logging

import pytest

from tracestore.model.ids import TenantId
from tracestore.services.tenant_generators import TenantGenerators, UserBlocks
from tracestore.settings.generator_limits import GeneratorLimits
from tracestore.settings.generator_storage import GeneratorStorageSettings
from tracestore.settings.generator_tree import (
    SPAN_BUCKETS_S,
    GeneratorSettings,
    ProcessorSettings,
    SpanMetricsSettings,
)
from tracestore.settings.limits import TenantLimits
from tracestore.settings.overrides import Overrides, read_tenant_file
from tracestore.settings.tenant_generator import NO_PATH, expand_processors
from tracestore.settings.user_limits import parse_block, render_block

SERVER = GeneratorSettings(
    storage=GeneratorStorageSettings(path="/generator"),
    processor=ProcessorSettings(
        span_metrics=SpanMetricsSettings(dimensions=("server.key",), enable_target_info=True)
    ),
)
DEFAULTS = TenantLimits(
    metrics_generator=GeneratorLimits(
        processors=("host-info",), max_active_series=7, native_histogram_bucket_factor=1.5
    )
)
FILE = """
overrides:
  team:
    metrics_generator:
      processors: [service-graphs, span-metrics-size, unheard-of]
      collection_interval: 45s
      processor:
        span_metrics:
          dimensions: [team.key]
          intrinsic_dimensions: {span_kind: false}
  "*":
    metrics_generator_processors: [span-metrics]
    metrics_generator_processor_span_metrics_intrinsic_dimensions: {service: false}
"""
TEAM, OTHER = TenantId("team"), TenantId("other")


class Sources:
    """What the file and the tenants say, for tests to change."""

    def __init__(self, text: str = FILE) -> None:
        self.own: UserBlocks = {}
        self.read(text)

    def read(self, text: str) -> None:
        self.overrides = Overrides.of(DEFAULTS, read_tenant_file(text, source="o.yaml"))

    def generators(self, settings: GeneratorSettings = SERVER) -> TenantGenerators:
        return TenantGenerators(settings, lambda: self.overrides, lambda: self.own)


def test_parts_of_processors() -> None:
    assert expand_processors(["service-graphs", "local-blocks"]) == {
        "service-graphs-request",
        "service-graphs-latency",
    }
    assert expand_processors(["span-metrics", "span-metrics-size"]) == {
        "span-metrics-count",
        "span-metrics-latency",
        "span-metrics-size",
    }
    assert expand_processors(["service-graphs-connection-info", "host-info"]) == {
        "service-graphs-connection-info",
        "host-info",
    }


def test_a_tenant_is_over_the_server_key_by_key() -> None:
    found = Sources().generators().generator(TEAM)
    spans = found.processor.span_metrics

    assert found.processors == {
        "service-graphs-request",
        "service-graphs-latency",
        "span-metrics-size",
    }
    assert (spans.dimensions, spans.enable_target_info) == (("team.key",), True)
    assert spans.histogram_buckets == SPAN_BUCKETS_S
    assert spans.intrinsic_dimensions.span_kind is False
    assert spans.intrinsic_dimensions.service is True
    assert (found.collection_interval_s, found.slack_s) == (45, 30)


def test_a_block_replaces_the_defaults_but_for_numbers_of_native_histograms() -> None:
    found = Sources().generators().generator(TEAM)
    nobody = Sources("").generators().generator(OTHER)

    assert found.limits.max_active_series == 0
    assert found.limits.native_histogram_bucket_factor == 1.5
    assert found.limits.trace_id_label_name == "traceID"
    assert found.limits.generate_native_histograms == "classic"
    assert (nobody.processors, nobody.limits.max_active_series) == ({"host-info"}, 7)


def test_flat_keys_of_the_star_hold_for_who_has_no_block() -> None:
    found = Sources().generators().generator(OTHER)

    assert found.processors == expand_processors(["span-metrics"])
    assert found.processor.span_metrics.intrinsic_dimensions.service is False
    assert found.processor.span_metrics.intrinsic_dimensions.span_kind is True


def test_what_a_tenant_sets_itself_is_over_all_and_goes_again() -> None:
    sources = Sources()
    generators = sources.generators()
    before = generators.generator(TEAM)
    own = {
        "processors": ["span-metrics-count"],
        "ingestion_time_range_slack": "1m",
        "processor": {"span_metrics": {"dimensions": [], "histogram_buckets": [1, 2]}},
    }
    sources.own = {TEAM: parse_block({"metrics_generator": own})}
    found = generators.generator(TEAM)

    assert found.processors == {"span-metrics-count"}
    assert (found.slack_s, found.collection_interval_s) == (60, 45)
    assert found.processor.span_metrics.dimensions == ()
    assert found.processor.span_metrics.histogram_buckets == (1.0, 2.0)
    assert generators.limits(TEAM).metrics_generator.collection_interval_s == 45
    assert generators.generator(OTHER).processors == expand_processors(["span-metrics"])
    assert render_block(sources.own[TEAM].values) == {
        "metrics_generator": own | {"ingestion_time_range_slack": "1m0s"}
    }
    sources.own = {}
    assert generators.generator(TEAM) == before


def test_it_is_the_same_object_until_something_changes_and_equal_until_it_does() -> None:
    sources = Sources()
    generators = sources.generators()
    team, other = generators.generator(TEAM), generators.generator(OTHER)

    assert generators.generator(TEAM) is team
    assert generators.generator(TenantId("another")) is other
    sources.read(FILE.replace("45s", "46s"))
    assert generators.generator(TEAM) != team
    assert generators.generator(OTHER) == other


def test_without_a_directory_nothing_is_made_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    generators = Sources().generators(GeneratorSettings())
    with caplog.at_level(logging.WARNING):
        generators.start()
        found = generators.generator(TEAM)

    assert found.processors == frozenset()
    assert found.processor.span_metrics.dimensions == ("team.key",)
    assert caplog.messages == [NO_PATH]

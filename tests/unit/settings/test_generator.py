"""Settings of the metrics from spans: keys of Tempo, structures, checks, and what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from tracestore.errors import SettingsError
from tracestore.settings.flags import parse_arguments
from tracestore.settings.generator_tree import (
    SPAN_BUCKETS_S,
    DimensionMapping,
    FilterPolicy,
    GeneratorSettings,
    PolicyAttribute,
    PolicyMatch,
)
from tracestore.settings.leaves import leaf_values
from tracestore.settings.load import LoadedSettings, load_settings
from tracestore.settings.render import render_settings

FILE = """
metrics_generator:
  processor:
    service_graphs:
      wait: 12s
      max_items: 5
      histogram_buckets: [0.1, 1, 10]
      dimensions: [k8s.cluster.name]
      workers: 10
    span_metrics:
      intrinsic_dimensions: {span_kind: false}
      dimension_mappings: &mappings
        - {name: deployment, source_labels: [service.name, k8s.namespace.name], join: /}
      filter_policies:
        - include:
            match_type: strict
            attributes:
              - {key: kind, value: SPAN_KIND_SERVER}
              - {key: span.http.status_code, value: 200}
          exclude:
            match_type: regex
            attributes: [{key: resource.location, value: "eu-.*"}]
    host_info: {host_identifiers: [host.name], metric_name: hosts}
  registry:
    collection_interval: 30s
    stale_duration: 1h
    external_labels: {cluster: "010", on: yes}
    inject_tenant_id_as: tenant
    max_label_name_length: 10
  storage:
    path: /var/tempo/generator
    remote_write_add_org_id_header: false
    remote_write_flush_deadline: 2m
    wal: {wal_segment_size: 1}
    remote_write:
      - url: http://user:s3cret1@prometheus:9090/api/v1/write
        send_exemplars: false
        headers: {X-Token: s3cret2}
      - name: other
        url: https://mimir/api/v1/push
        bearer_token: s3cret3
  traces_storage: {path: /var/tempo/traces}
  metrics_ingestion_time_range_slack: 45s
  limiter_type: entity
overrides:
  defaults:
    metrics_generator:
      processors: [span-metrics, local-blocks, nonsense]
      collection_interval: 1m
      remote_write_headers: {Authorization: Bearer s3cret4}
      forwarder: {queue_size: 1, workers: 2}
      processor:
        span_metrics:
          dimensions: []
          intrinsic_dimensions: {status_message: true}
          dimension_mappings: *mappings
"""


def load(argv: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> LoadedSettings:
    return load_settings(parse_arguments(argv), environ={} if environ is None else environ)


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedSettings:
    (tmp_path / "t.yaml").write_text(FILE)
    return load([f"--config={tmp_path / 't.yaml'}"])


def generator(loaded: LoadedSettings) -> GeneratorSettings:
    return loaded.settings.metrics_generator


def test_every_key_of_tempo_reaches_its_place(loaded: LoadedSettings) -> None:
    processor = generator(loaded).processor
    graphs, spans = processor.service_graphs, processor.span_metrics
    registry, storage = generator(loaded).registry, generator(loaded).storage

    assert (graphs.wait_s, graphs.max_items, graphs.histogram_buckets) == (12, 5, (0.1, 1.0, 10.0))
    assert graphs.dimensions == ("k8s.cluster.name",)
    assert (spans.intrinsic_dimensions.span_kind, spans.intrinsic_dimensions.service) == (0, 1)
    assert spans.histogram_buckets == SPAN_BUCKETS_S
    assert spans.dimension_mappings == (
        DimensionMapping(
            name="deployment", source_labels=("service.name", "k8s.namespace.name"), join="/"
        ),
    )
    assert spans.filter_policies == (
        FilterPolicy(
            include=PolicyMatch(
                match_type="strict",
                attributes=(
                    PolicyAttribute(key="kind", value="SPAN_KIND_SERVER"),
                    PolicyAttribute(key="span.http.status_code", value=200),
                ),
            ),
            exclude=PolicyMatch(
                match_type="regex",
                attributes=(PolicyAttribute(key="resource.location", value="eu-.*"),),
            ),
        ),
    )
    assert (processor.host_info.host_identifiers, processor.host_info.metric_name) == (
        ("host.name",),
        "hosts",
    )
    assert (registry.collection_interval_s, registry.stale_duration_s) == (30, 3600)
    assert registry.external_labels == (("cluster", "010"), ("on", "yes"))
    assert (registry.inject_tenant_id_as, registry.max_label_name_length) == ("tenant", 10)
    assert (storage.path, storage.remote_write_flush_deadline_s) == ("/var/tempo/generator", 120)
    assert storage.remote_write_add_org_id_header is False
    assert [remote.url for remote in storage.remote_write] == [
        "http://prometheus:9090/api/v1/write",
        "https://mimir/api/v1/push",
    ]
    assert generator(loaded).metrics_ingestion_time_range_slack_s == 45
    assert generator(loaded).limiter_type == "entity"


def test_limits_of_tenants_too(loaded: LoadedSettings) -> None:
    limits = loaded.settings.overrides.defaults.metrics_generator

    assert limits.processors == ("span-metrics", "local-blocks", "nonsense")
    assert limits.collection_interval_s == 60
    assert limits.processor.span_metrics.dimensions == ()
    assert limits.processor.span_metrics.histogram_buckets is None
    assert limits.processor.span_metrics.intrinsic_dimensions.status_message is True
    assert limits.processor.span_metrics.dimension_mappings is not None


def test_what_has_no_effect_is_said(loaded: LoadedSettings) -> None:
    said = "\n".join(loaded.warnings)

    for key in (
        "metrics_generator.processor.service_graphs.workers",
        "metrics_generator.storage.wal",
        "metrics_generator.traces_storage",
        "metrics_generator.storage.remote_write[0].send_exemplars",
        "overrides.defaults.metrics_generator.forwarder.queue_size",
        "overrides.defaults.metrics_generator.processors: local-blocks",
        "overrides.defaults.metrics_generator.processors: nonsense",
    ):
        assert f"{key} has no effect" in said, key


def test_what_is_shown_loads_to_the_same_and_holds_no_secret(
    loaded: LoadedSettings, tmp_path: Path
) -> None:
    text = render_settings(loaded)
    shown = yaml.safe_load(text)
    receivers = shown["metrics_generator"]["storage"].pop("remote_write")
    del shown["overrides"]["defaults"]["metrics_generator"]["remote_write_headers"]
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(shown))
    again = leaf_values(load([f"--config={tmp_path / 'again.yaml'}"]).settings)
    secret = {
        "metrics_generator.storage.remote_write",
        "overrides.defaults.metrics_generator.remote_write_headers",
    }

    assert "s3cret" not in text
    assert [each["url"] for each in receivers] == [
        "http://prometheus:9090/api/v1/write",
        "https://mimir/api/v1/push",
    ]
    assert "remote_write_headers: {Authorization: '********'}" in text
    assert {
        path for path, value in leaf_values(loaded.settings).items() if value != again[path]
    } == (secret)


def test_flags_and_variables_take_yaml_json_and_lists() -> None:
    buckets = "metrics_generator.processor.span_metrics.histogram_buckets"
    policies = (
        '[{"exclude": {"match_type": "strict", "attributes": [{"key": "name", "value": "/"}]}}]'
    )
    environ = {
        "TRACESTORE_METRICS_GENERATOR__STORAGE__REMOTE_WRITE": "[{url: http://p/api/v1/write}]",
        "TRACESTORE_METRICS_GENERATOR__PROCESSOR__SPAN_METRICS__FILTER_POLICIES": policies,
    }
    argv = [
        f"--{buckets}=0.5,1",
        "--metrics-generator.registry.external-labels=a=b,c=d=e",
        "--overrides.defaults.metrics-generator.processors=span-metrics,host-info",
    ]
    loaded = load(argv, environ)
    found = generator(loaded)

    assert found.processor.span_metrics.histogram_buckets == (0.5, 1.0)
    assert found.registry.external_labels == (("a", "b"), ("c", "d=e"))
    assert found.storage.remote_write[0].url == "http://p/api/v1/write"
    assert found.processor.span_metrics.filter_policies[0].exclude is not None
    limits = loaded.settings.overrides.defaults.metrics_generator
    assert limits.processors == ("span-metrics", "host-info")
    assert generator(load([f"--{buckets}=[]"])).processor.span_metrics.histogram_buckets == ()


@pytest.mark.parametrize("text", ["[span-metrics]", "{span-metrics: {}}", "!!set {span-metrics}"])
def test_processors_are_a_list_or_a_set(tmp_path: Path, text: str) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(f"overrides: {{metrics_generator_processors: {text}}}")

    limits = load([f"--config={file}"]).settings.overrides.defaults.metrics_generator
    assert limits.processors == ("span-metrics",)


PROCESSOR = "metrics_generator: {processor: {%s}}"
POLICY = PROCESSOR % "span_metrics: {filter_policies: [{exclude: %s}]}"
STORAGE = "metrics_generator: {storage: {%s}}"
REGISTRY = "metrics_generator: {registry: {%s}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            PROCESSOR % "span_metrics: {filter_policies: [\n{exclude: {\nmatch_typ: strict}}]}",
            "t.yaml:3: metrics_generator.processor.span_metrics.filter_policies: [0].exclude: unk",
        ),
        (
            POLICY % "{match_typ: strict}",
            "[0].exclude: unknown key match_typ; the nearest known one is match_type",
        ),
        (
            PROCESSOR % "span_metrics: {histogram_buckets: [1, x]}",
            "[1]: expected a number, got 'x'",
        ),
        (
            PROCESSOR % "span_metrics: {histogram_buckets: {a: 1}}",
            "expected list of numbers, got k",
        ),
        (PROCESSOR % "span_metrics: {histogram_buckets: [2, 1]}", "expected bounds in ascending"),
        (PROCESSOR % "service_graphs: {histogram_buckets: [1, 1]}", "none twice"),
        (PROCESSOR % "span_metrics: {dimensions: [1a]}", "'1a' makes no label"),
        (PROCESSOR % "span_metrics: {dimensions: [le]}", "Prometheus has for itself"),
        (PROCESSOR % "service_graphs: {dimensions: [client]}", "client is one of every edge"),
        (
            PROCESSOR % "span_metrics: {dimension_mappings: [{source_labels: [a]}]}",
            "[0]: name is missing",
        ),
        (
            PROCESSOR % "span_metrics: {dimension_mappings: [{name: a, source_labels: []}]}",
            "the mapping 'a' has no source_labels",
        ),
        (
            PROCESSOR % "span_metrics: {dimension_mappings: [{name: a.b, source_labels: [x]}],"
            " dimensions: [a_b]}",
            "the label a_b is a dimension already",
        ),
        (POLICY % "{match_type: fuzzy, attributes: [{key: name, value: a}]}", "strict or regex"),
        (POLICY % "{match_type: strict, attributes: []}", "expected one attribute at least"),
        (
            POLICY % "{match_type: strict, attributes: [{key: duration, value: 1}]}",
            "[0].exclude: attributes[0]: expected the key resource.x",
        ),
        (
            POLICY % "{match_type: regex, attributes: [{key: name, value: '('}]}",
            "is no regular",
        ),
        (POLICY % "{match_type: regex, attributes: [{key: name, value: '(?=a)'}]}", "of RE2"),
        (
            POLICY % "{match_type: strict, attributes: [{key: kind, value: server}]}",
            "SPAN_KIND_SER",
        ),
        (PROCESSOR % "host_info: {metric_name: a-b}", "expected the name of a metric"),
        (REGISTRY % "external_labels: {a-b: c}", "is not the name of a label"),
        (REGISTRY % "external_labels: [a]", "expected keys and values, got a list"),
        (REGISTRY % "external_labels: {a: [b]}", "a: expected a text, got a list"),
        (REGISTRY % "inject_tenant_id_as: __name__", "is not the name of a label"),
        (STORAGE % "remote_write: [{}]", "url is missing"),
        (STORAGE % "remote_write: [{url: ftp://x}]", "expected http or https"),
        (STORAGE % "remote_write: [{url: http://x, urll: y}]", "url"),
        (STORAGE % "remote_write: [{url: http://x}, {url: http://x}]", "two entries are named"),
        (STORAGE % "remote_write: {url: http://x}", "expected list of mappings, got keys and v"),
        ("metrics_generator: {limiter_type: x}", "expected series or entity"),
        ("metrics_generator: {processors: [a]}", "the nearest known one is metrics_generator.proc"),
        (
            "overrides: {defaults: {metrics_generator: {remote_write_headers: {'a b': s3cret}}}}",
            "'a b' is no name of a header",
        ),
        (
            "overrides: {defaults: {metrics_generator: {generate_native_histograms: some}}}",
            "expected nothing or classic or native or both",
        ),
    ],
)
def test_what_cannot_be_worked_with_is_refused_at_load(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(text)

    with pytest.raises(SettingsError) as caught:
        load([f"--config={file}"])
    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_dimension_may_have_the_name_of_a_side_if_it_has_a_prefix(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(
        PROCESSOR % "service_graphs: {dimensions: [client], enable_client_server_prefix: true}"
    )

    assert generator(load([f"--config={file}"])).processor.service_graphs.dimensions == ("client",)

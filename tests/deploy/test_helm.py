"""The Helm chart: every mode renders, is valid, and the server takes its configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python.chart import lint
from helm_python.errors import HelmError
from support.charts import CHART, NAMESPACE, RELEASE, Rendered, check_schemas, render

from tracestore.settings.flags import parse_arguments
from tracestore.settings.load import LoadedSettings, load_settings

S3 = {"backend": "s3", "s3": {"bucket": "traces", "endpoint": "s3.example:9000", "insecure": True}}
KEYS = {"access_key": "AKIA", "secret_key": "hush"}
WITH_KEYS = {"backend": "s3", "s3": {**S3["s3"], **KEYS}}  # type: ignore[dict-item] - a dict

CASES: dict[str, dict[str, Any]] = {
    "one pod on a volume": {"persistence": {"enabled": True}},
    "three pods on a bucket": {"storage": {"trace": S3}},
    "everything switched on": {
        "storage": {"trace": WITH_KEYS},
        "autoscaling": {"enabled": True, "targetMemoryUtilizationPercentage": 80},
        "persistence": {"enabled": True, "size": "20Gi", "storageClass": "fast"},
        "networkPolicy": {
            "enabled": True,
            "senders": [{"namespaceSelector": {}}],
            "egress": [{"ports": [{"protocol": "TCP", "port": 443}]}],
        },
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "ingress": {"enabled": True, "hosts": [{"host": "traces.example"}]},
        "traces": {
            "zipkin": {"enabled": True},
            "jaeger": {k: {"enabled": True} for k in ("grpc", "thriftHttp", "thriftCompact")},
        },
        "overrides": {"defaults": {"ingestion": {"rate_limit_bytes": 1000000}}},
        "per_tenant_overrides": {"team-a": {"ingestion": {"rate_limit_bytes": 2000000}}},
        "antiAffinity": "hard",
        "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "2Gi"}},
        "multitenancyEnabled": True,
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "extraArgs": ["-log.level=debug"],
    },
    "roles, as values of tempo-distributed": {
        "storage": {"trace": S3},
        "traces": {"otlp": {"grpc": {"enabled": True}, "http": {"enabled": True}}},
        "distributor": {
            "replicas": 3,
            "resources": {"requests": {"cpu": "500m"}},
            "autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 6},
        },
        "ingester": {"replicas": 3, "persistence": {"enabled": True, "size": "10Gi"}},
        "querier": {"replicas": 4, "tolerations": [{"key": "spot", "operator": "Exists"}]},
        "queryFrontend": {"replicas": 2, "query": {"enabled": False}},
        "compactor": {"replicas": 2, "config": {"compaction": {"block_retention": "72h"}}},
        "metricsGenerator": {
            "enabled": True,
            "replicas": 2,
            "resources": {"requests": {"memory": "1Gi"}},
            "config": {
                "storage": {
                    "path": "/var/tempo/wal",
                    "remote_write": [{"url": "http://mimir/api/v1/push"}],
                },
                "processor": {"span_metrics": {"dimensions": ["deployment.environment"]}},
                "registry": {"external_labels": {"cluster": "c1"}},
                "traces_storage": {"path": "/var/tempo/traces"},
            },
        },
        "memcached": {"enabled": True},
        "metaMonitoring": {"serviceMonitor": {"enabled": True}},
        "s3Credentials": {"existingSecret": "bucket-keys"},
    },
    "a generator that keeps what it could not write": {
        "storage": {"trace": S3},
        "ingester": {"replicas": 3},
        "metricsGenerator": {
            "enabled": True,
            "kind": "StatefulSet",
            "remoteWriteUrl": "https://user:hush@prom/api/v1/write",
            "persistence": {"enabled": True, "size": "5Gi"},
        },
        "per_tenant_overrides": {"a": {"metrics_generator": {"processors": ["host-info"]}}},
        "networkPolicy": {"enabled": True},
    },
    "a generator that is scraped": {
        "storage": {"trace": S3},
        "distributor": {"replicas": 2},
        "metricsGenerator": {"enabled": True, "scrape": True},
        "serviceMonitor": {"enabled": True, "interval": "15s"},
    },
    "roles of Tempo 3": {
        "storage": {"trace": S3},
        "liveStore": {"replicas": 3},
        "blockBuilder": {"replicas": 3},
        "backendScheduler": {
            "config": {"provider": {"compaction": {"compaction": {"block_retention": "48h"}}}}
        },
        "backendWorker": {"replicas": 2},
        "ingest": {"kafka": {"address": "kafka:9092"}},
    },
    "values of the chart tempo": {
        "tempo": {
            "storage": {"trace": S3},
            "retention": "24h",
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "0.0.0.0:4317"}}}},
            "metricsGenerator": {"enabled": True, "remoteWriteUrl": "http://prom/api/v1/write"},
            "structuredConfig": {"query_frontend": {"search": {"default_result_limit": 50}}},
        },
    },
}


def load(rendered: Rendered, directory: Path, target: str) -> LoadedSettings:
    """Load the configuration as a pod does, with its environment."""
    file = directory / "tracestore.yaml"
    file.write_text(rendered.config)
    flags = [f"-config.file={file}", "-config.expand-env=true", f"-target={target}"]
    return load_settings(parse_arguments(flags), environ=pod_environment(rendered, target))


def pod_environment(rendered: Rendered, target: str) -> dict[str, str]:
    name = RELEASE if target == "all" else f"{RELEASE}-{target}"
    (pod,) = [w for w in rendered.workloads() if w["metadata"]["name"] == name]
    found = {"POD_IP": "10.0.0.7", "POD_NAME": "tempo-0"}
    for entry in pod["spec"]["template"]["spec"]["containers"][0]["env"]:
        if "value" in entry:
            value = entry["value"]
            for variable in ("POD_IP", "POD_NAME"):
                value = value.replace(f"$({variable})", found[variable])
            found[entry["name"]] = value
    return found


def targets(rendered: Rendered) -> set[str]:
    found = set()
    for workload in rendered.workloads():
        for argument in workload["spec"]["template"]["spec"]["containers"][0]["args"]:
            if argument.startswith("-target="):
                found.add(argument.removeprefix("-target="))
    return found


def test_the_linter_has_nothing_against_it() -> None:
    result = lint(str(CHART), CASES["everything switched on"], strict=True, namespace=NAMESPACE)
    # severity 1 is advice (an icon)
    assert [m for m in result["messages"] if m["severity"] > 1] == []
    assert result["errors"] == []


@pytest.mark.parametrize("name", CASES)
def test_objects_are_valid(name: str) -> None:
    check_schemas(render(CASES[name]))


@pytest.mark.parametrize("name", CASES)
def test_the_server_takes_the_configuration(name: str, tmp_path: Path) -> None:
    rendered = render(CASES[name])
    for target in targets(rendered):
        loaded = load(rendered, tmp_path, target)
        assert loaded.settings.target == target


@pytest.mark.parametrize("name", CASES)
def test_pods_are_confined(name: str) -> None:
    for workload in render(CASES[name]).workloads():
        spec = workload["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        (container,) = spec["containers"]
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert spec["automountServiceAccountToken"] is False
        assert {"readinessProbe", "livenessProbe", "startupProbe"} <= container.keys()
        # what is written to must be a mount
        mounts = {m["mountPath"] for m in container["volumeMounts"]}
        assert {"/var/tracestore", "/tmp"} <= mounts


@pytest.mark.parametrize("name", CASES)
def test_every_service_finds_pods_and_ports(name: str) -> None:
    rendered = render(CASES[name])
    pods = [w["spec"]["template"] for w in rendered.workloads()]
    services = [o for o in rendered.objects if o["kind"] == "Service"]
    assert {f"{RELEASE}-distributor", f"{RELEASE}-query-frontend"} <= rendered.names("Service")
    for service in services:
        selector = service["spec"]["selector"].items()
        chosen = [p for p in pods if selector <= p["metadata"]["labels"].items()]
        assert chosen, service["metadata"]["name"]
        for pod in chosen if not service["metadata"]["name"].endswith("-members") else []:
            named = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= named


def test_senders_and_grafana_find_the_usual_ports() -> None:
    for name in ("three pods on a bucket", "roles, as values of tempo-distributed"):
        rendered = render(CASES[name])
        distributor = rendered.find("Service", f"{RELEASE}-distributor")
        assert {4317, 4318} <= {port["port"] for port in distributor["spec"]["ports"]}
        frontend = rendered.find("Service", f"{RELEASE}-query-frontend")
        assert 3200 in {port["port"] for port in frontend["spec"]["ports"]}
        assert f"http://{RELEASE}-query-frontend.{NAMESPACE}.svc:3200" in rendered.notes
        assert f"{RELEASE}-distributor.{NAMESPACE}.svc:4317" in rendered.notes


def test_three_pods_share_a_bucket_by_default() -> None:
    rendered = render(CASES["three pods on a bucket"])
    assert rendered.find("StatefulSet", RELEASE)["spec"]["replicas"] == 3
    assert yaml.safe_load(rendered.config)["wal"]["store"] == "bucket"
    budget = rendered.find("PodDisruptionBudget", RELEASE)
    assert budget["spec"]["maxUnavailable"] == 1


def test_values_of_tempo_distributed_mean_what_they_mean_there() -> None:
    rendered = render(CASES["roles, as values of tempo-distributed"])
    config = yaml.safe_load(rendered.config)
    assert targets(rendered) == {
        "distributor",
        "ingester",
        "querier",
        "query-frontend",
        "compactor",
        "metrics-generator",
    }
    assert config["compactor"]["compaction"]["block_retention"] == "72h"
    writes = config["metrics_generator"]["storage"]["remote_write"]
    assert writes == [{"url": "http://mimir/api/v1/push"}]
    assert config["metrics_generator"]["storage"]["path"] == "/var/tracestore/generator"
    generator = rendered.find("Deployment", f"{RELEASE}-metrics-generator")
    assert generator["spec"]["replicas"] == 2
    (container,) = generator["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["memory"] == "1Gi"
    assert f"{RELEASE}-metrics-generator" in rendered.names("Service")
    assert f"{RELEASE}-metrics-generator" in rendered.names("PodDisruptionBudget")
    assert "made by tempo-metrics-generator, and written to\n  http://mimir" in rendered.notes
    ingester = rendered.find("StatefulSet", f"{RELEASE}-ingester")
    (claim,) = ingester["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"
    distributor = rendered.find("Deployment", f"{RELEASE}-distributor")
    assert "replicas" not in distributor["spec"]  # the autoscaler's
    assert rendered.names("HorizontalPodAutoscaler") == {f"{RELEASE}-distributor"}
    assert rendered.find("Deployment", f"{RELEASE}-querier")["spec"]["replicas"] == 4
    assert rendered.names("ServiceMonitor") == {RELEASE}
    assert "memcached" in rendered.notes


def test_a_generator_makes_metrics_of_all_tenants_unless_overrides_name_processors(
    tmp_path: Path,
) -> None:
    def processors(case: str, target: str) -> tuple[str, ...]:
        settings = load(render(CASES[case]), tmp_path, target).settings
        return settings.overrides.defaults.metrics_generator.processors

    both = ("service-graphs", "span-metrics")
    assert processors("roles, as values of tempo-distributed", "metrics-generator") == both
    assert processors("values of the chart tempo", "all") == both
    assert processors("a generator that keeps what it could not write", "ingester") == ()


@pytest.mark.parametrize("values", [{}, {"distributor": {"replicas": None}}])
def test_what_a_generator_made_is_scraped_from_the_pods_that_make_it(
    values: dict[str, Any],
) -> None:
    rendered = render(CASES["a generator that is scraped"] | values)
    assert rendered.names("ServiceMonitor") == {RELEASE, f"{RELEASE}-generated"}
    spec = rendered.find("ServiceMonitor", f"{RELEASE}-generated")["spec"]
    assert spec["endpoints"][0]["path"] == "/metrics/generated"
    wanted = spec["selector"]["matchLabels"].items()
    services = [o for o in rendered.objects if o["kind"] == "Service"]
    (service,) = [o for o in services if wanted <= o["metadata"]["labels"].items()]
    pods = [w["spec"]["template"] for w in rendered.workloads()]
    selector = service["spec"]["selector"].items()
    chosen = [p for p in pods if selector <= p["metadata"]["labels"].items()]
    names = {pod["spec"]["containers"][0]["name"] for pod in chosen}
    assert names == ({"all"} if values else {"metrics-generator"})


def test_a_generator_that_keeps_its_queue_has_a_volume_for_each_pod(tmp_path: Path) -> None:
    rendered = render(CASES["a generator that keeps what it could not write"])
    generator = rendered.find("StatefulSet", f"{RELEASE}-metrics-generator")
    (claim,) = generator["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "5Gi"
    (container,) = generator["spec"]["template"]["spec"]["containers"]
    mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
    settings = load(rendered, tmp_path, "metrics-generator").settings
    assert settings.metrics_generator.storage.path.startswith("/var/tracestore/")
    assert mounts["/var/tracestore"] == "data"
    assert "hush" not in rendered.notes


def test_roles_of_tempo_3_stand_for_ours() -> None:
    rendered = render(CASES["roles of Tempo 3"])
    assert rendered.find("StatefulSet", f"{RELEASE}-ingester")["spec"]["replicas"] == 3
    assert rendered.find("Deployment", f"{RELEASE}-compactor")["spec"]["replicas"] == 2
    config = yaml.safe_load(rendered.config)
    assert config["compactor"]["compaction"]["block_retention"] == "48h"


def test_values_of_the_single_chart_work() -> None:
    config = yaml.safe_load(render(CASES["values of the chart tempo"]).config)
    assert config["storage"]["trace"]["s3"]["bucket"] == "traces"
    assert config["compactor"]["compaction"]["block_retention"] == "24h"
    assert "http" not in config["distributor"]["receivers"]["otlp"]["protocols"]
    assert config["query_frontend"]["search"]["default_result_limit"] == 50


def test_keys_are_in_a_secret_and_nowhere_else() -> None:
    rendered = render(CASES["everything switched on"])
    secret = rendered.find("Secret", f"{RELEASE}-s3")
    assert secret["stringData"] == {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "hush"}
    others = [o for o in rendered.objects if o is not secret]
    assert "hush" not in json.dumps(others)
    assert "AKIA" not in json.dumps(others)


def test_an_existing_secret_is_referred_to() -> None:
    rendered = render(CASES["roles, as values of tempo-distributed"])
    assert rendered.names("Secret") == set()
    for workload in rendered.workloads():
        environment = workload["spec"]["template"]["spec"]["containers"][0]["env"]
        named = [
            e["valueFrom"]["secretKeyRef"]["name"] for e in environment if e["name"][:3] == "AWS"
        ]
        assert named == ["bucket-keys", "bucket-keys"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"replicas": 3}, "several replicas need a bucket"),
        ({"mode": "microservices"}, "needs a bucket"),
        ({"storage": {"trace": {"backend": "s3"}}}, "name the bucket"),
        ({"wal": {"store": "bucket"}}, "there is no bucket"),
        ({"storage": {"trace": {"backend": "gcs"}}}, "backend"),
        ({"mode": "single"}, "mode"),
        ({"distributor": {"replicas": "three"}}, "replicas"),
        ({"retention": "two weeks"}, "retention"),
        ({"metricsGenerator": {"kind": "DaemonSet"}}, "kind"),
        (
            {"metricsGenerator": {"enabled": True, "scrape": True}, "multitenancyEnabled": True},
            "shows one tenant",
        ),
        ({"metricsGenerator": {"remoteWriteUrl": "prometheus:9090"}}, "remoteWriteUrl"),
        (
            {
                "storage": {"trace": S3},
                "mode": "microservices",
                "metricsGenerator": {"persistence": {"enabled": True}},
            },
            "needs metricsGenerator.kind StatefulSet",
        ),
    ],
)
def test_wrong_values_are_refused_with_a_reason(values: dict[str, Any], says: str) -> None:
    with pytest.raises(HelmError) as caught:
        render(values)
    assert says in str(caught.value)

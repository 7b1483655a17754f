"""docker-compose.yml: rendered by docker-compose itself, and every file that it mounts is right."""

from __future__ import annotations

import os
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from support.dashboards import DASHBOARDS, RULES

from tracestore.settings.flags import parse_arguments
from tracestore.settings.load import load_settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
ONE = {"seaweedfs", "tracestore", "collector", "prometheus", "grafana", "demo"}
ROLES = {"distributor", "querier-1", "querier-2", "query-frontend", "compactor", "demo-roles"} | {
    "metrics-generator",
    *(f"ingester-{number}" for number in (1, 2, 3)),
}


def compose(*arguments: str) -> str:
    """Run docker-compose, which needs no engine to render."""
    program = shutil.which("docker-compose")
    if program is None:
        message = "docker-compose is missing (Debian package docker-compose)"
        if os.environ.get("CI") == "true":  # noqa: TID251 - tests may look at the environment
            pytest.fail(message)
        pytest.skip(message)
    command = [program, "-f", str(COMPOSE), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    rendered = yaml.safe_load(compose("--profile", "roles", "config"))
    found: dict[str, Any] = rendered["services"]
    return found


def mounted(service: dict[str, Any], target: str) -> Path:
    """Find the file that a service sees under a path."""
    for volume in service["volumes"]:
        source, place, *_ = volume.split(":")
        if place == target:
            return Path(source)
    raise AssertionError(f"nothing is mounted at {target}")


def test_services_of_both_profiles(services: dict[str, Any]) -> None:
    assert services.keys() == ONE | ROLES
    assert {name for name, one in services.items() if "roles" in one.get("profiles", [])} == ROLES


def test_mounted_files_exist(services: dict[str, Any]) -> None:
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith("/") or Path(source).is_file(), source


def test_no_port_is_taken_twice(services: dict[str, Any]) -> None:
    ports = [str(p["published"]) for one in services.values() for p in one.get("ports", [])]
    assert len(ports) == len(set(ports))


@pytest.mark.parametrize("name", ["tracestore", *sorted(ROLES - {"demo-roles"})])
def test_the_server_takes_its_configuration(services: dict[str, Any], name: str) -> None:
    service = services[name]
    file = mounted(service, "/conf/tracestore.yaml")
    flags = [flag.replace("/conf/tracestore.yaml", str(file)) for flag in service["command"]]
    loaded = load_settings(parse_arguments(flags), environ={})
    assert loaded.settings.target in name or loaded.settings.target == "all"


def test_every_role_is_a_member(services: dict[str, Any]) -> None:
    config = yaml.safe_load(mounted(services["compactor"], "/conf/tracestore.yaml").read_text())
    members = {address.partition(":")[0] for address in config["members"]["static"]}
    assert members == ROLES - {"demo-roles"}


@pytest.mark.parametrize("name", ["tracestore", "metrics-generator"])
def test_metrics_of_spans_go_to_a_prometheus_that_takes_them(
    services: dict[str, Any], name: str
) -> None:
    service = services[name]
    config = yaml.safe_load(mounted(service, "/conf/tracestore.yaml").read_text())
    storage = config["metrics_generator"]["storage"]
    (receiver,) = storage["remote_write"]
    assert receiver["url"] == "http://prometheus:9090/api/v1/write"
    assert "--web.enable-remote-write-receiver" in services["prometheus"]["command"]
    assert config["overrides"]["defaults"]["metrics_generator"]["processors"]
    writable = [volume.split(":")[1] for volume in service["volumes"] if ":ro" not in volume]
    assert any(storage["path"].startswith(f"{place}/") for place in writable)


def test_the_pipelines_of_the_collector_are_whole(services: dict[str, Any]) -> None:
    collector = services["collector"]
    config = yaml.safe_load(mounted(collector, "/etc/otelcol/gateway.yaml").read_text())
    for pipeline in config["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= config[kind].keys()
    host = collector["environment"]["TRACESTORE"].partition(":")[0]
    assert host in services


def test_data_sources_point_at_services(services: dict[str, Any]) -> None:
    place = "/etc/grafana/provisioning/datasources/tracestore.yaml"
    sources = yaml.safe_load(mounted(services["grafana"], place).read_text())["datasources"]
    uids = {source["uid"] for source in sources}
    for source in sources:
        url = urlsplit(source["url"])
        assert url.hostname in services
        is_own = source["type"] == "tempo" or url.path == "/prometheus"
        assert url.port == (3200 if is_own else 9090)
        linked = source["jsonData"].get("serviceMap", {}).get("datasourceUid")
        assert linked is None or linked in uids


def test_the_image_has_all_that_the_build_reads() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]}
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE", "tracestore", "traceql"} <= copied
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not {name for name in copied if name in ignored}


def test_dashboards_and_rules_are_where_they_are_looked_for(services: dict[str, Any]) -> None:
    place = "/etc/grafana/provisioning/dashboards/tracestore.yaml"
    (provider,) = yaml.safe_load(mounted(services["grafana"], place).read_text())["providers"]
    for path in DASHBOARDS:
        assert mounted(services["grafana"], f"{provider['options']['path']}/{path.name}") == path
    config = mounted(services["prometheus"], "/etc/prometheus/prometheus.yml").read_text()
    (pattern,) = yaml.safe_load(config)["rule_files"]
    for path in RULES:
        place = f"/etc/prometheus/rules/{path.name}"
        assert fnmatch(place, pattern)
        assert mounted(services["prometheus"], place) == path

"""Dashboards and rules: of the right shape, about metrics that there are, and rules that fire.

That their queries run, on a real Prometheus and on our own API: ``tests/e2e/test_prometheus_api``.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.dashboards import (
    DASHBOARDS,
    ROOT,
    RULES,
    expressions,
    load,
    metric_names,
    panels_of,
    rules,
    variables,
)

from tracestore.query.promql.catalog import METRICS
from tracestore.telemetry import Metrics

SUFFIXES = ("_bucket", "_sum", "_count")
WIDTH = 24


def names_there_are() -> set[str]:
    """Get the names of all series: of the server, and of spans."""
    found = {metric.name for metric in METRICS}
    for series in Metrics(version="1").declared():
        found |= {series.name, *(series.name + suffix for suffix in SUFFIXES)}
    return found


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load(request.param)


def test_there_is_one_for_services_one_for_the_graph_and_one_for_the_server() -> None:
    assert [path.stem for path in DASHBOARDS] == ["server", "service-graph", "services"]
    found = [load(path) for path in DASHBOARDS]
    assert len({one["uid"] for one in found}) == len({one["title"] for one in found}) == 3


def test_panels_have_their_own_ids_and_places(dashboard: dict[str, Any]) -> None:
    panels = list(panels_of(dashboard))
    assert dashboard["schemaVersion"] >= 36
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        assert panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH
        cells = set(
            itertools.product(
                range(place["x"], place["x"] + place["w"]),
                range(place["y"], place["y"] + place["h"]),
            )
        )
        assert not cells & taken, panel["title"]
        taken |= cells


def test_targets_ask_the_data_sources_that_are_chosen(dashboard: dict[str, Any]) -> None:
    declared = {one["name"]: one for one in dashboard["templating"]["list"]}
    sources = {name: one["query"] for name, one in declared.items() if one["type"] == "datasource"}
    for panel in panels_of(dashboard):
        if panel["type"] == "row":
            continue
        targets = panel["targets"]
        assert targets
        assert len({target["refId"] for target in targets}) == len(targets)
        for target in targets:
            source = target["datasource"]
            assert sources[source["uid"].strip("${}")] == source["type"]
            assert ("expr" in target) == (source["type"] == "prometheus")
            assert variables(target.get("expr", "")) <= set(declared)
    for one in declared.values():
        if one["type"] == "query":
            assert one["datasource"]["uid"] == "${metrics}"
            assert one["query"]["query"] == one["definition"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_are_about_metrics_that_there_are(path: Path) -> None:
    used = {name for _, expression in expressions(path) for name in metric_names(expression)}
    assert used
    assert used - names_there_are() == set()


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_rules_are_about_metrics_that_there_are(path: Path) -> None:
    recorded = {rule["record"] for rule in rules(path) if "record" in rule}
    used = {name for rule in rules(path) for name in metric_names(rule["expr"])}
    assert used
    assert used - names_there_are() == set()
    assert len(recorded) > 3
    for rule in rules(path):
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("critical", "warning")
            assert rule["annotations"]["summary"]


def promtool(*arguments: str | Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        message = "promtool is missing (Debian package prometheus)"
        if os.environ.get("CI"):  # noqa: TID251 - tests may look at the environment
            pytest.fail(message)
        pytest.skip(message)
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_rules_do_what_they_say(path: Path) -> None:
    promtool("check", "rules", path)
    promtool("test", "rules", path.with_name(f"{path.stem}-test.yaml"))


def test_the_docs_name_every_alert_and_dashboard() -> None:
    page = (ROOT / "docs" / "alerting.md").read_text()
    for path in (*DASHBOARDS, *RULES):
        assert str(path.relative_to(ROOT)) in page
    for path in RULES:
        for rule in rules(path):
            if "alert" in rule:
                assert f"`{rule['alert']}`" in page

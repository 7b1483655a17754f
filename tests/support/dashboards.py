"""The dashboards and rules under ``deploy/``: what is in them, with variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
RULES = sorted(
    path for path in (ROOT / "deploy" / "prometheus").glob("*.yaml") if "-test" not in path.name
)
FILLED = {"__rate_interval": "5m", "__range": "10m", "__interval": "15s"}
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_NAME = re.compile(r"\b(?:tempo|tempodb|tracestore|traces|prometheus)_[a-z0-9_]+\b")


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def panels_of(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Get the panels, those in rows too."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def fill(expression: str) -> str:
    """Put values in place of variables: everything, for those of the dashboard."""
    return _VARIABLE.sub(lambda found: FILLED.get(found[1], ".*"), expression)


def expressions(path: Path) -> list[tuple[str, str]]:
    """Get the PromQL of a dashboard: title of the panel, expression."""
    return [
        (panel["title"], fill(target["expr"]))
        for panel in panels_of(load(path))
        for target in panel.get("targets", ())
        if "expr" in target
    ]


def variables(text: str) -> set[str]:
    """Find the variables that a text uses, those of Grafana's own left out."""
    return {name for name in _VARIABLE.findall(text) if not name.startswith("__")}


def rules(path: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load(path.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metric_names(expression: str) -> set[str]:
    """Find the metrics of ours that an expression names, recorded ones left out."""
    bare = re.sub(r'"[^"]*"|\w+:[\w:]+', "", expression)
    return set(_NAME.findall(bare))

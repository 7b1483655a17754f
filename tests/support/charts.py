"""The Helm chart, rendered as `helm template` does; objects against Kubernetes schemas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from helm_python.chart import Chart

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "tracestore"
KUBERNETES = ("1.28", "1.31", "1.34")
"""Versions whose schemas the objects are held against."""
CUSTOM = frozenset({"ServiceMonitor"})
"""Kinds of others, which Kubernetes' own schemas do not know."""
RELEASE, NAMESPACE = "tempo", "observability"


@dataclass(frozen=True, slots=True)
class Rendered:
    """What one set of values makes."""

    objects: list[dict[str, Any]]
    notes: str

    def find(self, kind: str, name: str) -> dict[str, Any]:
        """Get the object of a kind and name; there must be exactly one."""
        found = [o for o in self.objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
        assert len(found) == 1, f"{len(found)} objects {kind}/{name}"
        return found[0]

    def names(self, kind: str) -> set[str]:
        """Name the objects of a kind."""
        return {o["metadata"]["name"] for o in self.objects if o["kind"] == kind}

    def workloads(self) -> list[dict[str, Any]]:
        """Get what has pods."""
        return [o for o in self.objects if o["kind"] in ("Deployment", "StatefulSet")]

    @property
    def config(self) -> str:
        """The configuration file that all pods read."""
        text: str = self.find("ConfigMap", f"{RELEASE}-config")["data"]["tracestore.yaml"]
        return text


def render(values: Mapping[str, Any] | None = None) -> Rendered:
    """Render the chart. Raises: HelmError of helm_python if the values are refused."""
    objects, notes = [], ""
    files = Chart.load(str(CHART)).render(dict(values or {}), name=RELEASE, namespace=NAMESPACE)
    for name, text in files.items():
        if name.endswith("NOTES.txt"):
            notes = text
        else:
            objects += [one for one in yaml.safe_load_all(text) if one]
    return Rendered(objects, notes)


def check_schemas(rendered: Rendered) -> None:
    """Hold every object against the schemas of Kubernetes; unknown fields are errors."""
    for one in rendered.objects:
        if one["kind"] in CUSTOM:
            continue
        for version in KUBERNETES:
            kubernetes_validate.validate(one, version, strict=True)

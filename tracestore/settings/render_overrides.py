"""Limits of tenants as YAML, for the pages that show them; secrets are masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from tracestore.settings.leaves import leaf_values
from tracestore.settings.limits import TenantLimits
from tracestore.settings.overrides import ROOT, TenantFile
from tracestore.settings.render import render_values
from tracestore.settings.shown import shown


def render_limits(limits: TenantLimits) -> str:
    """Render limits as YAML."""
    return render_values(leaf_values(limits))


def render_file(file: TenantFile, defaults: TenantLimits, *, diff: bool = False) -> str:
    """Render the blocks as YAML, secrets masked.

    Args:
        diff: leave out what is as the defaults have it.
    """
    of_defaults = leaf_values(defaults)
    tenants: dict[str, object] = {}
    for tenant, block in file.blocks.items():
        values = {
            path: value
            for path, value in block.values.items()
            if not diff or of_defaults.get(path) != value
        }
        tenants[tenant] = nested(values) | dict(block.kept)
    text: str = yaml.safe_dump({ROOT: tenants}, allow_unicode=True, sort_keys=False)
    return text


def nested(values: Mapping[str, object]) -> dict[str, Any]:
    """Make keys below keys of values by path, secrets masked."""
    root: dict[str, Any] = {}
    for path, value in values.items():
        *sections, name = path.split(".")
        section = root
        for each in sections:
            section = section.setdefault(each, {})
        section[name] = shown(value, name)
    return root

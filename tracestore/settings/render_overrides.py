"""Limits of tenants as YAML, for the pages that show them; secrets are masked."""

from __future__ import annotations

from typing import cast

import yaml

from tracestore.settings.leaves import leaf_values
from tracestore.settings.limits import TenantLimits
from tracestore.settings.overrides import ROOT, TenantFile
from tracestore.settings.render import MASK, render_value

_SECRETS = "remote_write_headers"


def render_limits(limits: TenantLimits) -> str:
    """Render limits as YAML."""
    lines: list[str] = []
    section = ""
    for path, value in leaf_values(limits).items():
        part, _, name = path.partition(".")
        if part != section:
            section = part
            lines.append(f"{section}:")
        lines.append(f"  {name}: {render_value(name, value)}")
    return "".join(f"{line}\n" for line in lines)


def render_file(file: TenantFile, defaults: TenantLimits, *, diff: bool = False) -> str:
    """Render the blocks as YAML, secrets masked.

    Args:
        diff: leave out what is as the defaults have it.
    """
    of_defaults = leaf_values(defaults)
    tenants: dict[str, object] = {}
    for tenant, block in file.blocks.items():
        content: dict[str, object] = {}
        for path, value in block.values.items():
            if diff and of_defaults.get(path) == value:
                continue
            part, _, name = path.partition(".")
            cast("dict[str, object]", content.setdefault(part, {}))[name] = value
        tenants[tenant] = content | {key: masked(value) for key, value in block.kept.items()}
    text: str = yaml.safe_dump({ROOT: tenants}, allow_unicode=True, sort_keys=False)
    return text


def masked(value: object, name: str = "") -> object:
    """Hide the values of headers that carry secrets."""
    if isinstance(value, dict):
        secret = name == _SECRETS
        return {k: MASK if secret else masked(v, str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [masked(each) for each in value]
    return value

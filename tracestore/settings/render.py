"""The effective settings as YAML, each value with its origin."""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from tracestore.settings.leaves import leaf_values
from tracestore.settings.load import DEFAULT_ORIGIN, LoadedSettings
from tracestore.settings.tree import Settings

MASK = "********"
_SECRET = re.compile(r"(^|_)(secret|password|token|credentials|secret_key|access_key)(_|$)")


def render_settings(loaded: LoadedSettings, mode: str = "") -> str:
    """Render the tree as YAML, without ``---``; secrets are masked.

    Args:
        mode: ``diff``: only what was set to something other than its default; ``defaults``: the
            defaults, whatever was set; anything else: everything.
    """
    defaults = leaf_values(Settings())
    values = defaults if mode == "defaults" else leaf_values(loaded.settings)
    if mode == "diff":
        values = {path: value for path, value in values.items() if value != defaults[path]}
    origins = {} if mode == "defaults" else loaded.origins
    if not values:
        return "{}\n"
    return "".join(f"{line}\n" for line in _lines(values, origins))


def _lines(values: Mapping[str, object], origins: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    open_sections: list[str] = []
    for path, value in values.items():
        *sections, name = path.split(".")
        common = 0
        while sections[: common + 1] == open_sections[: common + 1] and common < len(sections):
            common += 1
        lines += [f"{'  ' * d}{sections[d]}:" for d in range(common, len(sections))]
        open_sections = sections
        line = f"{'  ' * len(sections)}{name}: {render_value(name, value)}"
        origin = origins.get(path, DEFAULT_ORIGIN)
        lines.append(f"{line}  # {_printable(origin)}")
    return lines


def render_value(name: str, value: object) -> str:
    """Render one value as a YAML scalar."""
    if value and _SECRET.search(name):
        value = MASK
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1 << 30, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)

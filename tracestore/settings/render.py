"""The effective settings as YAML, each value with its origin."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from tracestore.settings.leaves import leaf_values
from tracestore.settings.load import DEFAULT_ORIGIN, LoadedSettings
from tracestore.settings.shown import shown
from tracestore.settings.tree import Settings


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
    return render_values(values, origins)


def render_values(values: Mapping[str, object], origins: Mapping[str, str] | None = None) -> str:
    """Render values by path as YAML, one a line, each with its origin if there are origins."""
    return "".join(f"{line}\n" for line in _lines(values, origins))


def _lines(values: Mapping[str, object], origins: Mapping[str, str] | None) -> list[str]:
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
        if origins is not None:
            line += f"  # {_printable(origins.get(path, DEFAULT_ORIGIN))}"
        lines.append(line)
    return lines


def render_value(name: str, value: object) -> str:
    """Render one value as YAML in one line, secrets masked."""
    text: str = yaml.safe_dump(
        shown(value, name),
        default_flow_style=True,
        width=1 << 30,
        allow_unicode=True,
        sort_keys=False,
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)

"""``tracestore config``: the effective settings as YAML, each with its origin."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tracestore.errors import SettingsError
from tracestore.settings.flags import parse_arguments
from tracestore.settings.load import load_settings
from tracestore.settings.render import render_settings

USAGE = """\
usage: tracestore config [--mode all|diff|defaults] [--config FILE] [--KEY=VALUE ...]

Prints the settings that `tracestore serve` with the same flags would run with, as YAML. The comment
behind a value says where it came from.
"""
_MODES = {"all": "", "diff": "diff", "defaults": "defaults"}


def run_config(argv: Sequence[str]) -> int:
    """Run the command. Returns: the exit code. Raises: SettingsError."""
    arguments = parse_arguments(argv, extra=frozenset({"mode"}))
    if "help" in arguments.switches:
        print(USAGE, end="")
        return 0
    mode = arguments.extra.get("mode", "all")
    if mode not in _MODES:
        raise SettingsError(f"flag --mode: expected all, diff or defaults, got {mode!r}")
    loaded = load_settings(arguments)
    for warning in loaded.warnings:
        print(f"tracestore: warning: {warning}", file=sys.stderr)
    print(render_settings(loaded, _MODES[mode]), end="")
    return 0
